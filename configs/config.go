package configs

import "time"

// Config is a whole configuration, as the YAML file gives it. Defaults fills in
// everything but the nodes; Validate says what is wrong with the rest.
type Config struct {
	Listen      Listen      `yaml:"listen"`
	Cluster     Cluster     `yaml:"cluster"`
	Replication Replication `yaml:"replication"`
	Routing     Routing     `yaml:"routing"`
	Monitor     Monitor     `yaml:"monitor"`
	Pool        Pool        `yaml:"pool"`
	Limits      Limits      `yaml:"limits"`
	Users       []User      `yaml:"users"`
	Admin       Admin       `yaml:"admin"`
	Log         Log         `yaml:"log"`
	Shutdown    Shutdown    `yaml:"shutdown"`

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
	Mode              string        `yaml:"mode"` // native
	User              string        `yaml:"user"` // by whom nodes follow each other; empty: no switchover
	Password          Secret        `yaml:",inline"`
	SwitchoverTimeout time.Duration `yaml:"switchover_timeout"` // writes are held no longer than this
}

// Routing is where statements go.
type Routing struct {
	MaxLag      time.Duration `yaml:"max_lag"`     // a follower further behind, or unknown, serves no reads
	NoFollower  string        `yaml:"no_follower"` // leader | error: when no follower is eligible
	Consistency string        `yaml:"consistency"` // session | eventual: what a read may be older than
	Pin         bool          `yaml:"pin"`         // a session stays on its follower while that is eligible
	Rules       []Rule        `yaml:"rules"`       // first match wins
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
	MaxIdle     int           `yaml:"max_idle"` // per node
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	MaxLifetime time.Duration `yaml:"max_lifetime"` // 0: no limit
	MaxPerNode  int           `yaml:"max_per_node"` // backend connections per node; 0: no limit
	Wait        time.Duration `yaml:"wait"`         // for one of MaxPerNode
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
