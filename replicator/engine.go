package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/quorum"
)

// Config is what an Engine replicates, and as whom.
type Config struct {
	// Leader is the name of the node that is replicated to all others. It counts for
	// nothing where the engine is coordinated.
	Leader string
	// Coordinated says that somebody decides who leads, and tells it by Lead.
	Coordinated bool
	Nodes       []NodeConfig
	// Account is how to reach nodes, but for the address: an account with all
	// privileges and the right to grant them, that nobody else uses.
	Account mysqlconn.Config

	// Acks says when the leader's transactions are acknowledged. With Acks.Acks 0
	// the leader does not wait.
	Acks quorum.Policy

	// Heartbeat is how often the leader is to say that it is there; 0: every second.
	Heartbeat time.Duration

	// ApplyConnections is how many transactions a follower executes at a time; 0: 1.
	ApplyConnections int

	Relay  RelayConfig
	Verify VerifyConfig

	CopyWorkers           int   // connections of an initial copy on each side; 0: 4
	CopyMaxBytesPerSecond int64 // 0: no limit

	epoch uint64 // of the reign, see Lead; 0: nobody coordinates
	watch bool   // another one owns the followers

	members []string // whose commits count; nil: all
}

// NodeConfig is one server.
type NodeConfig struct {
	Name    string
	Address string // as in mysqlconn.Config
}

func (c *Config) node(name string) (NodeConfig, bool) {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return NodeConfig{}, false
}

func (c *Config) reach(n NodeConfig, program string) mysqlconn.Config {
	out := c.Account
	out.Address, out.Program = n.Address, program
	return out
}

// State is what the engine does with a follower.
type State uint8

// States of a follower.
const (
	StateWaiting   State = iota // for the leader or for the follower; see Why
	StateStandby                // another Bellwether owns it
	StateCopying                // the leader is being copied to it
	StateStreaming              // it follows
	StateStopped                // it cannot go on; see Why
)

func (s State) String() string {
	return [...]string{"waiting", "standby", "copying", "streaming", "stopped"}[s]
}

// Status is how a follower fares.
type Status struct {
	Node   string
	Leader string // whom it is made to follow
	State  State
	Why    string // for people; of StateWaiting, StateStandby and StateStopped
	// Applied is what it has certainly committed, and readers of it see; empty where
	// this Engine does not own it.
	Applied gtid.Set
	// Whole says, of StateStandby, that the owner was not copying to it when this was
	// looked at last.
	Whole  bool
	Copied float64 // percent
	Rate   float64 // of the copy, bytes per second
}

// Text is the status in one line.
func (s *Status) Text() string {
	switch {
	case s.State == StateCopying:
		return fmt.Sprintf("copying: %.0f%%, %.1f MB/s", s.Copied, s.Rate/1e6)
	case s.Why != "":
		return s.State.String() + ": " + s.Why
	default:
		return s.State.String()
	}
}

// Engine replicates.
type Engine struct {
	log *slog.Logger
	met *metrics
	ack *ack.Metrics

	wake chan struct{} // a new configuration waits

	mu        sync.Mutex // guards all below
	cfg       Config
	reign     Reign
	told      []chan struct{} // closed when the reign is what runs
	followers map[string]*follower
	last      map[string]Status // of followers whose loop was ended, and that had applied something
	acker     *acker            // nil where the leader does not wait
	feed      *feed             // nil where there is no relay log
	verifier  *verifier         // nil where nothing is compared
}

// acker is what acknowledges, and what it was made of.
type acker struct {
	*ack.Acker
	task
}

// New returns an Engine that does nothing before Run. log and reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Engine, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	met, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("replicator: %w", err)
	}
	acks, err := ack.NewMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("replicator: %w", err)
	}
	return &Engine{log: log, met: met, ack: acks, wake: make(chan struct{}, 1), cfg: cfg, followers: map[string]*follower{}, last: map[string]Status{}}, nil
}

// Reconfigure applies another configuration while Run runs, or before. A follower
// that was stopped is tried again.
func (e *Engine) Reconfigure(cfg Config) {
	e.mu.Lock()
	e.cfg = cfg
	e.mu.Unlock()
	e.nudge()
}

func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Status returns how a follower fares; false for the leader and for nodes that
// are not in the configuration.
func (e *Engine) Status(node string) (Status, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.followers[node]; f != nil {
		return f.show(), true
	}
	s, ok := e.last[node]
	return s, ok && e.cfg.Coordinated && e.reign.Leader == ""
}

// Acknowledgement returns how the leader's transactions are acknowledged; false
// where it does not wait for that.
func (e *Engine) Acknowledgement() (ack.Status, bool) {
	e.mu.Lock()
	a := e.acker
	e.mu.Unlock()
	if a == nil {
		return ack.Status{}, false
	}
	return a.Status(), true
}

// ErrNoFollower says that there is no such follower, or that this Engine does not
// own it.
var ErrNoFollower = errors.New("no follower of that name is replicated to from here")

// Repair makes a follower equal to the leader: what differs is copied, whatever
// the follower has of its own is given up. It returns at once; Status tells.
func (e *Engine) Repair(node string) error {
	e.mu.Lock()
	f := e.followers[node]
	e.mu.Unlock()
	if f == nil || f.show().State == StateStandby {
		return fmt.Errorf("%w: %q", ErrNoFollower, node)
	}
	f.mu.Lock()
	under := f.status.State == StateCopying
	f.repair = !under
	f.mu.Unlock()
	if under {
		return nil
	}
	select {
	case f.again <- struct{}{}:
	default:
	}
	return nil
}

// Run replicates until ctx ends, and returns nil then.
func (e *Engine) Run(ctx context.Context) error {
	defer e.stopTasks(Config{})
	defer e.stop(nil)
	for {
		cfg, told := e.present()
		e.start(ctx, cfg)
		for _, c := range told {
			close(c)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
	}
}

// start runs a loop for each follower of cfg, and ends what runs for others.
func (e *Engine) start(ctx context.Context, cfg Config) {
	e.stop(func(f *follower) bool {
		n, ok := cfg.node(f.node.Name)
		return ok && n == f.node && cfg.Leader == f.leader.Name && same(&cfg, &f.cfg) && f.show().State != StateStopped
	})
	e.stopTasks(cfg)
	leader, ok := cfg.node(cfg.Leader)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.startAcker(ctx, &cfg, leader)
	if e.acker != nil {
		e.acker.Count(cfg.members)
	}
	e.startFeed(ctx, &cfg, leader)
	e.startVerifier(ctx, &cfg, leader)
	for _, n := range cfg.Nodes {
		if n == leader || e.followers[n.Name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		f := newFollower(cfg, e.acker, e.feed, leader, n, e.log.With("node", n.Name), e.met, cancel)
		f.status.Applied = e.last[n.Name].Applied // which it has still
		delete(e.last, n.Name)
		e.followers[n.Name] = f
		go func() {
			defer close(f.done)
			f.loop(ctx)
		}()
	}
}

// startAcker acknowledges where the configuration says so and nothing does.
func (e *Engine) startAcker(ctx context.Context, cfg *Config, leader NodeConfig) {
	if e.acker != nil || cfg.Acks.Acks == 0 || cfg.watch {
		return
	}
	ctx, t := newTask(ctx, cfg)
	followers := cfg.others()
	if cfg.Relay.Acknowledge {
		followers = []string{relayMember}
	}
	a := &acker{task: t, Acker: ack.New(ack.Options{
		Leader: cfg.reach(leader, ""), Name: leader.Name, Followers: followers, Policy: cfg.Acks, Logger: e.log, Metrics: e.ack,
	})}
	e.acker = a
	a.start(ctx, func(ctx context.Context) { _ = a.Run(ctx) }) // ends with ctx only
}

// others are the names of all nodes but the leader.
func (c *Config) others() []string {
	var out []string
	for _, n := range c.Nodes {
		if n.Name != c.Leader {
			out = append(out, n.Name)
		}
	}
	return out
}

// same reports whether what runs for a can go on for b.
func same(a, b *Config) bool {
	x, y := a.reach(NodeConfig{}, ""), b.reach(NodeConfig{}, "")
	leader, _ := a.node(a.Leader)
	other, _ := b.node(b.Leader)
	// An acknowledger knows all who can commit.
	if a.Acks != b.Acks || a.Acks.Acks != 0 && !slices.Equal(a.others(), b.others()) {
		return false
	}
	return x == y && leader == other && a.epoch == b.epoch && a.watch == b.watch && a.Heartbeat == b.Heartbeat && a.Relay == b.Relay &&
		a.ApplyConnections == b.ApplyConnections && a.CopyWorkers == b.CopyWorkers && a.CopyMaxBytesPerSecond == b.CopyMaxBytesPerSecond
}

// stop ends the loops but those that keep says to keep, and waits for them.
func (e *Engine) stop(keep func(*follower) bool) {
	e.mu.Lock()
	var ended []*follower
	for name, f := range e.followers {
		if keep != nil && keep(f) {
			continue
		}
		f.cancel()
		delete(e.followers, name)
		ended = append(ended, f)
	}
	e.mu.Unlock()
	for _, f := range ended {
		<-f.done
		e.met.forget(f.node.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range ended {
		delete(e.last, f.node.Name)
		if s := f.show(); !s.Applied.IsEmpty() {
			s.State, s.Why = StateWaiting, "the leader is being changed"
			e.last[s.Node] = s
		}
	}
}

// Pauses of a follower's loop.
const (
	leastPause   = 50 * time.Millisecond
	mostPause    = 2 * time.Second
	standbyPause = time.Second
	stoppedPause = 30 * time.Second // until what stopped it is tried again
	stuckAfter   = 15 * time.Second // an owner under whom a follower stays behind for so long is ended
)
