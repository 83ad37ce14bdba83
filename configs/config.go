package configs

import (
	"strconv"
	"time"
)

// Config is a whole configuration, as the YAML file gives it. Defaults fills in
// everything but the nodes; Validate says what is wrong with the rest.
type Config struct {
	Listen       Listen       `yaml:"listen"`
	Cluster      Cluster      `yaml:"cluster"`
	Replication  Replication  `yaml:"replication"`
	Failover     Failover     `yaml:"failover"`
	Coordination Coordination `yaml:"coordination"`
	Routing      Routing      `yaml:"routing"`
	Monitor      Monitor      `yaml:"monitor"`
	Pool         Pool         `yaml:"pool"`
	Limits       Limits       `yaml:"limits"`
	Users        []User       `yaml:"users"`
	Admin        Admin        `yaml:"admin"`
	Log          Log          `yaml:"log"`
	Shutdown     Shutdown     `yaml:"shutdown"`

	// Source says what the configuration was read from; zero when it was not loaded.
	Source Source `yaml:"-"`
}

// Source is where a Config was read from.
type Source struct {
	Path string            // of the file, as it was given to Load
	Hash string            // of the effective configuration and the certificates, secrets left out
	PEM  map[string]string // key path -> digest of the content of the certificate or key file
}

// Listen is where clients connect.
type Listen struct {
	Address       string        `yaml:"address"` // host:port; empty for none
	Socket        string        `yaml:"socket"`  // path of a unix socket; empty for none
	TLS           ListenTLS     `yaml:"tls"`
	ProxyProtocol ProxyProtocol `yaml:"proxy_protocol"`
	Compression   []string      `yaml:"compression"` // zlib, zstd; empty turns compression off
}

// ListenTLS is encryption towards clients.
type ListenTLS struct {
	Mode string `yaml:"mode"` // off | optional | required
	Cert string `yaml:"cert"` // PEM files; without them a certificate is made at start, as MySQL does
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"` // to verify client certificates (REQUIRE X509)
}

// ProxyProtocol says from whom a PROXY v1 or v2 header is believed.
type ProxyProtocol struct {
	Trusted []string `yaml:"trusted"` // CIDRs or single addresses
}

// Cluster is the servers and how to reach them.
type Cluster struct {
	Flavor         string        `yaml:"flavor"` // auto | mariadb | mysql
	Nodes          []Node        `yaml:"nodes"`
	User           string        `yaml:"user"` // the account of Bellwether itself (monitor)
	Password       Secret        `yaml:",inline"`
	TLS            ClusterTLS    `yaml:"tls"`
	ProxyProtocol  string        `yaml:"proxy_protocol"` // off | v1 | v2, sent to nodes
	Zone           string        `yaml:"zone"`           // where this proxy stands; nodes of the same zone are preferred
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
}

// Node is one server.
type Node struct {
	Name    string `yaml:"name"`    // default: the address as it was written
	Address string `yaml:"address"` // host, host:port (default 3306) or the absolute path of a unix socket
	Weight  *int   `yaml:"weight"`  // share of the reads; 0 takes none; default 100; see ReadWeight
	Zone    string `yaml:"zone"`
	Role    string `yaml:"role"`  // auto (default) | leader | follower: what the operator expects; verified by asking
	State   string `yaml:"state"` // active (default) | drain
}

// Secret is a password given in one of three ways. It never shows its value;
// see Resolve.
type Secret struct {
	Value string `yaml:"password"`
	File  string `yaml:"password_file"`
	Env   string `yaml:"password_env"`

	text   string // what Resolve found when the configuration was loaded
	loaded bool
	hidden bool // Value is not the password, only a sign that there is one
}

// ClusterTLS is encryption towards the nodes.
type ClusterTLS struct {
	Mode string `yaml:"mode"` // off | preferred | required | verify-ca | verify-identity
	CA   string `yaml:"ca"`   // PEM; empty for the system's
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Replication says who replicates.
type Replication struct {
	Mode              string        `yaml:"mode"` // native | engine
	User              string        `yaml:"user"` // native: by whom nodes follow each other; empty: no switchover. engine: by whom it replicates
	Password          Secret        `yaml:",inline"`
	SwitchoverTimeout time.Duration `yaml:"switchover_timeout"` // writes are held no longer than this
	Acks              string        `yaml:"acks"`               // engine: none | relay | a number | majority | all: followers that must commit before the client is answered
	MinInSync         int           `yaml:"min_in_sync"`        // engine: followers that must be in sync for anything to be acknowledged
	OnInsufficient    string        `yaml:"on_insufficient"`    // engine: wait | degrade, when too few are in sync
	InSyncLag         time.Duration `yaml:"in_sync_lag"`        // engine: a follower that is further behind is not in sync
	ApplyConnections  int           `yaml:"apply_connections"`  // engine: transactions that a follower executes at a time
	RelayLog          RelayLog      `yaml:"relay_log"`          // engine: what followers read from
	Verify            Verify        `yaml:"verify"`             // engine: comparing followers with the leader
	Copy              Copy          `yaml:"copy"`               // engine: of the leader to a new follower
}

// RelayLog is what was read of the leader's binlog, for all followers.
type RelayLog struct {
	MaxSize   ByteSize `yaml:"max_size"`  // 0: there is none, each follower reads from the leader by itself
	Directory string   `yaml:"directory"` // for it alone
}

// Verify is how often followers are compared with the leader.
type Verify struct {
	Interval time.Duration `yaml:"interval"` // from the end of one comparison to the next; 0: never
	Pause    time.Duration `yaml:"pause"`    // after each range of rows
}

// AckCount of the words that are no number of followers.
const (
	AcksAll   = -1
	AcksRelay = -2
)

// AckCount is replication.acks as a number, for a cluster of so many nodes: of a
// majority of them, in which the leader counts; AcksAll for all, AcksRelay for relay. ok is false
// where it is none of the words and no number.
func (r *Replication) AckCount(nodes int) (n int, ok bool) {
	switch r.Acks {
	case "none":
		return 0, true
	case "majority":
		return nodes / 2, true
	case "all":
		return AcksAll, true
	case "relay":
		return AcksRelay, true
	}
	n, err := strconv.Atoi(r.Acks)
	return n, err == nil && n >= 0
}

// Copy is how the leader is copied to a new follower.
type Copy struct {
	Workers int      `yaml:"workers"`  // connections on each side
	MaxRate ByteSize `yaml:"max_rate"` // bytes per second; 0: no limit
}

// Failover says what is done when the leader dies.
type Failover struct {
	Mode             string        `yaml:"mode"`              // off | manual | automatic
	Acks             int           `yaml:"acks"`              // followers that must hold a write before it is acknowledged; 0: none
	HeartbeatTimeout time.Duration `yaml:"heartbeat_timeout"` // a leader that nobody has heard for so long is dead
	ProbeInterval    time.Duration `yaml:"probe_interval"`
	MinInterval      time.Duration `yaml:"min_interval"` // between two automatic failovers
	MaxPerHour       int           `yaml:"max_per_hour"` // automatic failovers; 0: no limit
	Returned         string        `yaml:"returned"`     // copy | keep a returned leader that has transactions of its own, once they are saved
	Hook             string        `yaml:"hook"`         // program run at events; empty for none
	Directory        string        `yaml:"directory"`    // for the record, incidents and rescued transactions
}

// Coordination says where proxies write down who leads.
type Coordination struct {
	Local LocalCoordination `yaml:"local"`
	Etcd  EtcdCoordination  `yaml:"etcd"`
}

// LocalCoordination is a file, for one proxy.
type LocalCoordination struct {
	Path string `yaml:"path"` // empty: record.json in failover.directory
}

// EtcdCoordination is for more than one proxy; used where it has endpoints.
type EtcdCoordination struct {
	Endpoints []string      `yaml:"endpoints"`
	Prefix    string        `yaml:"prefix"` // of all keys
	Name      string        `yaml:"name"`   // of this proxy among the others; empty: the host's name and listen.address
	TTL       time.Duration `yaml:"ttl"`    // of leases: whole seconds
	User      string        `yaml:"user"`   // empty: etcd asks for no account
	Password  Secret        `yaml:",inline"`
	TLS       EtcdTLS       `yaml:"tls"`
}

// EtcdTLS is encryption towards etcd.
type EtcdTLS struct {
	Mode string `yaml:"mode"` // off | required | verify-ca | verify-identity
	CA   string `yaml:"ca"`   // PEM; empty for the system's
	Cert string `yaml:"cert"` // of this proxy, where etcd asks for one
	Key  string `yaml:"key"`
}

// Routing is where statements go.
type Routing struct {
	MaxLag      time.Duration `yaml:"max_lag"`     // a follower further behind, or unknown, serves no reads
	NoFollower  string        `yaml:"no_follower"` // leader | error: when no follower is eligible
	Consistency string        `yaml:"consistency"` // eventual | session | causal | global | strong: what a read may be older than
	CausalWait  time.Duration `yaml:"causal_wait"` // a read waits so long for a follower that has what it must see; 0: not at all
	// MaxLeaderReads bounds the reads that run on the leader only because no follower
	// could serve them; 0: no limit. LeaderOverload is what one more does.
	MaxLeaderReads int    `yaml:"max_leader_reads"`
	LeaderOverload string `yaml:"leader_overload"` // wait | error
	// TransactionReplay runs a transaction that is lost with the leader again on the next one.
	TransactionReplay bool   `yaml:"transaction_replay"`
	Pin               bool   `yaml:"pin"`     // a session stays on its follower while that is eligible
	Balance           string `yaml:"balance"` // load | latency: how a follower is chosen
	Rules             []Rule `yaml:"rules"`   // first match wins
}

// Rule narrows or widens where matching statements go. All given conditions must hold.
type Rule struct {
	Name       string         `yaml:"name"`
	Users      []string       `yaml:"users"`
	Schemas    []string       `yaml:"schemas"`
	Clients    []string       `yaml:"clients"` // CIDRs or single addresses
	Pattern    string         `yaml:"pattern"` // regular expression (RE2) over the statement, comments included
	Digest     string         `yaml:"digest"`  // as EXPLAIN ROUTE and /v1/digests show it
	Target     string         `yaml:"target"`  // leader | follower; empty leaves the decision
	Node       string         `yaml:"node"`
	MaxLag     *time.Duration `yaml:"max_lag"`
	NoFollower string         `yaml:"no_follower"`
	// Consistency is a level, as in Routing; empty: the session's, or that of routing.
	Consistency string `yaml:"consistency"`
}

// Monitor is how followers are measured.
type Monitor struct {
	Interval   time.Duration `yaml:"interval"`   // between probes of a node
	Timeout    time.Duration `yaml:"timeout"`    // of one probe
	Failures   int           `yaml:"failures"`   // failed probes in a row until a node is down
	Recoveries int           `yaml:"recoveries"` // good probes in a row until an ejected follower comes back
	Heartbeat  Heartbeat     `yaml:"heartbeat"`
}

// Heartbeat is the row on the leader that lag is measured by.
type Heartbeat struct {
	Enabled  bool          `yaml:"enabled"`
	Interval time.Duration `yaml:"interval"`
	Schema   string        `yaml:"schema"`
}

// Pool is backend connections kept between clients.
type Pool struct {
	Mode        string        `yaml:"mode"`     // session | transaction
	MaxIdle     int           `yaml:"max_idle"` // per node
	MinIdle     int           `yaml:"min_idle"` // transaction: per node, made ahead
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	MaxLifetime time.Duration `yaml:"max_lifetime"` // 0: no limit
	MaxPerNode  int           `yaml:"max_per_node"` // backend connections per node; 0: no limit
	Wait        time.Duration `yaml:"wait"`         // for one of MaxPerNode
	MaxPrepared int           `yaml:"max_prepared"` // per connection that sessions share
}

// Limits protect Bellwether and the servers.
type Limits struct {
	MaxConnections               int           `yaml:"max_connections"`
	MaxConnectionsPerUser        int           `yaml:"max_connections_per_user"` // 0: no limit
	MaxUnauthenticatedPerAddress int           `yaml:"max_unauthenticated_per_address"`
	AuthTimeout                  time.Duration `yaml:"auth_timeout"`
	IdleTimeout                  time.Duration `yaml:"idle_timeout"` // 0: the server's wait_timeout decides
	MaxPacket                    ByteSize      `yaml:"max_packet"`   // 0: the server's max_allowed_packet decides
	RetryBuffer                  ByteSize      `yaml:"retry_buffer"` // a larger read cannot be run again elsewhere
}

// User is an account that cannot be taken from the leader (ed25519, PAM ...).
type User struct {
	Name           string `yaml:"name"`
	Password       Secret `yaml:",inline"`
	MaxConnections int    `yaml:"max_connections"` // 0: limits.max_connections_per_user decides
}

// Admin is the HTTP side.
type Admin struct {
	Address  string `yaml:"address"` // host:port; empty for none
	Password Secret `yaml:",inline"` // for requests that change something; none: from this machine only
}

// Log is what is written where.
type Log struct {
	Level  string `yaml:"level"`  // debug | info | warn | error
	Format string `yaml:"format"` // text | json
}

// Shutdown is how SIGTERM ends the process.
type Shutdown struct {
	Drain time.Duration `yaml:"drain"` // for open transactions
}

// ByteSize is a size in bytes, written as 16MiB, 64k, 1GB or a plain number.
// As in the servers' own settings, all units are powers of 1024.
type ByteSize int64
