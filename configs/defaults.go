package configs

import (
	"net"
	"strings"
	"time"
)

// DefaultWeight is the weight of a node that names none.
const DefaultWeight = 100

const defaultNodePort = "3306"

// Defaults returns a configuration that is complete but for cluster.nodes (and,
// nearly always, cluster.password). docs/configuration.md says why each value is
// what it is.
func Defaults() *Config {
	return &Config{
		Listen: Listen{
			Address:     ":3307",
			TLS:         ListenTLS{Mode: "optional"},
			Compression: []string{"zlib", "zstd"},
		},
		Cluster: Cluster{
			Flavor:         "auto",
			User:           "bellwether",
			TLS:            ClusterTLS{Mode: "preferred"},
			ProxyProtocol:  "off",
			ConnectTimeout: 2 * time.Second,
		},
		Replication: Replication{
			Mode: "native", SwitchoverTimeout: 10 * time.Second, Acks: "none", OnInsufficient: "wait", InSyncLag: 10 * time.Second, ApplyConnections: 1,
			RelayLog: RelayLog{MaxSize: 1 << 30, Directory: "bellwether-data/relay"}, Verify: Verify{Pause: 100 * time.Millisecond}, Copy: Copy{Workers: 4},
		},
		Failover: Failover{
			Mode: "off", HeartbeatTimeout: 3 * time.Second, ProbeInterval: 100 * time.Millisecond,
			MinInterval: time.Minute, MaxPerHour: 3, Returned: "copy", Directory: "bellwether-data",
		},
		Coordination: Coordination{Etcd: EtcdCoordination{Prefix: "/bellwether/", TTL: 5 * time.Second, TLS: EtcdTLS{Mode: "off"}}},
		Routing: Routing{
			MaxLag:         time.Second,
			NoFollower:     "leader",
			Consistency:    "session",
			Balance:        "load",
			CausalWait:     100 * time.Millisecond,
			LeaderOverload: "wait",
			Pin:            true,
		},
		Monitor: Monitor{
			Interval:   200 * time.Millisecond,
			Timeout:    time.Second,
			Failures:   3,
			Recoveries: 3,
			Heartbeat: Heartbeat{
				Enabled:  true,
				Interval: 250 * time.Millisecond,
				Schema:   "bellwether",
			},
		},
		Pool: Pool{
			Mode:        "transaction",
			MaxPrepared: 50,
			MaxIdle:     64,
			IdleTimeout: 5 * time.Minute,
			MaxLifetime: time.Hour,
			Wait:        5 * time.Second,
		},
		Limits: Limits{
			MaxConnections:               10000,
			MaxUnauthenticatedPerAddress: 100,
			AuthTimeout:                  10 * time.Second,
			RetryBuffer:                  1 << 20,
		},
		Admin:    Admin{Address: "127.0.0.1:9307"},
		Log:      Log{Level: "info", Format: "text"},
		Shutdown: Shutdown{Drain: 30 * time.Second},
	}
}

// ReadWeight is the node's share of the reads: Weight, or DefaultWeight.
func (n *Node) ReadWeight() int {
	if n.Weight == nil {
		return DefaultWeight
	}
	return *n.Weight
}

// Normalize fills in what a node leaves out: weight, role, state, a port, and
// a name (its address as written). Load does so; a Config that is built in a
// program may.
func (c *Config) Normalize() {
	for i := range c.Cluster.Nodes {
		n := &c.Cluster.Nodes[i]
		if n.Name == "" {
			n.Name = n.Address
		}
		n.Address = withPort(n.Address)
		if n.Weight == nil {
			w := DefaultWeight
			n.Weight = &w
		}
		if n.Role == "" {
			n.Role = "auto"
		}
		if n.State == "" {
			n.State = "active"
		}
	}
}

// withPort adds the servers' default port to a host that has none. What is
// neither stays as it is, for Validate to complain about.
func withPort(addr string) string {
	switch {
	case addr == "", strings.HasPrefix(addr, "/"):
		return addr
	case net.ParseIP(strings.Trim(addr, "[]")) != nil:
		return net.JoinHostPort(strings.Trim(addr, "[]"), defaultNodePort)
	case !strings.ContainsAny(addr, ": /"):
		return net.JoinHostPort(addr, defaultNodePort)
	}
	return addr
}
