package catalog

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
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

// Variables are the leader's, as far as the proxy needs them. It is immutable.
type Variables struct {
	Version             string // @@version
	VersionComment      string
	Charset             string // @@character_set_server
	Collation           string // @@collation_server
	CollationID         int    // its id, for the greeting; 0 where it could not be read
	MaxAllowedPacket    int64
	DefaultAuthPlugin   string // MySQL; mysql_native_password for MariaDB
	LowerCaseTableNames int
	InitConnect         string
	SQLMode             string // global
	SkipNameResolve     bool
	WaitTimeout         time.Duration
	InteractiveTimeout  time.Duration
	// SessionTrack holds the global values of the session_track_* variables.
	SessionTrack map[string]string
}

// Status is how good the published values are.
type Status struct {
	At  time.Time // when everything was last known to be current; zero: never
	Err error     // of the last attempt; nil after a good one
}

// Poller reads the leader's catalogue.
type Poller struct {
	store     *topology.Store
	accounts  atomic.Pointer[accounts.Table]
	variables atomic.Pointer[Variables]
}

// New returns a Poller that follows the leader in store. It starts nothing. log
// and reg may be nil.
func New(cfg Config, store *topology.Store, log *slog.Logger, reg prometheus.Registerer) (*Poller, error) {
	return &Poller{store: store}, nil
}

// Run polls until ctx ends, and returns nil then. A change of leader is followed
// at once.
func (p *Poller) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Refresh reads everything that changed now and returns when it is published.
// Calls at the same time share a reading, but only one that began after them.
func (p *Poller) Refresh(ctx context.Context) error { return nil }

// RefreshAccounts is Refresh for accounts only: cheap enough for a login that
// failed.
func (p *Poller) RefreshAccounts(ctx context.Context) error { return nil }

// Accounts returns the leader's accounts, or nil before they were first read.
func (p *Poller) Accounts() *accounts.Table { return p.accounts.Load() }

// Variables returns the leader's variables, or nil before they were first read.
func (p *Poller) Variables() *Variables { return p.variables.Load() }

// Status returns how good the published values are.
func (p *Poller) Status() Status { return Status{} }

// Reconfigure applies new credentials and intervals from the next poll on.
func (p *Poller) Reconfigure(cfg Config) error { return nil }
