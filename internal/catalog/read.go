package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/router"
)

// The parts of the catalogue, each with a fingerprint and a rhythm of its own.
const (
	partAccounts = iota
	partRoutines
	partViews
	numParts
)

var partNames = [numParts]string{"accounts", "routines", "views"}

// part is what is remembered of one part between polls.
type part struct {
	fingerprint string
	read        time.Time     // when it was last read in full
	asked       time.Time     // when the fingerprint was last asked for
	cost        time.Duration // of that
}

const (
	// restFactor is how many times the cost of a fingerprint passes before the
	// next one: a server with very many tables takes long to list its views, and
	// must not be kept busy with it.
	restFactor = 20
	// rereadAfter is when a part is read in full although its fingerprint is the
	// same: passwords expire without anything being written.
	rereadAfter = time.Minute
)

func (p *part) due(s scope, now time.Time) bool {
	return s == scopeAll || now.Sub(p.asked) >= restFactor*p.cost
}

// read is one reading. Each part is published as soon as it is there, and one
// that cannot be read does not keep the others.
func (p *Poller) read(ctx context.Context, cfg Config, s scope, now time.Time) error {
	id, ok := identify(p.store.Load())
	if !ok {
		return ErrNoLeader
	}
	r := &p.reader
	if err := r.aim(id, cfg, p.log); err != nil {
		return err
	}
	vars, err := r.variables(ctx)
	if err != nil {
		return fmt.Errorf("variables of %s: %w", id.name, describe(err))
	}
	old := p.variables.Load()
	if old == nil || !old.equal(vars) {
		p.variables.Store(vars)
	}
	changedResolve := old == nil || old.SkipNameResolve != vars.SkipNameResolve
	err = p.readPart(ctx, partAccounts, s, now, changedResolve, func(ctx context.Context, fingerprint string) error {
		list, err := r.accounts(ctx)
		if err == nil {
			t := accounts.New(id.flavor, list, vars.SkipNameResolve).WithVersion(fingerprint)
			p.accounts.Store(t)
			p.met.accounts.Set(float64(t.Len()))
		}
		return err
	})
	if s == scopeAccounts {
		return err
	}
	procs, views := r.procs, r.views
	routinesErr := p.readPart(ctx, partRoutines, s, now, false, func(ctx context.Context, _ string) (err error) {
		procs, err = r.routines(ctx)
		return err
	})
	viewsErr := p.readPart(ctx, partViews, s, now, false, func(ctx context.Context, _ string) (err error) {
		views, err = r.readViews(ctx)
		return err
	})
	// Without the routines nothing is known; without the views routines can be judged.
	if r.parts[partRoutines].fingerprint != "" && (p.routines.Load() == nil || !sameSlice(procs, r.procs) || !sameSlice(views, r.views)) {
		p.routines.Store(router.NewCatalog(procs, views))
	}
	r.procs, r.views = procs, views
	return errors.Join(err, routinesErr, viewsErr)
}

// sameSlice reports whether a is b itself, not a newer reading.
func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// readPart asks for the fingerprint of a part if it is due, and reads it when
// that has changed.
func (p *Poller) readPart(ctx context.Context, which int, s scope, now time.Time, force bool, read func(ctx context.Context, fingerprint string) error) error {
	pt := &p.reader.parts[which]
	if which != partAccounts && !pt.due(s, now) {
		return nil
	}
	began := time.Now()
	fp, err := p.reader.fingerprint(ctx, which)
	pt.asked, pt.cost = began, time.Since(began)
	if err == nil && (force || fp != pt.fingerprint || now.Sub(pt.read) > rereadAfter) {
		if fp != pt.fingerprint {
			p.met.reads.WithLabelValues(partNames[which]).Inc()
		}
		// The fingerprint was taken before: what changes in between is seen next time.
		if err = read(ctx, fp); err == nil {
			pt.fingerprint, pt.read = fp, now
		}
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", partNames[which], p.reader.leader.name, describe(err))
	}
	return nil
}

// describe keeps server errors as they are and makes the driver's readable.
func describe(err error) error {
	if _, _, ok := mysqlconn.ServerError(err); ok {
		return err
	}
	if text := mysqlconn.Describe(err); text != err.Error() {
		return fmt.Errorf("%s (%w)", text, err)
	}
	return err
}

// aim connects to another leader when there is one. What was read of the old one
// stays published, but counts as unread.
func (r *reader) aim(id leaderID, cfg Config, log *slog.Logger) error {
	if r.db != nil && r.leader == id && r.cfg == cfg {
		return nil
	}
	db, err := mysqlconn.Open(mysqlconn.Config{
		Address: id.address, User: cfg.User, Password: cfg.Password, TLS: cfg.TLS,
		ConnectTimeout: cfg.ConnectTimeout, IOTimeout: cfg.Timeout, Program: "bellwether catalogue",
	}, log)
	if err != nil {
		return err
	}
	r.close()
	*r = reader{db: db, leader: id, cfg: cfg, procs: r.procs, views: r.views}
	return nil
}

func (r *reader) close() {
	if r.db != nil {
		_ = r.db.Close()
		r.db = nil
	}
}
