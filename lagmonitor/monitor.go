package lagmonitor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// removedPatience is how long a node that was removed from the configuration
// stays in the topology, draining, for the sake of connections that are idle.
const removedPatience = time.Minute

// Monitor probes nodes and publishes what it finds.
type Monitor struct {
	store *topology.Store
	log   *slog.Logger
	met   *metrics
	// engine tells what Bellwether's own replication does; nil without it.
	engine func(node string) (Following, bool)
	base   time.Time // probes are aligned to it

	wake chan struct{} // a new configuration waits

	mu        sync.Mutex // guards the two below
	next      *Config
	appointed *appointment // not taken over yet

	beaten atomic.Pointer[Beat]

	// The rest belongs to the goroutine of Run, and to New before that.
	cfg     Config
	judge   *judge
	probers map[string]*running
	beating *running
	removed map[string]time.Time // nodes that drain since then
	shown   map[string]verdict   // as last logged
	told    string               // the conflict as last logged

	asking *asking

	observations chan Observation
	peeks        chan peek
	// open connects to a node; tests put their own in.
	open func(*Config, *NodeConfig) (asker, error)
}

// asker asks one node, from one goroutine.
type asker interface {
	probe(ctx context.Context) Observation
	close()
}

var _ asker = (*prober)(nil)

// running is a goroutine of the Monitor.
type running struct {
	cfg  Config // what it was started with, Nodes left out
	node NodeConfig
	stop context.CancelFunc
	done chan struct{}
}

func (r *running) end() {
	r.stop()
	<-r.done
}

// New returns a Monitor that publishes to store. It starts nothing, but the
// configured nodes are in the store, in state unknown, when it returns. log and
// reg may be nil.
func New(cfg Config, store *topology.Store, log *slog.Logger, reg prometheus.Registerer) (*Monitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lag monitor: %w", err)
	}
	met, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("lag monitor: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{
		store: store, log: log, met: met, engine: cfg.Following, base: time.Now(),
		wake: make(chan struct{}, 1), cfg: cfg, judge: newJudge(cfg),
		probers: map[string]*running{}, removed: map[string]time.Time{}, shown: map[string]verdict{},
		observations: make(chan Observation), peeks: make(chan peek), asking: newAsking(cfg, store, log),
	}
	m.open = func(cfg *Config, n *NodeConfig) (asker, error) { return newProber(cfg, n, m.log) }
	m.publish(m.base)
	return m, nil
}

// Reconfigure applies a new configuration while Run runs, or before: nodes,
// weights, roles, limits, intervals, credentials. Nodes that are no longer in it
// drain and then go. An invalid one changes nothing.
func (m *Monitor) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("lag monitor: %w", err)
	}
	m.mu.Lock()
	m.next = &cfg
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// Appoint makes a node the leader by decision, in an epoch: from now on what the
// nodes show of themselves does not change it. It is published soon after, as up
// only when a probe has found that the node takes writes.
func (m *Monitor) Appoint(leader string, epoch uint64) {
	m.mu.Lock()
	m.appointed = &appointment{leader, epoch}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run probes until ctx ends, and returns nil then.
func (m *Monitor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, r := range m.probers {
			<-r.done
		}
		clear(m.probers)
		m.asking.close()
		if m.beating != nil {
			<-m.beating.done
			m.beating = nil
		}
	}()
	if err := m.start(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-m.observations:
			m.met.probed(&o)
			now := time.Now()
			m.judge.observe(o, now)
			m.publish(now)
			if n := m.store.Load().Node(o.Node); n != nil && o.Err == nil {
				n.Load.Answered(o.Received.Sub(o.Sent))
			}
		case p := <-m.peeks:
			m.advance(p)
		case <-m.wake:
			m.mu.Lock()
			next, appointed := m.next, m.appointed
			m.next, m.appointed = nil, nil
			m.mu.Unlock()
			if next != nil {
				m.apply(ctx, *next)
			}
			if appointed != nil {
				m.judge.appointed = *appointed
				m.judge.chooseLeader()
				m.judge.judgeAll(time.Now(), nil)
				m.publish(time.Now())
			}
		case now := <-tick.C:
			if len(m.removed) > 0 {
				m.publish(now)
			}
		}
	}
}

func (m *Monitor) apply(ctx context.Context, next Config) {
	before, old := m.cfg, m.judge
	m.cfg = next
	if err := m.start(ctx); err != nil {
		// A certificate that cannot be read: the old configuration goes on.
		m.log.Error("the new configuration of the nodes cannot be applied", "error", err)
		m.cfg = before
		if err := m.start(ctx); err != nil {
			m.log.Error("the old configuration of the nodes cannot be applied again", "error", err)
		}
		return
	}
	old.configure(next)
	m.publish(time.Now())
}

// start makes the goroutines what the configuration says: it ends those that are
// too many or outdated, and starts what is missing.
func (m *Monitor) start(ctx context.Context) error {
	common := m.cfg
	common.Following = m.engine
	common.Nodes, common.MaxLag, common.Failures, common.Recoveries = nil, 0, 0, 0 // the judge's affair
	wanted := map[string]NodeConfig{}
	for _, n := range m.cfg.Nodes {
		wanted[n.Name] = NodeConfig{Name: n.Name, Address: n.Address}
	}
	for name, r := range m.probers {
		if n, ok := wanted[name]; !ok || n != r.node || !sameProbing(&common, &r.cfg) {
			r.end()
			delete(m.probers, name)
		}
	}
	for name, n := range wanted {
		if m.probers[name] != nil {
			continue
		}
		p, err := m.open(&common, &n)
		if err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
		peeks, err := newPeeker(&common, &n, m.log)
		if err != nil {
			p.close()
			return fmt.Errorf("node %s: %w", name, err)
		}
		r := m.spawn(ctx, common, n, func(ctx context.Context) {
			var wg sync.WaitGroup
			wg.Go(func() { m.peekLoop(ctx, name, peeks) })
			m.probeLoop(ctx, name, p, common.Interval)
			wg.Wait()
		})
		m.probers[name] = r
	}
	m.asking.configure(common)
	return m.startHeart(ctx, common)
}

func (m *Monitor) startHeart(ctx context.Context, common Config) error {
	if m.beating != nil && !sameProbing(&common, &m.beating.cfg) {
		m.beating.end()
		m.beating = nil
	}
	if m.beating == nil && common.Heartbeat.Enabled {
		h := &heart{cfg: common, log: m.log, met: m.met, beaten: &m.beaten}
		m.beating = m.spawn(ctx, common, NodeConfig{}, func(ctx context.Context) { m.heartLoop(ctx, h) })
	}
	return nil
}

func sameProbing(a, b *Config) bool {
	return a.User == b.User && a.Password == b.Password && a.TLS == b.TLS && a.ConnectTimeout == b.ConnectTimeout &&
		a.Interval == b.Interval && a.Timeout == b.Timeout && a.Heartbeat == b.Heartbeat
}

func (m *Monitor) spawn(ctx context.Context, cfg Config, n NodeConfig, loop func(context.Context)) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cfg: cfg, node: n, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer cancel()
		loop(ctx)
	}()
	return r
}

// probeLoop probes at once and then every interval. Followers are asked half an
// interval after the leader: asked at the same moment, they would seem to lack
// what is just being committed.
func (m *Monitor) probeLoop(ctx context.Context, node string, p asker, interval time.Duration) {
	defer p.close()
	for {
		following := m.following(node)
		o := p.probe(ctx)
		o.Following = following
		// A probe that was cut short by the end of this goroutine says nothing. The
		// loop of Run may be waiting for that end, and reads nothing then.
		select {
		case <-ctx.Done():
			return
		case m.observations <- o:
		}
		phase := interval / 2
		if l := m.store.Load().Leader; l != nil && l.Name == node {
			phase = 0
		}
		if !m.rest(ctx, untilNext(time.Since(m.base), interval, phase)) {
			return
		}
	}
}

// hurriedInterval is the interval between probes while sessions wait for positions.
const hurriedInterval = 20 * time.Millisecond

// rest waits for the next probe: until its time has come, or until somebody wants
// positions sooner. It returns false when ctx ended.
func (m *Monitor) rest(ctx context.Context, d time.Duration) bool {
	for d > hurriedInterval {
		if !sleep(ctx, hurriedInterval) {
			return false
		}
		d -= hurriedInterval
		if m.store.Hurried(time.Now()) {
			return true
		}
	}
	return sleep(ctx, d)
}

// untilNext returns how long to wait for the next moment of the grid of that
// interval and phase, at least a quarter of the interval.
func untilNext(elapsed, interval, phase time.Duration) time.Duration {
	wait := interval - (elapsed-phase+interval)%interval
	if wait < interval/4 {
		wait += interval
	}
	return wait
}

func (m *Monitor) heartLoop(ctx context.Context, h *heart) {
	defer h.close()
	for {
		h.beat(ctx, m.store.Load(), time.Now())
		if !sleep(ctx, h.cfg.Heartbeat.Interval) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// publish puts what the judge found into the store, the log and the metrics.
func (m *Monitor) publish(now time.Time) {
	m.store.Update(func(next *topology.Snapshot) *topology.Snapshot {
		old := next.Nodes
		next.Nodes, next.Leader = make([]*topology.Node, 0, len(old)), nil
		for _, mb := range m.judge.members {
			n := m.node(mb, old)
			next.Nodes = append(next.Nodes, n)
			if mb.cfg.Name == m.judge.leader {
				next.Leader = n
			}
			delete(m.removed, n.Name)
		}
		next.Nodes = append(next.Nodes, m.draining(old, now)...)
		next.At = now
		next.Epoch, next.Flavor = m.judge.epoch, m.judge.flavor()
		return next
	})
	m.met.epoch.Set(float64(m.judge.epoch))
	for _, mb := range m.judge.members {
		m.met.show(mb.cfg.Name, &mb.verdict)
		m.tell(mb)
	}
	m.tellConflict()
}

// following is what the engine does with a node now; nil: nothing.
func (m *Monitor) following(node string) *Following {
	if m.engine == nil {
		return nil
	}
	if f, ok := m.engine(node); ok {
		return &f
	}
	return nil
}

func (m *Monitor) node(mb *member, old []*topology.Node) *topology.Node {
	v := &mb.verdict
	n := &topology.Node{
		Name: mb.cfg.Name, Address: mb.cfg.Address, Weight: mb.cfg.Weight, Zone: mb.cfg.Zone,
		Role: v.Role, State: v.State, Eligible: v.Eligible, Why: v.Why, Lag: v.Lag,
		Version: mb.obs.Version, ServerID: mb.obs.ServerID, UUID: mb.obs.UUID, Position: mb.obs.Applied,
	}
	if mb.peek.sent.After(mb.obs.Sent) {
		n.Position = mb.peek.position
	}
	if v.Role == topology.RoleLeader {
		n.Position, n.Bound = mb.obs.Committed, mb.obs.Bound
	}
	if f := m.following(n.Name); f != nil {
		n.Replication = f.Text
	}
	i := slices.IndexFunc(old, func(o *topology.Node) bool { return o.Name == n.Name && o.Address == n.Address })
	if i >= 0 {
		n.Load = old[i].Load
	} else {
		n.Load = new(topology.Load)
	}
	return n
}

// draining returns the nodes that were removed and are not done yet.
func (m *Monitor) draining(old []*topology.Node, now time.Time) []*topology.Node {
	var out []*topology.Node
	for _, n := range old {
		if m.judge.member(n.Name) != nil {
			continue
		}
		since, ok := m.removed[n.Name]
		if !ok {
			since = now
			m.removed[n.Name] = now
			m.log.Info("node removed; it drains", "node", n.Name)
		}
		busy := n.Load.Outstanding.Load() > 0
		if !busy && (n.Load.Connections.Load() == 0 || now.Sub(since) > removedPatience) {
			delete(m.removed, n.Name)
			delete(m.shown, n.Name)
			m.met.forget(n.Name)
			m.log.Info("node gone", "node", n.Name)
			continue
		}
		if n.Role == topology.RoleLeader {
			n.Role = topology.RoleUnknown
		}
		n.State, n.Eligible, n.Why = topology.StateDraining, false, "removed from the configuration"
		out = append(out, n)
	}
	return out
}

// tell logs what changed of a node.
func (m *Monitor) tell(mb *member) {
	v, was := mb.verdict, m.shown[mb.cfg.Name]
	m.shown[mb.cfg.Name] = v
	if was.Eligible && !v.Eligible {
		m.met.ejections.WithLabelValues(mb.cfg.Name).Inc()
	}
	if was.State == v.State && was.Role == v.Role && was.Eligible == v.Eligible && (v.Errant > 0) == (was.Errant > 0) {
		return
	}
	level := slog.LevelInfo
	if v.State == topology.StateBroken || v.State == topology.StateDown || was.Eligible && !v.Eligible || v.Errant > 0 {
		level = slog.LevelWarn
	}
	attrs := []any{"node", mb.cfg.Name, "role", v.Role.String(), "state", v.State.String(), "eligible", v.Eligible}
	if v.Why != "" {
		attrs = append(attrs, "why", v.Why)
	}
	if v.Lag.Known {
		attrs = append(attrs, "lag", v.Lag.Behind)
	}
	if v.Errant > 0 {
		attrs = append(attrs, "errant_transactions", v.Errant)
	}
	m.log.Log(context.Background(), level, "node state", attrs...)
}

func (m *Monitor) tellConflict() {
	if m.told == m.judge.conflict {
		return
	}
	m.told = m.judge.conflict
	if m.told != "" {
		m.log.Error("roles of the nodes contradict", "why", m.told, "leader", m.judge.leader)
	} else {
		m.log.Info("roles of the nodes agree", "leader", m.judge.leader)
	}
}
