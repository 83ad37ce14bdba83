package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/router"
)

// Config is what a Server is made of. Everything but Settings is fixed for the
// life of the Server.
type Config struct {
	Topology *topology.Store
	Log      *slog.Logger

	// Accounts returns the leader's accounts, nil as long as they are not known.
	Accounts func() *accounts.Table
	// RefreshAccounts reads the accounts again, now. Concurrent calls may share one reading.
	RefreshAccounts func(ctx context.Context) error
	// Routines returns what is known of stored routines and views; nil for nothing.
	Routines func() *router.Catalog
	// Server returns what clients are told about the server.
	Server func() ServerInfo
	// Positions asks the leader for what it has now.
	Positions Positions
	// KeepAnswers remembers of which transactions clients were told; see [Server.Answered].
	KeepAnswers bool

	Settings Settings
}

// Positions asks the leader for what it has now.
type Positions interface {
	// LeaderPosition is an upper bound of what can be seen on the leader, asked for
	// after the call began.
	LeaderPosition(ctx context.Context) (gtid.Set, error)
	// LeaderHolds says whether the leader has all of the set in its past.
	LeaderHolds(ctx context.Context, set gtid.Set) (bool, error)
}

// ServerInfo is what the leader says of itself.
type ServerInfo struct {
	InitConnect   string // @@init_connect; where it is set, backend connections are not shared
	TrackedVars   string // @@global.session_track_system_variables
	SQLMode       string // @@global.sql_mode
	DefaultPlugin string // the authentication plugin that the greeting names; empty for the flavour's own
}

// Settings can be exchanged while the Server runs; see [Server.Reload]. Sessions
// that are open keep what they negotiated.
type Settings struct {
	Policy *router.Policy

	// Probe is Bellwether's own account, used to learn what the nodes offer and to kill statements.
	Probe User

	// CausalWait bounds how long a read waits for a follower to have what its session
	// must see, before it runs on the leader; 0: not at all.
	CausalWait time.Duration
	// MaxLeaderReads bounds the reads that run on the leader at a time only because no
	// follower could serve them; 0: no limit. RedirectWait is how long one more waits.
	MaxLeaderReads int
	RedirectWait   time.Duration
	// ReplayTransactions runs a transaction that is lost with the leader again on the next.
	ReplayTransactions bool

	MaxConnections               int // 0: no limit
	MaxConnectionsPerUser        int // 0: no limit
	MaxUnauthenticatedPerAddress int // 0: no limit
	AuthTimeout                  time.Duration
	IdleTimeout                  time.Duration // of a client between statements; 0: the server's wait_timeout decides
	MaxPacket                    int64         // bytes of one client packet; 0: the server decides
	RetryBuffer                  int           // bytes of a request that are kept to run it again elsewhere

	TLS         *tls.Config // nil: no encryption offered
	TLSRequired bool
	Zlib, Zstd  bool // compression offered

	ProxyTrusted []netip.Prefix // who may send a PROXY header
	Users        map[string]User

	NodeTLS        TLSMode
	NodeTLSConfig  *tls.Config
	SendProxy      int // version of the PROXY header sent to nodes; 0: none
	ConnectTimeout time.Duration

	Pool PoolSettings
}

// User is an account whose password Bellwether has been given.
type User struct {
	Name           string
	Password       string
	MaxConnections int // 0: no limit
}

// TLSMode is how connections to the nodes are encrypted, in the words of MySQL's ssl-mode.
type TLSMode uint8

// Modes of encryption towards nodes.
const (
	TLSOff TLSMode = iota
	TLSPreferred
	TLSRequired
	TLSVerifyCA
	TLSVerifyIdentity
)

// PoolSettings bounds the backend connections.
type PoolSettings struct {
	Share       bool          // sessions share connections while they live, see docs/pooling.md
	MaxPrepared int           // prepared statements kept on a shared connection
	MaxIdle     int           // idle connections kept per node
	MinIdle     int           // idle connections per node that are made ahead, see warm
	IdleTimeout time.Duration // an idle connection is closed after this
	MaxLifetime time.Duration // a connection older than this is not used again
	MaxPerNode  int           // open connections per node; 0: no limit
	Wait        time.Duration // for a free connection where MaxPerNode is reached, and for a leader
}

// erConnHost is CR_CONN_HOST_ERROR, by which MySQL Router too says that there is
// no server behind it.
const erConnHost = 2003

// erTooManyUserConnections is ER_TOO_MANY_USER_CONNECTIONS: of one user.
const erTooManyUserConnections = 1203

// erUserLimitReached is ER_USER_LIMIT_REACHED: max_user_connections of an account and the like.
const erUserLimitReached = 1226

// erIncorrectGlobalLocalVar is ER_INCORRECT_GLOBAL_LOCAL_VAR: the variable is read-only.
const erIncorrectGlobalLocalVar = 1238

// erLocalVariable is ER_LOCAL_VARIABLE.
const erLocalVariable = 1228
