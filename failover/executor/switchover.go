package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Config is what a switchover needs to know.
type Config struct {
	User, Password string // Bellwether's own account, with the rights of docs/switchover.md
	TLS            mysqlconn.TLS
	ConnectTimeout time.Duration
	Replication    Account // what followers log in with
	// Acks is for how many followers the leader waits; 0 leaves semi-synchronous
	// replication to others.
	Acks int
	// Timeout bounds the time for which writes are held. After it the switchover
	// has been carried out or taken back.
	Timeout time.Duration
	// Engine replicates; nil where the servers do.
	Engine Engine
	// Keep leaves a returned leader as it is that has transactions of its own, when they have
	// been saved; else they are undone, or the Engine makes it equal to the leader.
	Keep bool
}

// own are the accounts of Bellwether itself.
func (c *Config) own() []string {
	if c.Engine == nil {
		return []string{c.User}
	}
	return []string{c.User, c.Engine.User()}
}

// Gate stops clients from reaching the leader, and lets them go on.
type Gate interface {
	// Hold makes what would go to the leader wait, at most for limit, with 0 as long as
	// one waits for a leader; transactions and statements that are under way go on.
	Hold(limit time.Duration)
	// Working is how many sessions have something under way on the leader.
	Working() int
	Release()
	// Cut ends what sessions have on that node, of all nodes where it is empty; the
	// sessions go on.
	Cut(node string)
}

// Report is what a switchover did, or, as a dry run, would do.
type Report struct {
	From, To string
	DryRun   bool
	Done     bool // the new leader takes writes
	Position string
	Held     time.Duration // for how long writes were held
	Steps    []Step
	Reasons  []string // why it was refused; empty when it was not
	Warnings []string
}

// Step is one thing that was done, and how long it took.
type Step struct {
	Name string
	Took time.Duration
	Err  string
}

// ErrRefused says that a switchover was not begun; the report has the reasons.
var ErrRefused = errors.New("the switchover is refused")

// Switchover makes another node the leader. Clients whose work goes through gate
// see no error. The roles in store follow by observation, as the lag monitor makes
// it. When it fails before the new leader takes writes, all is taken back.
//
// succession writes the change down, so that a crash in the middle is finished or
// undone; it is nil where there is no record of who leads.
func Switchover(ctx context.Context, cfg Config, store *topology.Store, gate Gate, succession *Succession, to string, dryRun bool, log *slog.Logger) (Report, error) {
	snap := store.Load()
	plan := NewPlan(snap, to)
	r := &run{cfg: cfg, store: store, gate: gate, log: log, snap: snap, record: succession, report: Report{
		From: plan.From, To: plan.To, DryRun: dryRun, Reasons: plan.Reasons, Warnings: plan.Warnings,
	}}
	defer r.close()
	if cfg.Engine != nil && succession == nil && !dryRun {
		r.refuse("with the engine a switchover needs failover.mode manual or automatic, for somebody must write down who leads")
	}
	if cfg.Replication.User == "" {
		r.refuse("the account by which nodes follow each other is not known: give replication.user")
	}
	if plan.Possible() {
		if err := r.connect(); err != nil {
			return r.report, err
		}
		r.check(ctx)
	}
	if len(r.report.Reasons) > 0 {
		return r.report, ErrRefused
	}
	if dryRun {
		return r.report, nil
	}
	err := r.change(ctx)
	log.Info("switchover", "from", r.report.From, "to", r.report.To, "done", r.report.Done,
		"held", r.report.Held, "position", r.report.Position, "warnings", r.report.Warnings, "err", err)
	return r.report, err
}

// run is one switchover under way.
type run struct {
	cfg    Config
	store  *topology.Store
	gate   Gate
	log    *slog.Logger
	snap   *topology.Snapshot
	report Report
	record *Succession // nil: nobody keeps a record

	old, next *server
	others    []*server
	until     gtid.Set // where the old leader's reign ended
}

func (r *run) refuse(format string, args ...any) {
	r.report.Reasons = append(r.report.Reasons, fmt.Sprintf(format, args...))
}

func (r *run) warn(format string, args ...any) {
	r.report.Warnings = append(r.report.Warnings, fmt.Sprintf(format, args...))
}

func (r *run) connect() error {
	for _, n := range r.snap.Nodes {
		s, err := dial(&r.cfg, n.Name, n.Address, r.snap.Flavor, r.log)
		if err != nil {
			return err
		}
		switch n.Name {
		case r.report.From:
			r.old = s
		case r.report.To:
			r.next = s
		default:
			r.others = append(r.others, s)
		}
	}
	return nil
}

func (r *run) close() {
	for _, s := range append([]*server{r.old, r.next}, r.others...) {
		if s != nil {
			s.close()
		}
	}
}

// check asks the servers what the topology does not tell.
func (r *run) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	st, err := r.next.settings(ctx)
	if err != nil {
		r.refuse("%v", err)
		return
	}
	for _, why := range st.against(r.next.name) {
		r.refuse("%s", why)
	}
	switch on, err := r.old.readOnly(ctx); {
	case err != nil:
		r.refuse("%v", err)
	case on:
		r.refuse("%s is read-only already", r.old.name)
	}
	leads, err := r.old.executed(ctx)
	if err != nil {
		r.refuse("%v", err)
		return
	}
	has, err := r.next.executed(ctx)
	if err != nil {
		r.refuse("%v", err)
		return
	}
	// Asked later, a follower may be ahead of what the leader said: only what the
	// leader still lacks is its own.
	if extra := own(has, leads); !extra.IsEmpty() {
		if leads, err = r.old.executed(ctx); err != nil {
			r.refuse("%v", err)
		} else if extra = own(has, leads); !extra.IsEmpty() {
			r.refuse("%s has transactions that %s lacks: %s", r.next.name, r.old.name, extra)
		}
	}
}

// step performs one step and notes it.
func (r *run) step(name string, f func() error) error {
	s, err := timed(name, f)
	r.report.Steps = append(r.report.Steps, s)
	return err
}

func timed(name string, f func() error) (Step, error) {
	start := time.Now()
	err := f()
	s := Step{Name: name, Took: time.Since(start)}
	if err != nil {
		s.Err = mysqlconn.Describe(err)
	}
	return s, err
}

// change carries the switchover out. Writes are held from here until the new leader is seen to
// take them, or all is taken back.
func (r *run) change(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	start := time.Now()
	r.gate.Hold(r.cfg.Timeout + 2*undoTimeout)
	release := sync.OnceFunc(func() {
		r.gate.Release()
		r.report.Held = time.Since(start)
	})
	defer release()
	if r.record != nil {
		if err := r.step("claim an epoch", func() error { return r.record.claim(ctx, r.old.name, r.next.name) }); err != nil {
			return err
		}
	}
	if err := r.step("drain the clients' transactions", func() error { return r.drain(ctx) }); err != nil {
		return errors.Join(err, r.stay(ctx)) // nothing was changed
	}
	if err := r.step("make "+r.old.name+" read-only", func() (err error) {
		r.until, err = r.old.fence(ctx)
		return err
	}); err != nil {
		return errors.Join(err, r.stay(ctx))
	}
	r.report.Position = r.until.String()
	if err := r.step("wait until "+r.next.name+" has everything", func() error { return r.caughtUp(ctx) }); err != nil {
		return errors.Join(err, r.takeBack(ctx))
	}
	if r.record != nil {
		if err := r.step("write "+r.next.name+" down as the leader", func() error { return r.record.publish(ctx, r.next.name, r.until.String()) }); err != nil {
			return errors.Join(err, r.takeBack(ctx))
		}
	}
	if r.record != nil && r.cfg.Engine != nil {
		if err := r.step("let the engine go on from "+r.next.name, func() error { return r.record.handOn(ctx) }); err != nil {
			return errors.Join(err, r.takeBack(ctx))
		}
	}
	if err := r.step("open "+r.next.name, func() error { return r.promote(ctx) }); err != nil {
		return err
	}
	r.report.Done = true
	followed := r.repoint(ctx)
	defer followed()
	if r.record != nil {
		if err := r.step("write down that the change is over", func() error { return r.record.finish(ctx) }); err != nil {
			r.warn("%v", err)
		}
	}
	if err := r.step("see "+r.next.name+" as the leader", func() error { return r.seen(ctx, r.next.name) }); err != nil {
		r.warn("%v; writes wait for it", err)
	}
	release() // a follower that does not answer now keeps nobody from writing
	return nil
}

// drain waits until no session has anything under way on the leader.
func (r *run) drain(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		n := r.gate.Working()
		if n == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d sessions still have a transaction or a statement open on %s: nothing was changed: %w", n, r.old.name, ctx.Err())
		}
	}
}

// caughtUp waits for the candidate, and then makes sure that nobody wrote past the
// fence, as accounts with READ ONLY ADMIN can on MariaDB.
func (r *run) caughtUp(ctx context.Context) error {
	if err := r.next.catchUp(ctx, r.until); err != nil {
		return err
	}
	now, err := r.old.executed(ctx)
	if err != nil {
		return err
	}
	if !r.until.Contains(now) {
		return fmt.Errorf("somebody writes to %s although it is read-only, past Bellwether: %s", r.old.name, now.Subtract(r.until))
	}
	return nil
}

// stay writes down that the old leader goes on.
func (r *run) stay(ctx context.Context) error {
	if r.record == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return r.step("write down that "+r.old.name+" goes on", func() error { return r.record.undo(ctx, r.old.name) })
}

// takeBack lets the old leader lead again, once the record says so: a record that
// names the new one would have it opened.
func (r *run) takeBack(ctx context.Context) error {
	if err := r.stay(ctx); err != nil {
		return fmt.Errorf("%s stays read-only: %w", r.old.name, err)
	}
	return r.step("let "+r.old.name+" take writes again", func() error {
		if err := r.old.unfence(ctx, 0); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return r.seen(ctx, r.old.name)
	})
}

// promote lets the candidate take writes. The old leader may take them again only
// where the candidate certainly does not, now or later: a statement whose answer
// did not come may still be carried out.
func (r *run) promote(ctx context.Context) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	err := r.next.detach(ctx)
	if err == nil && r.record != nil {
		err = r.record.prepare(ctx, r.next)
	}
	if err == nil {
		if err = r.next.open(undo); err == nil {
			return nil
		}
		if _, _, refused := mysqlconn.ServerError(err); !refused {
			if on, ask := r.next.readOnly(undo); ask == nil && !on {
				return nil // it was carried out
			}
			return errors.Join(err, fmt.Errorf(
				"%s may take writes, now or later: %s stays read-only; see which of the two leads, and make it writable", r.next.name, r.old.name))
		}
	}
	// follow makes it read-only before anything else.
	if back := r.next.follow(undo, r.snap.Leader.Address, r.cfg.Replication, false); back != nil {
		if on, ask := r.next.readOnly(undo); ask != nil || !on {
			return errors.Join(err, back, fmt.Errorf(
				"%s may take writes: %s stays read-only; see which of the two leads, and make it writable", r.next.name, r.old.name))
		}
		err = errors.Join(err, back)
	}
	return errors.Join(err, r.takeBack(ctx))
}

// repoint begins to let all others follow the new leader, beside each other, and returns what waits
// until they do. What cannot be told is a warning: there is no way back.
func (r *run) repoint(ctx context.Context) (wait func()) {
	address := r.snap.Node(r.next.name).Address
	all := append([]*server{r.old}, r.others...)
	steps, errs := make([]Step, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			steps[i], errs[i] = timed("let "+s.name+" follow "+r.next.name, func() error {
				if s == r.old {
					return r.rejoin(ctx, address)
				}
				return s.follow(ctx, address, r.cfg.Replication, false)
			})
		})
	}
	return func() {
		wg.Wait()
		r.report.Steps = append(r.report.Steps, steps...)
		for i, s := range all {
			if errs[i] != nil {
				r.warn("%s does not follow %s: %v", s.name, r.next.name, errs[i])
			}
		}
	}
}

// rejoin takes the old leader back as a follower, unless it has got transactions
// of its own after all: then it stays as it is, read-only, for somebody to look at.
func (r *run) rejoin(ctx context.Context, leader string) error {
	now, err := r.old.executed(ctx)
	if err != nil {
		return err
	}
	if extra := own(now, r.until); !extra.IsEmpty() {
		return fmt.Errorf("it has transactions of its own, written past the fence, and is left as it is: %s", extra)
	}
	return r.old.follow(ctx, leader, r.cfg.Replication, true)
}

// seen waits until the topology shows that node as a leader that takes writes, so
// that held ones do not run into a node that refuses them.
func (r *run) seen(ctx context.Context, name string) error {
	start := time.Now()
	for {
		snap, changed := r.store.Changed()
		if l := snap.Leader; l != nil && l.Name == name && l.State == topology.StateUp && l.Lag.Measured.After(start) {
			return nil
		}
		r.store.Hurry(time.Now().Add(time.Second))
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s is not seen as the leader yet: %w", name, ctx.Err())
		}
	}
}
