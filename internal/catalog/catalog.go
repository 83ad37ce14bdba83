package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/router"
)

// Config is how the leader is read.
type Config struct {
	User           string
	Password       string
	TLS            mysqlconn.TLS
	ConnectTimeout time.Duration
	Interval       time.Duration // between polls; 0: 1 s
	Timeout        time.Duration // of one poll; 0: 10 s
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	return c
}

// Status is how good the published values are.
type Status struct {
	At  time.Time // when everything was last known to be current; zero: never
	Err error     // of the last attempt, however many parts failed; nil after a good one
}

// ErrNoLeader is why nothing can be read while no leader is known to be up.
var ErrNoLeader = errors.New("no leader is up")

// Poller reads the leader's catalogue.
type Poller struct {
	store *topology.Store
	log   *slog.Logger
	met   *metrics

	accounts  atomic.Pointer[accounts.Table]
	routines  atomic.Pointer[router.Catalog]
	variables atomic.Pointer[Variables]
	status    atomic.Pointer[Status]

	turn chan struct{} // held by who reads: one at a time

	mu      sync.Mutex // guards the rest
	cfg     Config
	ended   bool
	waiting map[scope]*flight // readings that have not begun
	flights sync.WaitGroup

	life context.Context // ends with Run
	end  context.CancelFunc

	reader reader // guarded by turn
}

// scope is how much a reading covers.
type scope int

const (
	scopeDue      scope = iota // what is due
	scopeAccounts              // accounts and variables
	scopeAll                   // everything, due or not
)

// flight is one reading that several callers wait for.
type flight struct {
	done chan struct{}
	err  error
}

// reader holds the connection to the present leader, and what is already known.
type reader struct {
	cfg       Config
	db        *sql.DB
	leader    leaderID
	parts     [numParts]part
	collation struct {
		name string
		id   int
	}
	views []router.View
	procs []router.Routine
}

type leaderID struct {
	name, address string
	epoch         uint64
	flavor        gtid.Flavor
}

// New returns a Poller that follows the leader in store. It starts nothing. log
// and reg may be nil.
func New(cfg Config, store *topology.Store, log *slog.Logger, reg prometheus.Registerer) (*Poller, error) {
	met, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Poller{
		store: store, log: log, met: met, cfg: cfg.withDefaults(),
		turn: make(chan struct{}, 1), waiting: map[scope]*flight{},
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.status.Store(&Status{})
	return p, nil
}

// Run polls until ctx ends, and returns nil then. A change of leader is followed
// at once. After Run the Poller can no longer read, but its values stay.
func (p *Poller) Run(ctx context.Context) error {
	defer p.close()
	var read leaderID
	for {
		snap, changed := p.store.Changed()
		if id, ok := identify(snap); ok {
			read = id
			_ = p.refresh(ctx, scopeDue) // kept in Status, and logged
		}
		if !p.wait(ctx, read, changed) {
			return nil
		}
	}
}

// wait returns true after an interval, or as soon as there is another leader
// than read; false when ctx ends.
func (p *Poller) wait(ctx context.Context, read leaderID, changed <-chan struct{}) bool {
	p.mu.Lock()
	interval := p.cfg.Interval
	p.mu.Unlock()
	t := time.NewTimer(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-changed:
			var snap *topology.Snapshot
			snap, changed = p.store.Changed()
			if id, ok := identify(snap); ok && id != read {
				return true
			}
		}
	}
}

func (p *Poller) close() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.end()
	p.flights.Wait()
	p.turn <- struct{}{}
	p.reader.close()
	<-p.turn
}

// identify returns who leads, if anybody does and is up.
func identify(s *topology.Snapshot) (leaderID, bool) {
	if s.Leader == nil || s.Leader.State != topology.StateUp || s.Flavor == gtid.FlavorUnknown {
		return leaderID{}, false
	}
	return leaderID{s.Leader.Name, s.Leader.Address, s.Epoch, s.Flavor}, true
}

// Refresh reads everything that changed now and returns when it is published.
// Calls at the same time share a reading, but only one that began after them.
func (p *Poller) Refresh(ctx context.Context) error { return p.refresh(ctx, scopeAll) }

// RefreshAccounts is Refresh for accounts and variables only: cheap enough for a
// login that failed.
func (p *Poller) RefreshAccounts(ctx context.Context) error { return p.refresh(ctx, scopeAccounts) }

func (p *Poller) refresh(ctx context.Context, s scope) error {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return errors.New("catalogue: closed")
	}
	f := p.waiting[s]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		p.waiting[s] = f
		p.flights.Add(1)
		go p.fly(f, s)
	}
	p.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fly waits for its turn and reads. Callers join until the reading begins.
func (p *Poller) fly(f *flight, s scope) {
	defer p.flights.Done()
	defer close(f.done)
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-p.life.Done():
		f.err = p.life.Err()
	}
	p.mu.Lock()
	delete(p.waiting, s)
	cfg := p.cfg
	p.mu.Unlock()
	if f.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.life, cfg.Timeout)
	defer cancel()
	began := time.Now()
	f.err = p.read(ctx, cfg, s, began)
	p.note(f.err, began)
}

func (p *Poller) note(err error, began time.Time) {
	p.met.polls.WithLabelValues(result(err)).Inc()
	old := p.status.Load()
	next := &Status{At: old.At, Err: err}
	if err == nil {
		next.At = began
		p.met.lastGood.Set(float64(began.UnixMilli()) / 1000)
	}
	p.status.Store(next)
	switch {
	case err == nil && old.Err != nil:
		p.log.Info("the leader's catalogue can be read again")
	case err != nil && p.life.Err() == nil && (old.Err == nil || old.Err.Error() != err.Error()):
		p.log.Warn("the leader's catalogue cannot be read; what is known stays in use", "error", err, "known_since", old.At)
	}
}

// Accounts returns the leader's accounts, or nil before they were first read.
func (p *Poller) Accounts() *accounts.Table { return p.accounts.Load() }

// Routines returns what is known of stored routines and views, or nil before
// they were first read: then no function but the built-in ones is known.
func (p *Poller) Routines() *router.Catalog { return p.routines.Load() }

// Variables returns the leader's variables, or nil before they were first read.
func (p *Poller) Variables() *Variables { return p.variables.Load() }

// Status returns how good the published values are.
func (p *Poller) Status() Status { return *p.status.Load() }

// Reconfigure applies new credentials and intervals from the next poll on.
func (p *Poller) Reconfigure(cfg Config) error {
	if _, err := cfg.TLS.Config("localhost:3306"); err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg = cfg.withDefaults()
	return nil
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

type metrics struct {
	polls    *prometheus.CounterVec
	reads    *prometheus.CounterVec
	lastGood prometheus.Gauge
	accounts prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellwether", Name: "catalog_polls_total",
			Help: "Readings of the leader's accounts, variables, routines and views, by result.",
		}, []string{"result"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellwether", Name: "catalog_changes_total",
			Help: "How often a part of the leader's catalogue was found changed and was read.",
		}, []string{"part"}),
		lastGood: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "catalog_last_success_timestamp_seconds",
			Help: "When the leader's catalogue was last read without an error.",
		}),
		accounts: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "catalog_accounts",
			Help: "Accounts of the leader that can log in.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.polls, m.reads, m.lastGood, m.accounts} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
