package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/coord"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// LoopConfig is what a Loop is made of. Everything is needed but what says otherwise.
type LoopConfig struct {
	Servers  Config // how nodes are reached; its Timeout bounds one statement
	Policy   failover.Config
	Targets  []Target    // the nodes of Policy, with their addresses
	Flavor   gtid.Flavor // FlavorUnknown: the nodes are asked
	Interval time.Duration
	Timeout  time.Duration // of one probe

	Coord coord.Coordinator
	Gate  Gate
	Store *topology.Store
	// Appoint makes a node the leader in the Store.
	Appoint   func(leader string, epoch uint64)
	Heartbeat func() Heartbeat
	// Answered says whether a client was told that a transaction has committed, and whether that
	// is known; began is when it did, by the clock of its server. Nil: it never is.
	Answered func(gtid string, began time.Time) (yes, known bool)
	Hook     string // program that is run at events; empty for none
	Dir      string // where incidents and rescued transactions are kept
	Log      *slog.Logger
	Metrics  prometheus.Registerer // may be nil
}

// Loop lets a failover.Machine drive the servers. Only its own goroutine steps the
// machine; each action that takes time has a goroutine of its own.
type Loop struct {
	cfg   LoopConfig
	m     *failover.Machine
	hands *hands
	diary *Incidents
	log   *slog.Logger
	met   *metrics

	looks   chan seen
	results chan failover.Done
	asks    chan ask
	reign   *reign
	left    chan struct{} // a guest is done
	ended   chan struct{} // closed when Run is over
	view    atomic.Pointer[View]

	urgent chan struct{} // a node has begun to refuse connections

	aliveMu sync.Mutex           // guards the two below
	lived   map[string]time.Time // when each node was last seen to live, by us
	refuses map[string]time.Time // when it was last seen to refuse connections, since

	gateMu sync.Mutex // guards the two below
	turn   uint64     // of the gate: a release that was overtaken does nothing
	holds  bool

	// The rest belongs to Run's goroutine.
	nodes    cluster
	waiting  map[uint64]chan failover.Action // who asked, by the request's number
	requests uint64
	running  int    // actions under way
	cutAt    uint64 // the epoch for which sessions were cut off the old leader
	noLease  bool
	guest    *ask      // who has the servers to itself, or waits for that
	leftAt   time.Time // when the last guest was done
	visiting bool      // guest is at work: the machine is not stepped
	pool     *errgroup.Group
}

// View is what a Loop shows of itself.
type View struct {
	Held     bool // this proxy coordinates
	Lease    bool // it may route writes
	Step     string
	Record   topology.Record
	Problems []failover.Problem
	Writes   bool // statements that write go on
}

// ask is a request from outside: for the machine, or for the servers to itself.
type ask struct {
	request failover.Request
	answer  chan failover.Action
	visit   func(context.Context, *Succession) error
	visited chan error
}

// ErrBusy says that the leader is being changed already, or that this proxy may not.
var ErrBusy = errors.New("the leader is being changed already, or has not been written down yet, or another proxy coordinates")

// errEnded says that the program ends.
var errEnded = errors.New("the program ends; what was begun is finished or undone at the next start")

// NewLoop returns a Loop that does nothing before Run.
func NewLoop(cfg LoopConfig) (*Loop, error) {
	diary, err := OpenIncidents(cfg.Dir)
	if err != nil {
		return nil, err
	}
	h, err := newHands(&cfg.Servers, cfg.Targets, cfg.Log)
	if err != nil {
		return nil, err
	}
	met, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	h.rescue = &rescuer{cfg: &cfg.Servers, dir: filepath.Join(cfg.Dir, RescueFolder), answered: cfg.Answered, log: cfg.Log}
	l := &Loop{
		cfg: cfg, m: failover.New(cfg.Policy), hands: h, diary: diary, log: cfg.Log, met: met,
		looks: make(chan seen), results: make(chan failover.Done), asks: make(chan ask),
		left: make(chan struct{}), ended: make(chan struct{}),
		reign: &reign{engine: cfg.Servers.Engine}, lived: map[string]time.Time{}, refuses: map[string]time.Time{}, urgent: make(chan struct{}, 1), nodes: cluster{}, waiting: map[uint64]chan failover.Action{},
	}
	for _, t := range cfg.Targets {
		l.nodes[t.Name] = &memory{address: t.Address}
	}
	l.view.Store(&View{})
	return l, nil
}

// View is the present state.
func (l *Loop) View() View { return *l.view.Load() }

// Incidents are the latest ones, the newest last; at most limit.
func (l *Loop) Incidents(limit int) ([]Incident, error) { return l.diary.Latest(limit) }

// Run works until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	l.pool = g
	defer l.hands.close()
	defer close(l.ended)
	for _, t := range l.cfg.Targets {
		o, err := newObserver(&l.cfg.Servers, t, l.cfg.Flavor, l.cfg.Timeout, l.log)
		if err != nil {
			return fmt.Errorf("observe %s: %w", t.Name, err)
		}
		g.Go(func() error { o.run(ctx, l.cfg.Interval, l.tell); return nil })
	}
	g.Go(func() error { return l.cfg.Coord.Run(ctx) })
	g.Go(func() error { l.share(ctx); return nil })
	g.Go(func() error { l.loop(ctx); return nil })
	return g.Wait()
}

func (l *Loop) tell(ctx context.Context, s seen) {
	select {
	case l.looks <- s:
	case <-ctx.Done():
	}
}

func (l *Loop) loop(ctx context.Context) {
	changed := l.cfg.Coord.Changed()
	l.coordinate(ctx)
	tick := time.NewTicker(l.cfg.Policy.Freshness / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-l.looks:
			h := l.cfg.Heartbeat()
			l.alive(&s)
			if s.sent.Before(l.leftAt) {
				continue // of the nodes before a guest changed them
			}
			sight := l.nodes.sight(l.cfg.Policy.Self, l.m.Record().Leader, &s, &h, l.cfg.Policy.HeartbeatTimeout, l.cfg.Policy.Freshness)
			l.complete(&sight, &s)
			l.step(ctx, failover.Seen{Sight: sight})
		case d := <-l.results:
			l.running--
			l.step(ctx, d)
		case a := <-l.asks:
			l.take(ctx, a)
		case <-l.left:
			l.running--
			l.visiting, l.guest, l.leftAt = false, nil, time.Now()
			l.m.Forget(l.leftAt)
			l.coordinate(ctx)
		case <-changed:
			changed = l.cfg.Coord.Changed()
			l.coordinate(ctx)
		case now := <-tick.C:
			if st := l.cfg.Coord.Status(); st.MayWrite(now) == l.noLease {
				l.coordinate(ctx)
			}
			for _, s := range hearsay(l.cfg.Coord.Shared(), now) {
				l.step(ctx, failover.Seen{Sight: s})
			}
			l.step(ctx, failover.Tick{})
		}
	}
}

// complete adds to a sight what the engine knows, where one replicates.
func (l *Loop) complete(sight *failover.Sight, s *seen) {
	e := l.cfg.Servers.Engine
	if e == nil {
		return
	}
	r := l.m.Record()
	if s.state != nil && s.node == r.Leader && !s.state.ReadOnly {
		l.hands.events.Store(s.state.Events)
	}
	lookAt(e, sight, &r, l.cfg.Coord.Status().Held, l.cfg.Policy.Acks)
}

func (l *Loop) coordinate(ctx context.Context) {
	st := l.cfg.Coord.Status()
	l.noLease = !st.MayWrite(time.Now())
	if l.visiting {
		l.reign.follow(&st.Record, st.Record.Members, st.Held && !l.noLease) // a guest writes the record past the machine
	}
	l.step(ctx, failover.Coordination{Held: st.Held, NoLease: l.noLease, Record: st.Record})
}

// step steps the machine and starts what it wants.
func (l *Loop) step(ctx context.Context, ev failover.Event) {
	if l.visiting {
		return // what a guest changes would look like faults
	}
	for _, a := range l.m.Step(ev, time.Now()) {
		l.act(ctx, a)
	}
	rec := newer(l.m.Record(), l.cfg.Coord.Status().Record)
	l.reign.follow(&rec, l.m.Counting(), l.cfg.Coord.Status().Held && !l.noLease)
	l.show()
	if l.guest != nil {
		l.admit(ctx)
	}
}

func (l *Loop) show() {
	l.gateMu.Lock()
	holds := l.holds
	l.gateMu.Unlock()
	now := &View{
		Held: l.cfg.Coord.Status().Held, Lease: !l.noLease, Step: l.m.Changing(), Record: l.m.Record(), Problems: l.m.Problems(), Writes: !holds,
	}
	l.met.show(now, l.view.Load().Problems)
	l.view.Store(now)
}

// act starts one action.
func (l *Loop) act(ctx context.Context, a failover.Action) {
	p := &l.cfg.Policy
	switch a.Kind {
	case failover.HoldWrites:
		l.hold()
	case failover.ReleaseWrites:
		l.release(ctx, a.Node, a.Epoch)
	case failover.Report:
		l.report(a)
	case failover.Answer:
		if c := l.waiting[a.Request]; c != nil {
			c <- a
			delete(l.waiting, a.Request)
		}
	case failover.RunHook:
		l.start(ctx, a, p.FenceTimeout, func(ctx context.Context) failover.Done { return l.runHook(ctx, &a) })
	case failover.Publish:
		l.start(ctx, a, p.StepTimeout, func(ctx context.Context) failover.Done { return publish(ctx, l.cfg.Coord, &a) })
	case failover.Fence:
		l.cut()
		l.start(ctx, a, p.FenceTimeout, func(ctx context.Context) failover.Done { return l.hands.perform(ctx, &a) })
	case failover.Compare:
		l.start(ctx, a, p.StepTimeout, func(ctx context.Context) failover.Done { return l.hands.compare(ctx, &a) })
	case failover.RescueAndRejoin:
		l.start(ctx, a, rescueTimeout, func(ctx context.Context) failover.Done { return l.hands.perform(ctx, &a) })
	default:
		l.cut()
		l.start(ctx, a, p.TimeFor(&a), func(ctx context.Context) failover.Done { return l.hands.perform(ctx, &a) })
	}
}

// rescueTimeout bounds the saving of what a node has of its own.
const rescueTimeout = time.Hour

// start performs an action in a goroutine of its own. Its time ends a little before
// the machine stops waiting for it.
func (l *Loop) start(ctx context.Context, a failover.Action, timeout time.Duration, f func(context.Context) failover.Done) {
	l.running++
	l.pool.Go(func() error {
		actx, cancel := context.WithTimeout(ctx, timeout-timeout/20)
		defer cancel()
		begin := time.Now()
		d := f(actx)
		d.ID = a.ID
		l.log.Debug("action", "action", a.String(), "took", time.Since(begin), "err", d.Err)
		select {
		case l.results <- d:
		case <-ctx.Done():
		}
		return nil
	})
}

// publish replaces the record.
func publish(ctx context.Context, c coord.Coordinator, a *failover.Action) failover.Done {
	var d failover.Done
	stored, err := c.Swap(ctx, a.Record)
	switch {
	case err == nil:
		d.Record = stored
	case errors.Is(err, coord.ErrConflict):
		d.Conflict, d.Record, d.Err = true, stored, err.Error()
	default:
		d.Err = err.Error()
	}
	return d
}

// hold makes what would write wait. Before the first leader has been written down
// nobody has promised anything, and what the nodes show of themselves decides; but
// without a lease another proxy may have.
func (l *Loop) hold() {
	if r := l.m.Record(); r.Leader == "" && !l.noLease {
		return
	}
	l.gateMu.Lock()
	l.turn++
	l.holds = true
	l.cfg.Gate.Hold(0)
	l.gateMu.Unlock()
	if l.noLease {
		l.cfg.Gate.Cut("")
	}
}

// release lets writes go on to the leader, once the Store shows it.
func (l *Loop) release(ctx context.Context, leader string, epoch uint64) {
	l.gateMu.Lock()
	l.turn++
	turn := l.turn
	l.gateMu.Unlock()
	l.cfg.Appoint(leader, epoch)
	l.pool.Go(func() error {
		for {
			snap, changed := l.cfg.Store.Changed()
			if n := snap.Leader; n != nil && n.Name == leader && snap.Epoch == epoch && n.State == topology.StateUp {
				break
			}
			l.cfg.Store.Hurry(time.Now().Add(time.Second))
			select {
			case <-changed:
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return nil
			}
			if l.overtaken(turn) {
				return nil
			}
		}
		l.gateMu.Lock()
		defer l.gateMu.Unlock()
		if l.turn == turn {
			l.holds = false
			l.cfg.Gate.Release()
		}
		return nil
	})
}

func (l *Loop) overtaken(turn uint64) bool {
	l.gateMu.Lock()
	defer l.gateMu.Unlock()
	return l.turn != turn
}

// cut ends, in a failover, what sessions have on the leader that is given up, before
// anything is done about it: what it still acknowledges from here on may be lost.
func (l *Loop) cut() {
	r := l.m.Record()
	if r.Change == nil || r.Change.Kind != topology.KindFailover || r.Change.Phase != topology.PhaseClaimed || l.cutAt == r.Epoch {
		return
	}
	l.cutAt = r.Epoch
	l.cfg.Gate.Cut(r.Change.From)
}

func (l *Loop) report(a failover.Action) {
	level := slog.LevelInfo
	switch a.Event {
	case "problem", "failed", "blocked", "failover", "finished", "dropped", "undo", "chosen":
		level = slog.LevelWarn
	}
	attrs := []any{"event", a.Event}
	for _, w := range []struct{ key, value string }{{"node", a.Node}, {"code", a.Code}, {"from", a.From}, {"text", a.Text}, {"position", a.Until.String()}} {
		if w.value != "" {
			attrs = append(attrs, w.key, w.value)
		}
	}
	if a.Epoch != 0 {
		attrs = append(attrs, "epoch", a.Epoch)
	}
	l.log.Log(context.Background(), level, "failover", attrs...)
	ended, err := l.diary.Report(a, time.Now())
	if err != nil {
		l.log.Error("the incident cannot be written down", "err", err)
	}
	if ended != nil {
		l.met.ended(ended)
	}
}

// take looks at what somebody asks for.
func (l *Loop) take(ctx context.Context, a ask) {
	if a.visit == nil {
		if l.guest != nil {
			a.answer <- failover.Action{Err: ErrBusy.Error()}
			return
		}
		l.requests++
		a.request.ID = l.requests
		l.waiting[a.request.ID] = a.answer
		l.step(ctx, a.request)
		return
	}
	r := l.m.Record()
	if l.guest != nil || l.m.Changing() != "" || r.Change != nil || r.Leader == "" || !l.cfg.Coord.Status().Held || l.noLease {
		a.visited <- ErrBusy
		return
	}
	l.guest = &a
	l.admit(ctx)
}

// admit gives the servers to the guest once nothing else is under way.
func (l *Loop) admit(ctx context.Context) {
	r := l.m.Record()
	if l.m.Changing() != "" || r.Change != nil {
		l.guest.visited <- ErrBusy
		l.guest = nil
		return
	}
	if l.running > 0 || l.visiting {
		return
	}
	l.visiting = true
	guest := l.guest
	s := &Succession{coord: l.cfg.Coord, record: r, self: l.cfg.Policy.Self, acks: l.cfg.Policy.Acks, members: l.cfg.Policy.Names(), appoint: l.cfg.Appoint, reign: l.reign}
	l.running++
	l.pool.Go(func() error {
		guest.visited <- guest.visit(ctx, s)
		select {
		case l.left <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	})
}

// Ask hands a request to the machine and waits for its answer.
func (l *Loop) Ask(ctx context.Context, r failover.Request) (failover.Action, error) {
	a := ask{request: r, answer: make(chan failover.Action, 1)}
	select {
	case l.asks <- a:
	case <-l.ended:
		return failover.Action{}, errEnded
	case <-ctx.Done():
		return failover.Action{}, ctx.Err()
	}
	select {
	case answer := <-a.answer:
		return answer, nil
	case <-l.ended:
		return failover.Action{}, errEnded
	case <-ctx.Done():
		return failover.Action{}, ctx.Err()
	}
}

// Visit runs f while the loop does nothing else on the servers: a change of the leader
// that somebody else carries out and writes down.
func (l *Loop) Visit(ctx context.Context, f func(context.Context, *Succession) error) error {
	a := ask{visit: f, visited: make(chan error, 1)}
	select {
	case l.asks <- a:
	case <-l.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.visited:
		return err
	case <-l.ended:
		return errEnded
	}
}
