package ack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/quorum"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// Options are who acknowledges to whom.
type Options struct {
	Leader    mysqlconn.Config // the engine's account
	Name      string           // of the leader
	Followers []string         // names of all that may commit
	Policy    quorum.Policy
	Logger    *slog.Logger
	Metrics   *Metrics // may be nil
}

// State is what an Acker does.
type State uint8

// States of an Acker.
const (
	StateWaiting       State = iota // for the leader; see Why
	StateStandby                    // another Bellwether acknowledges
	StateAcknowledging              //
)

func (s State) String() string { return [...]string{"waiting", "standby", "acknowledging"}[s] }

// Status is how an Acker fares.
type Status struct {
	State   State
	Why     string   // of StateWaiting and StateStandby, for people
	InSync  []string // followers, in the order of their names
	Short   bool     // fewer are in sync than the policy wants: writes wait, or, degraded, are not protected
	Waiting int      // transactions of the leader that are not acknowledged
}

// Acker acknowledges one leader's transactions. Its methods may be called by
// several goroutines.
type Acker struct {
	opts Options
	log  *slog.Logger
	id   uint32        // as a replica
	wake chan struct{} // something may be acknowledged

	mu     sync.Mutex // guards all below
	window *quorum.Window
	status Status
	joined map[string]bool // followers that have ever been replicated to
	armed  bool            // the leader has been made to wait
}

// New returns an Acker that does nothing before Run.
func New(o Options) *Acker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics, _ = NewMetrics(nil)
	}
	a := &Acker{
		opts: o, log: o.Logger, wake: make(chan struct{}, 1),
		id:     stream.NewServerID(),
		window: quorum.New(o.Policy, o.Followers),
		status: Status{Why: "not asked yet", InSync: []string{}}, joined: map[string]bool{},
	}
	for _, f := range o.Followers {
		a.opts.Metrics.inSync.WithLabelValues(f).Set(0)
	}
	return a
}

// Count says whose commits count from now on; nil: those of all followers.
func (a *Acker) Count(followers []string) {
	a.mu.Lock()
	a.window.Count(followers)
	a.mu.Unlock()
	a.nudge()
}

// Join says that a follower is replicated to, from where it stands.
func (a *Acker) Join(follower string, applied gtid.Set) {
	a.mu.Lock()
	a.window.Join(follower, applied)
	a.joined[follower] = true
	a.mu.Unlock()
	a.nudge()
}

// Leave says that a follower is no longer replicated to from here.
func (a *Acker) Leave(follower string) {
	a.mu.Lock()
	a.window.Leave(follower, time.Now())
	a.mu.Unlock()
}

// Committed says what a follower has durably committed by now.
func (a *Acker) Committed(follower string, applied gtid.Set) {
	a.mu.Lock()
	a.window.Committed(follower, applied)
	a.mu.Unlock()
	a.nudge()
}

func (a *Acker) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Standby reports whether another Bellwether acknowledges.
func (a *Acker) Standby() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status.State == StateStandby
}

// Status returns how it fares.
func (a *Acker) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.InSync, s.Waiting = a.window.InSync(), a.window.Waiting()
	return s
}

func (a *Acker) become(s State, why string) {
	a.mu.Lock()
	was := a.status
	a.status.State, a.status.Why = s, why
	a.mu.Unlock()
	a.opts.Metrics.state(s)
	if was.State != s || was.Why != why {
		a.log.Info("acknowledgement", "state", s.String(), "why", why)
	}
}

// Pauses between connections to the leader.
const (
	leastPause   = 20 * time.Millisecond
	mostPause    = 500 * time.Millisecond
	standbyPause = time.Second
	stuckAfter   = 15 * time.Second // of writes that wait under another one: it is ended
)

var errStandby = errors.New("another Bellwether acknowledges this leader's transactions")

// Run acknowledges until ctx ends, and returns nil then. The leader goes on
// waiting: nothing is acknowledged that nobody has.
func (a *Acker) Run(ctx context.Context) error {
	pause, exact := leastPause, false
	for ctx.Err() == nil {
		began := time.Now()
		err := a.session(ctx, exact)
		exact = !exact && errors.Is(err, stream.ErrPurged)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errStandby):
			a.become(StateStandby, err.Error())
			pause = standbyPause
		default:
			a.become(StateWaiting, mysqlconn.Describe(err))
			if pause = min(2*pause, mostPause); time.Since(began) > time.Second {
				pause = leastPause
			}
		}
		sleep(ctx, pause)
	}
	return nil
}

// sleep waits, and reports whether ctx lasted.
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

// askTimeout bounds questions to a leader that may stand still.
const askTimeout = 10 * time.Second

// session is one connection to the leader; exact as in start.
func (a *Acker) session(ctx context.Context, exact bool) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cfg := a.opts.Leader
	cfg.Program, cfg.IOTimeout = "bellwether acknowledger", askTimeout
	l, err := node.Open(ask, a.opts.Name, cfg, 3)
	if err != nil {
		return fmt.Errorf("the leader: %w", err)
	}
	defer func() { _ = l.Close() }()
	lock, err := a.lock(ask, ctx, l)
	if err != nil {
		return err
	}
	defer mysqlconn.Discard(lock)
	// Writes wait from here on, whoever acknowledges them.
	if err := a.arm(ctx, l); err != nil {
		return err
	}
	ask, cancel2 := context.WithTimeout(ctx, askTimeout)
	defer cancel2()
	from, err := start(ask, l, exact)
	if err != nil {
		return err
	}
	dump, err := stream.Open(ctx, stream.Options{Leader: cfg, Flavor: l.Flavor, ServerID: a.id, SemiSync: true, Loose: true}, from)
	if err != nil {
		return err
	}
	defer dump.Close()
	a.mu.Lock()
	a.window.Restart()
	a.mu.Unlock()
	a.become(StateAcknowledging, "")
	a.nudge()
	g, gctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(gctx, dump.Close)
	defer stop()
	g.Go(func() error { return a.read(dump) })
	g.Go(func() error { return a.send(gctx, dump) })
	g.Go(func() error { return a.watch(gctx, l, lock) })
	return g.Wait()
}

// arm makes the leader wait. Where it never did, that comes when as many followers
// follow as are needed: an initial copy has to lock the leader for a moment, which
// waits for commits, which would wait for followers that are to be copied.
func (a *Acker) arm(ctx context.Context, l *node.Server) error {
	on, err := enabled(ctx, l)
	if err != nil {
		return err
	}
	for !on && !a.enough() {
		a.become(StateWaiting, "the leader does not wait for acknowledgements before enough followers follow")
		if !sleep(ctx, tick) {
			return ctx.Err()
		}
	}
	changed, err := require(ctx, l)
	if len(changed) > 0 {
		a.log.Warn("the leader waits for acknowledgements from now on; what it committed before may be on no follower", "changed", changed)
	}
	if err == nil {
		a.mu.Lock()
		a.armed = true
		a.mu.Unlock()
	}
	return err
}

// enough says that the leader can be made to wait, or has been.
func (a *Acker) enough() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.armed || len(a.joined) >= a.opts.Policy.Needed()
}

// start is where to read from, so that everything comes that the leader may wait for. exact
// leaves out what MariaDB would send again; nobody waits for what its binlog no longer has.
func start(ctx context.Context, l *node.Server, exact bool) (gtid.Set, error) {
	from, err := l.Written(ctx, l.DB)
	if err == nil && l.IsMariaDB() && !exact {
		from = from.BeforeLast()
	}
	return from, err
}

// read takes what the leader writes.
func (a *Acker) read(d *stream.Dump) error {
	var group binlog.Group
	var of binlog.GTID
	var at uint64
	for {
		ev, err := d.Next()
		if err != nil {
			return err
		}
		if ev.Flags&binlog.FlagArtificial == 0 {
			// The header's position has 32 bits, a binlog may be longer.
			if at += uint64(ev.Size); ev.LogPos != 0 && uint32(at) != ev.LogPos {
				at = uint64(ev.LogPos)
			}
		}
		place, err := group.Step(ev.Event)
		if err != nil {
			return fmt.Errorf("read the leader's binlog: %w", err)
		}
		switch place {
		case binlog.Begin:
			of = group.Txn().GTID
		case binlog.Last:
			a.mu.Lock()
			a.window.Add(quorum.Transaction{GTIDs: of.Set(), File: d.File(), End: at}, time.Now())
			a.mu.Unlock()
			a.nudge()
		case binlog.Outside, binlog.Inside, binlog.Void:
		}
	}
}

// tick is how often the in-sync set is looked at.
const tick = 100 * time.Millisecond

// send acknowledges what may be.
func (a *Acker) send(ctx context.Context, d *stream.Dump) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			a.judge(time.Now())
		case <-a.wake:
		}
		a.mu.Lock()
		to, ok, short := a.window.Acknowledge()
		waiting := a.window.Waiting()
		a.mu.Unlock()
		a.shortage(short)
		a.opts.Metrics.waiting.Set(float64(waiting))
		if !ok {
			continue
		}
		a.opts.Metrics.sent.Inc()
		if err := d.Ack(to.File, to.End); err != nil {
			return err
		}
	}
}

// judge lets time pass for the in-sync set.
func (a *Acker) judge(now time.Time) {
	a.mu.Lock()
	entered, left := a.window.Tick(now)
	set := a.window.InSync()
	a.mu.Unlock()
	for _, f := range entered {
		a.opts.Metrics.inSync.WithLabelValues(f).Set(1)
		a.log.Info("the follower is in sync", "node", f, "in_sync", set)
	}
	for _, f := range left {
		a.opts.Metrics.inSync.WithLabelValues(f).Set(0)
		a.log.Warn("the follower is no longer in sync", "node", f, "in_sync", set)
	}
}

// shortage says loudly when too few are in sync, and when enough are again.
func (a *Acker) shortage(short bool) {
	a.mu.Lock()
	was := a.status.Short
	a.status.Short = short
	set := a.window.InSync()
	a.mu.Unlock()
	a.opts.Metrics.short(short, a.opts.Policy.Degrade)
	switch {
	case short == was:
	case short && a.opts.Policy.Degrade:
		a.log.Error("too few followers are in sync: writes are acknowledged without them, and can be lost (replication.on_insufficient: degrade)", "in_sync", set)
	case short:
		a.log.Warn("fewer followers are in sync than replication.acks and replication.min_in_sync ask for: writes wait until they have what is asked for", "in_sync", set)
	default:
		a.log.Info("enough followers are in sync", "in_sync", set)
	}
}

// lockName is held on the leader by whoever acknowledges.
const lockName = "bellwether.ack"

// lock makes this the one Bellwether that acknowledges, or fails with errStandby.
func (a *Acker) lock(ask, ctx context.Context, l *node.Server) (*sql.Conn, error) {
	c, err := l.DB.Conn(ask)
	if err != nil {
		return nil, err
	}
	var got sql.NullInt64
	if _, err = c.ExecContext(ask, "SET SESSION wait_timeout=31536000"); err == nil {
		err = c.QueryRowContext(ask, "SELECT GET_LOCK('"+lockName+"',0)").Scan(&got)
	}
	if err == nil && got.Int64 != 1 {
		a.become(StateStandby, errStandby.Error())
		err = a.standBy(ctx, c, l)
	}
	if err != nil {
		mysqlconn.Discard(c)
		return nil, err
	}
	return c, nil
}

// standBy returns nil when the lock has come to c. It ends the connection of an
// owner under whom writes wait for long: its host may be gone without a word.
func (a *Acker) standBy(ctx context.Context, c *sql.Conn, l *node.Server) error {
	since := time.Now()
	for sleep(ctx, standbyPause) {
		var got, by sql.NullInt64
		if err := c.QueryRowContext(ctx, "SELECT GET_LOCK('"+lockName+"',0), IS_USED_LOCK('"+lockName+"')").Scan(&got, &by); err != nil {
			return err
		}
		if got.Int64 == 1 {
			return nil
		}
		now, err := look(ctx, l)
		switch {
		case err != nil:
			return err
		case now.waiting == "0" || now.waiting == "":
			since = time.Now()
		case time.Since(since) > stuckAfter && by.Valid:
			a.log.Warn("writes wait under another Bellwether that does not acknowledge them; it is ended", "connection", by.Int64)
			if err := mysqlconn.Kill(ctx, c, uint64(by.Int64)); err != nil {
				return err
			}
			since = time.Now()
		}
	}
	return ctx.Err()
}

// watch looks every second whether the leader still waits as it must, and whether
// the lock is still ours.
func (a *Acker) watch(ctx context.Context, l *node.Server, lock *sql.Conn) error {
	told, last, looks := "", "", 0
	for sleep(ctx, time.Second) {
		var ours sql.NullInt64
		if err := lock.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+lockName+"')=CONNECTION_ID()").Scan(&ours); err != nil {
			return fmt.Errorf("the leader: %w", err)
		}
		if ours.Int64 != 1 {
			return errors.New("the lock on the leader is lost")
		}
		changed, err := require(ctx, l)
		if err != nil {
			return err
		}
		now, err := look(ctx, l)
		if err != nil {
			return err
		}
		problem := ""
		switch {
		case len(changed) > 0:
			problem = fmt.Sprint("somebody changed how the leader waits for acknowledgements: ", changed, "; writes meanwhile may be on no follower")
		case !now.on:
			problem = "the leader does not wait for acknowledgements: its semi-synchronous status is OFF"
		case now.clients != "1":
			problem = "the leader has " + now.clients + " semi-synchronous replicas: one that is not Bellwether's acknowledges what no follower has committed"
		}
		if looks++; problem != last {
			last, looks = problem, 1
		}
		// The stream of a Bellwether that was killed stays a little.
		if problem != told && (problem == "" || looks >= 3 || len(changed) > 0) {
			if told = problem; problem != "" {
				a.log.Error("the leader does not wait for followers as it should", "why", problem)
			}
		}
		if len(changed) > 0 {
			return errors.New(problem) // a replica is semi-synchronous from its connection on
		}
	}
	return ctx.Err()
}
