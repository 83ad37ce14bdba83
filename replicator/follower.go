package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/apply"
	"github.com/bellwetherdb/bellwether/replicator/handover"
	"github.com/bellwetherdb/bellwether/replicator/initial"
	"github.com/bellwetherdb/bellwether/replicator/lineage"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// follower is one node that is made to follow. All but status belongs to its loop.
type follower struct {
	cfg    Config
	acker  *acker // nil where the leader does not wait
	feed   *feed  // nil where there is no relay log
	leader NodeConfig
	node   NodeConfig
	log    *slog.Logger
	met    *metrics
	cancel context.CancelFunc
	done   chan struct{}

	again  chan struct{} // somebody wants it to be tried at once
	pull   bool          // only a part is to be applied, and nothing copied: see Pull
	purged bool          // the leader no longer has what it lacks
	idle   idleness

	mu      sync.Mutex // guards all below
	status  Status
	foreign bool    // of StateStopped: for transactions of its own
	source  *source // while it follows
	repair  bool    // it is to be made equal to the leader, whatever it has
}

func newFollower(cfg Config, a *acker, feed *feed, leader, n NodeConfig, log *slog.Logger, met *metrics, cancel context.CancelFunc) *follower {
	return &follower{
		cfg: cfg, acker: a, feed: feed, leader: leader, node: n, log: log, met: met, cancel: cancel,
		done: make(chan struct{}), again: make(chan struct{}, 1),
		status: Status{Node: n.Name, Leader: leader.Name, State: StateWaiting, Why: "not asked yet"},
	}
}

// counts says that what it commits is acknowledged to the leader.
func (f *follower) counts() bool { return f.acker != nil && !f.cfg.Relay.Acknowledge }

func (f *follower) show() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// become is the only way in which a follower's state changes.
func (f *follower) become(s State, why string) {
	f.mu.Lock()
	was := f.status
	f.status.State, f.status.Why = s, why
	if s != StateStreaming && s != StateWaiting {
		f.status.Applied = gtid.Set{}
	}
	if s != StateStandby {
		f.status.Whole = false
	}
	now := f.status
	f.mu.Unlock()
	f.met.show(&now)
	if was.State == s && was.Why == why {
		return
	}
	level := slog.LevelInfo
	if s == StateStopped {
		level = slog.LevelError
	}
	f.log.Log(context.Background(), level, "replication", "state", s.String(), "why", why)
	if s == StateStopped && was.State != s {
		f.met.stops.WithLabelValues(f.node.Name).Inc()
	}
}

// stopError is why a follower cannot go on.
type stopError struct {
	why     string
	foreign bool // transactions of its own
}

func (e *stopError) Error() string { return e.why }

// loop makes the node follow until ctx ends.
func (f *follower) loop(ctx context.Context) {
	pause := leastPause
	for ctx.Err() == nil {
		began := f.show().Applied
		err := f.once(ctx)
		if ctx.Err() != nil {
			return
		}
		var stop *stopError
		var refused *apply.StopError
		var held *heldError
		switch {
		case errors.As(err, &refused):
			f.mu.Lock()
			f.foreign = false
			f.mu.Unlock()
			f.become(StateStopped, refused.Error())
			pause = stoppedPause
		case errors.As(err, &stop):
			f.mu.Lock()
			f.foreign = stop.foreign
			f.mu.Unlock()
			f.become(StateStopped, stop.why)
			pause = stoppedPause
		case errors.As(err, &held):
			f.become(StateStandby, held.Error())
			pause = standbyPause
			f.standBy(ctx, held.by)
		default:
			if !f.show().Applied.Equal(began) {
				pause = leastPause // it got on
			} else {
				pause = min(2*pause, mostPause)
			}
			if f.show().State != StateStopped { // one that was stopped stays it until it gets on
				f.become(StateWaiting, mysqlconn.Describe(err))
			}
		}
		f.rest(ctx, pause)
	}
}

// rest waits until the follower is to be tried again.
func (f *follower) rest(ctx context.Context, pause time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-f.again:
	}
}

// errRepair ends what is done with a follower for the sake of its repair.
var errRepair = errors.New("its repair was asked for")

// once makes the follower ours and lets it follow until something goes wrong.
func (f *follower) once(ctx context.Context) error {
	if err := f.yield(); err != nil {
		return err
	}
	h, err := own(ctx, f.cfg.reach(f.node, ""), f.cfg.epoch)
	if err != nil {
		f.mu.Lock()
		f.status.Applied = gtid.Set{} // a server that crashes may have lost something of it
		f.mu.Unlock()
		return err
	}
	defer h.release()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.watch(ctx, f.yield) })
	g.Go(func() error { return f.follow(ctx, h) })
	return g.Wait()
}

// yield says that another Bellwether is to own the follower: the one that
// acknowledges has to know what all of them commit.
func (f *follower) yield() error {
	if f.cfg.watch {
		return &heldError{}
	}
	if f.acker != nil && f.acker.Standby() {
		return &heldError{}
	}
	return nil
}

// pair is the leader and the follower.
type pair struct{ leader, follower *node.Server }

func (p *pair) close() {
	for _, s := range []*node.Server{p.leader, p.follower} {
		if s != nil {
			_ = s.Close()
		}
	}
}

func (f *follower) open(ctx context.Context, conns int) (*pair, error) {
	p := &pair{}
	var err error
	if p.follower, err = node.Open(ctx, f.node.Name, f.cfg.reach(f.node, "bellwether engine"), conns); err != nil {
		return nil, err
	}
	if p.leader, err = node.Open(ctx, f.leader.Name, f.cfg.reach(f.leader, "bellwether engine"), conns); err != nil {
		p.close()
		return nil, fmt.Errorf("the leader: %w", err)
	}
	return p, nil
}

func (f *follower) follow(ctx context.Context, h *hold) error {
	p, err := f.open(ctx, f.copyWorkers()+5)
	if err != nil {
		return err
	}
	defer p.close()
	if err := f.ready(ctx, h, p); err != nil {
		return err
	}
	epoch := f.cfg.epoch
	if epoch == 0 {
		epoch = h.before + 1
	}
	if epoch, err = mark.Mark(ctx, p.follower.DB, epoch); err != nil {
		return err
	}
	if err := protect(ctx, p.leader, p.follower); err != nil {
		return err
	}
	if f.acker == nil && !f.pull {
		// Nobody would acknowledge what an earlier configuration made it wait for.
		if was, err := ack.Disable(ctx, p.leader, true); err != nil {
			return err
		} else if was {
			f.log.Warn("the leader no longer waits for acknowledgements (replication.acks: none)")
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.guard(gctx, p) })
	g.Go(func() error { return f.apply(gctx, p, epoch) })
	err = g.Wait()
	if errors.Is(err, stream.ErrPurged) {
		f.purged = true
	}
	return err
}

func (f *follower) copyWorkers() int {
	if f.cfg.CopyWorkers > 0 {
		return f.cfg.CopyWorkers
	}
	return 4
}

// ready does what must be done before the follower can stream.
func (f *follower) ready(ctx context.Context, h *hold, p *pair) error {
	for {
		s, err := look(ctx, p.leader, p.follower, h.before > 0)
		if err != nil {
			return err
		}
		f.mu.Lock()
		s.purged, s.repair = f.purged, f.repair
		f.mu.Unlock()
		if len(s.unfit) == 0 && !s.repair && !s.halfCopied && s.foreign == "" && !f.pull {
			if s.forked, err = f.forked(ctx, p); err != nil {
				return err
			}
		}
		act, why := decide(s)
		if f.pull && act != actStream {
			act, why = actStop, cmp.Or(why, "it would have to be copied")
		}
		switch act {
		case actStream:
			return nil
		case actStop:
			return &stopError{why, (s.foreign != "" || s.forked != "") && len(s.unfit) == 0}
		case actTakeOver:
			pos, err := handover.ToEngine(ctx, p.leader, p.follower)
			if err != nil {
				return err
			}
			f.log.Info("the node no longer replicates by itself; the engine goes on", "position", pos.String())
		case actCopy, actRepair:
			if err := f.copy(ctx, p, act == actRepair); err != nil {
				return err
			}
			f.mu.Lock()
			f.repair = false
			f.mu.Unlock()
			f.purged, h.before = false, max(h.before, 1)
		}
	}
}

// forked says where the follower's history and the leader's part though their numbers do not
// tell.
func (f *follower) forked(ctx context.Context, p *pair) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	side := func(n NodeConfig, s *node.Server) lineage.Side {
		return lineage.Side{DB: s.DB, Binlog: stream.Options{Leader: f.cfg.reach(n, "bellwether lineage"), Flavor: p.leader.Flavor}}
	}
	forks, err := lineage.Compare(ctx, side(f.node, p.follower), side(f.leader, p.leader))
	if errors.Is(err, lineage.ErrUnknown) {
		f.log.Warn("a follower with another history would not be noticed", "error", err)
		err = nil
	}
	return lineage.String(forks), err
}

// copy makes the follower what the leader is.
func (f *follower) copy(ctx context.Context, p *pair, reuse bool) error {
	f.become(StateCopying, "")
	if err := p.follower.SetReadOnly(ctx, false); err != nil { // MySQL's super_read_only would refuse the copy too
		return err
	}
	plan := initial.Plan{
		Leader: p.leader, Follower: p.follower, Reuse: reuse, Workers: f.copyWorkers(), MaxBytesPerSecond: f.cfg.CopyMaxBytesPerSecond,
		LockPause: time.Second, Logger: f.log, Progress: f.copied,
	}
	r, err := plan.Run(ctx)
	switch {
	case errors.Is(err, initial.ErrUnsupported), errors.Is(err, initial.ErrNotEmpty), errors.Is(err, node.ErrNoBinlog):
		return &stopError{why: "it cannot be copied: " + err.Error()}
	case err != nil:
		return fmt.Errorf("copy the leader: %w", err)
	}
	f.met.copies.WithLabelValues(f.node.Name).Inc()
	f.log.Info("the leader has been copied", "position", r.Position.String(), "tables", r.Tables, "rows", r.Rows, "bytes", r.Bytes)
	for _, w := range r.Warnings {
		f.log.Warn("something was not copied", "what", w)
	}
	return nil
}

func (f *follower) copied(p initial.Progress) {
	f.mu.Lock()
	f.status.Copied, f.status.Rate = p.Percent, p.BytesPerSecond
	now := f.status
	f.mu.Unlock()
	f.met.show(&now)
}

// apply streams and applies.
func (f *follower) apply(ctx context.Context, p *pair, epoch uint64) error {
	text, err := p.follower.Var(ctx, "server_id")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("server_id: %w", err)
	}
	a := apply.New(apply.Options{
		Follower: f.cfg.reach(f.node, "bellwether applier"), Flavor: p.leader.Flavor, Connections: f.cfg.ApplyConnections, Logger: f.log,
		Prompt:    f.counts(), // the leader's clients wait
		Committed: f.committed,
		Connected: func(ctx context.Context, _ uint32) error {
			// Whoever superseded us marked first, and ends this connection next: so one
			// of the two is seen.
			held, err := mark.Read(ctx, p.follower.DB)
			if err == nil && held > epoch {
				err = fmt.Errorf("%w: %d", mark.ErrOutdated, held)
			}
			return err
		},
	})
	if f.counts() {
		defer f.acker.Leave(f.node.Name)
	}
	err = a.Run(ctx, func(ctx context.Context, pos gtid.Set) (apply.Source, error) {
		f.mu.Lock()
		f.status.Applied = pos
		stopped := f.status.State == StateStopped
		f.mu.Unlock()
		o := stream.Options{Leader: f.cfg.reach(f.leader, "bellwether stream"), Flavor: p.leader.Flavor, ServerID: uint32(id), Heartbeat: f.cfg.Heartbeat}
		s, err := openSource(ctx, f.feed, pos, func(pos gtid.Set) (*stream.Dump, error) { return stream.Open(ctx, o, pos) }, f.log)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.source = s
		f.mu.Unlock()
		if !stopped {
			f.become(StateStreaming, "")
		}
		if f.counts() {
			f.acker.Join(f.node.Name, pos)
		}
		return s, nil
	})
	f.mu.Lock()
	s := f.source
	f.source = nil
	f.mu.Unlock()
	if s != nil {
		s.close()
	}
	return err
}

// committed notes what the follower has.
func (f *follower) committed(g binlog.GTID) {
	f.mu.Lock()
	f.status.Applied = f.status.Applied.Union(g.Set())
	applied := f.status.Applied
	stopped := f.status.State == StateStopped
	f.mu.Unlock()
	if f.counts() {
		f.acker.Committed(f.node.Name, applied)
	}
	f.met.transactions.WithLabelValues(f.node.Name).Inc()
	if stopped {
		f.become(StateStreaming, "")
	}
}

// guard looks for transactions on the follower that the leader does not have.
func (f *follower) guard(ctx context.Context, p *pair) error {
	for sleep(ctx, time.Second) {
		select {
		case <-f.again:
			return errRepair
		default:
		}
		lost, err := foreign(ctx, p.leader, p.follower)
		if err != nil {
			continue // the stream, or the applier, will notice
		}
		if lost != "" {
			return &stopError{"it has transactions that the leader lacks: " + lost, true}
		}
	}
	return ctx.Err()
}

// idleness is for how long an owner has not got on.
type idleness struct {
	by       int64
	position string
	since    time.Time
}

// standBy looks how the owner gets on. It ends the connection of one under which
// the follower has been behind the leader, without moving, for long: its host may
// be gone without a word.
func (f *follower) standBy(ctx context.Context, by int64) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	p, err := f.open(ctx, 1)
	if err != nil {
		return
	}
	defer p.close()
	half, err := initial.Incomplete(ctx, p.follower)
	f.mu.Lock()
	f.status.Whole = err == nil && !half
	f.mu.Unlock()
	busy, err2 := working(ctx, p.follower)
	if err != nil || err2 != nil || half || busy { // a copy, or a long statement, moves no position
		f.idle = idleness{}
		return
	}
	at, err := p.follower.Applied(ctx, p.follower.DB)
	if err != nil {
		return
	}
	has, err := p.leader.Written(ctx, p.leader.DB)
	now := idleness{by, at.String(), time.Now()}
	switch {
	case err != nil || at.Contains(has), now.by != f.idle.by, now.position != f.idle.position:
		f.idle = now
	case by != 0 && now.since.Sub(f.idle.since) > stuckAfter:
		f.log.Warn("the follower's owner does not get on; it is ended, and the follower taken over", "connection", by)
		if err := kill(ctx, f.cfg.reach(f.node, ""), by); err != nil {
			f.log.Warn("the follower's owner cannot be ended", "error", err)
		}
	}
}
