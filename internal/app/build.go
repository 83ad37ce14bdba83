package app

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/catalog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/lagmonitor"
	"github.com/bellwetherdb/bellwether/proxy"
	"github.com/bellwetherdb/bellwether/replicator"
	"github.com/bellwetherdb/bellwether/router"
)

// built is one configuration in the terms of the parts it goes to.
type built struct {
	monitor lagmonitor.Config
	catalog catalog.Config
	proxy   proxy.Settings
	engine  replicator.Config // in engine mode
}

func (a *App) build(c *configs.Config) (*built, error) {
	b, err := build(c, a.learned, &a.own)
	if err == nil && b.engine.Relay.Dir != "" {
		b.engine.Relay.Dir = a.beside(b.engine.Relay.Dir)
	}
	return b, err
}

// build translates a configuration. What it cannot find wrong, Validate has.
func build(c *configs.Config, learned *router.Learned, own *ownCertificate) (*built, error) {
	password, err := c.Cluster.Password.Resolve()
	if err != nil {
		return nil, fmt.Errorf("cluster.password: %w", err)
	}
	b := &built{
		monitor: monitorConfig(c, password, nodeTLS(c)),
		catalog: catalog.Config{User: c.Cluster.User, Password: password, TLS: nodeTLS(c), ConnectTimeout: c.Cluster.ConnectTimeout},
	}
	if b.engine, err = engineConfig(c, nodeTLS(c)); err != nil {
		return nil, err
	}
	b.proxy, err = proxySettings(c, password, learned, own)
	return b, err
}

func nodeTLS(c *configs.Config) mysqlconn.TLS {
	t := &c.Cluster.TLS
	return mysqlconn.TLS{Mode: t.Mode, CA: t.CA, Cert: t.Cert, Key: t.Key}
}

func monitorConfig(c *configs.Config, password string, nodeTLS mysqlconn.TLS) lagmonitor.Config {
	m := lagmonitor.Config{
		Flavor: flavorOf(c.Cluster.Flavor), User: c.Cluster.User, Password: password, TLS: nodeTLS,
		ConnectTimeout: c.Cluster.ConnectTimeout,
		Interval:       c.Monitor.Interval, Timeout: c.Monitor.Timeout,
		Failures: c.Monitor.Failures, Recoveries: c.Monitor.Recoveries,
		MaxLag: c.Routing.MaxLag,
		Heartbeat: lagmonitor.Heartbeat{
			Enabled: c.Monitor.Heartbeat.Enabled, Interval: c.Monitor.Heartbeat.Interval, Schema: c.Monitor.Heartbeat.Schema,
		},
	}
	for i := range c.Cluster.Nodes {
		n := &c.Cluster.Nodes[i]
		m.Nodes = append(m.Nodes, lagmonitor.NodeConfig{
			Name: n.Name, Address: n.Address, Weight: n.ReadWeight(), Zone: n.Zone,
			Role: monitoredRole(c, n), Drain: n.State == "drain",
		})
	}
	return m
}

// monitoredRole is what a node is by the configuration, for good. Where failover is on, the
// record says who leads.
func monitoredRole(c *configs.Config, n *configs.Node) topology.Role {
	if c.Failover.Mode != "off" {
		return topology.RoleUnknown
	}
	return roleOf(n.Role)
}

func flavorOf(s string) gtid.Flavor {
	switch s {
	case "mariadb":
		return gtid.MariaDB
	case "mysql":
		return gtid.MySQL
	default:
		return gtid.FlavorUnknown
	}
}

func roleOf(s string) topology.Role {
	switch s {
	case "leader":
		return topology.RoleLeader
	case "follower":
		return topology.RoleFollower
	default:
		return topology.RoleUnknown
	}
}

func proxySettings(c *configs.Config, password string, learned *router.Learned, own *ownCertificate) (proxy.Settings, error) {
	set := proxy.Settings{
		Probe:                        proxy.User{Name: c.Cluster.User, Password: password},
		CausalWait:                   c.Routing.CausalWait,
		MaxLeaderReads:               c.Routing.MaxLeaderReads,
		RedirectWait:                 c.Pool.Wait,
		ReplayTransactions:           c.Routing.TransactionReplay,
		MaxConnections:               c.Limits.MaxConnections,
		MaxConnectionsPerUser:        c.Limits.MaxConnectionsPerUser,
		MaxUnauthenticatedPerAddress: c.Limits.MaxUnauthenticatedPerAddress,
		AuthTimeout:                  c.Limits.AuthTimeout,
		IdleTimeout:                  c.Limits.IdleTimeout,
		MaxPacket:                    int64(c.Limits.MaxPacket),
		RetryBuffer:                  int(c.Limits.RetryBuffer),
		TLSRequired:                  c.Listen.TLS.Mode == "required",
		Zlib:                         slices.Contains(c.Listen.Compression, "zlib"),
		Zstd:                         slices.Contains(c.Listen.Compression, "zstd"),
		SendProxy:                    map[string]int{"v1": 1, "v2": 2}[c.Cluster.ProxyProtocol],
		ConnectTimeout:               c.Cluster.ConnectTimeout,
		Pool: proxy.PoolSettings{
			MaxIdle: c.Pool.MaxIdle, MinIdle: c.Pool.MinIdle, IdleTimeout: c.Pool.IdleTimeout, MaxLifetime: c.Pool.MaxLifetime,
			MaxPerNode: c.Pool.MaxPerNode, Wait: c.Pool.Wait,
			Share: c.Pool.Mode == "transaction", MaxPrepared: c.Pool.MaxPrepared,
		},
	}
	if c.Routing.LeaderOverload == "error" {
		set.RedirectWait = c.Routing.CausalWait
	}
	var err error
	if set.Policy, err = policyOf(c, learned); err != nil {
		return set, err
	}
	if set.TLS, err = listenTLS(&c.Listen.TLS, own); err != nil {
		return set, err
	}
	if set.NodeTLS, set.NodeTLSConfig, err = clusterTLS(&c.Cluster.TLS); err != nil {
		return set, err
	}
	if set.ProxyTrusted, err = prefixes(c.Listen.ProxyProtocol.Trusted); err != nil {
		return set, fmt.Errorf("listen.proxy_protocol.trusted: %w", err)
	}
	set.Users = make(map[string]proxy.User, len(c.Users))
	for i := range c.Users {
		u := &c.Users[i]
		pw, err := u.Password.Resolve()
		if err != nil {
			return set, fmt.Errorf("users[%d].password: %w", i, err)
		}
		set.Users[u.Name] = proxy.User{Name: u.Name, Password: pw, MaxConnections: u.MaxConnections}
	}
	return set, nil
}

func prefixes(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := configs.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func policyOf(c *configs.Config, learned *router.Learned) (*router.Policy, error) {
	spec := router.PolicySpec{
		MaxLag: c.Routing.MaxLag, NoFollower: c.Routing.NoFollower, Pin: c.Routing.Pin,
		Zone: c.Cluster.Zone, ByLatency: c.Routing.Balance == "latency", Learned: learned, Consistency: c.Routing.Consistency,
	}
	for i := range c.Routing.Rules {
		r := &c.Routing.Rules[i]
		spec.Rules = append(spec.Rules, router.RuleSpec{
			Name: r.Name, Users: r.Users, Schemas: r.Schemas, Clients: r.Clients, Pattern: r.Pattern,
			Digest: r.Digest, Target: r.Target, Node: r.Node, MaxLag: r.MaxLag, NoFollower: r.NoFollower,
			Consistency: r.Consistency,
		})
	}
	p, err := router.NewPolicy(spec)
	if err != nil {
		return nil, fmt.Errorf("routing.rules: %w", err)
	}
	return p, nil
}

// listenTLS is encryption towards clients: with the configured certificate, or
// with one of our own making.
func listenTLS(c *configs.ListenTLS, own *ownCertificate) (*tls.Config, error) {
	if c.Mode == "off" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Cert != "" {
		pair, err := configs.KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	} else {
		pair, err := own.get()
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if c.CA != "" {
		pool, err := configs.CertPool(c.CA)
		if err != nil {
			return nil, err
		}
		cfg.ClientCAs = pool
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return cfg, nil
}

var tlsModes = map[string]proxy.TLSMode{
	"off": proxy.TLSOff, "preferred": proxy.TLSPreferred, "required": proxy.TLSRequired,
	"verify-ca": proxy.TLSVerifyCA, "verify-identity": proxy.TLSVerifyIdentity,
}

// clusterTLS is encryption towards the nodes. The name of each node is set when
// it is dialled.
func clusterTLS(c *configs.ClusterTLS) (proxy.TLSMode, *tls.Config, error) {
	mode := tlsModes[c.Mode]
	if mode == proxy.TLSOff {
		return mode, nil, nil
	}
	cfg, err := mysqlconn.TLS{Mode: c.Mode, CA: c.CA, Cert: c.Cert, Key: c.Key}.Config("")
	return mode, cfg, err
}
