package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate says everything that is wrong with the values, as Errors with key
// paths. It opens no files: Load does that too.
func (c *Config) Validate() error { return c.check().orNil() }

// checker collects problems.
type checker struct{ problems Errors }

func (k *checker) add(path, format string, args ...any) {
	k.problems = append(k.problems, &Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *Config) check() Errors {
	var k checker
	k.listen(&c.Listen)
	k.cluster(&c.Cluster)
	k.replication(&c.Replication, &c.Cluster)
	k.failover(c)
	k.routing(&c.Routing, c.Cluster.Nodes)
	k.monitor(&c.Monitor)
	k.pool(&c.Pool)
	k.limits(&c.Limits)
	k.users(c.Users)
	k.hostPort("admin.address", c.Admin.Address, true)
	k.secret("admin", c.Admin.Password)
	if a := c.Admin.Address; a != "" && a == c.Listen.Address && !strings.HasSuffix(a, ":0") {
		k.add("admin.address", "is the same as listen.address: they need ports of their own")
	}
	k.enum("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.enum("log.format", c.Log.Format, "text", "json")
	k.duration("shutdown.drain", c.Shutdown.Drain, 0, 24*time.Hour)
	return k.problems
}

func (k *checker) failover(c *Config) {
	f, e := &c.Failover, &c.Coordination.Etcd
	k.enum("failover.mode", f.Mode, "off", "manual", "automatic")
	k.number("failover.acks", f.Acks, 0, max(0, len(c.Cluster.Nodes)-1))
	k.duration("failover.heartbeat_timeout", f.HeartbeatTimeout, 500*time.Millisecond, 10*time.Minute)
	k.duration("failover.probe_interval", f.ProbeInterval, 10*time.Millisecond, 10*time.Second)
	k.duration("failover.min_interval", f.MinInterval, 0, 24*time.Hour)
	k.number("failover.max_per_hour", f.MaxPerHour, 0, 1000)
	k.enum("failover.returned", f.Returned, "copy", "keep")
	for i, a := range e.Endpoints {
		k.hostPort(fmt.Sprintf("coordination.etcd.endpoints[%d]", i), a, false)
	}
	k.secret("coordination.etcd", e.Password)
	if (e.User == "") == e.Password.IsSet() {
		k.add("coordination.etcd.user", "is given together with a password, or not at all")
	}
	k.enum("coordination.etcd.tls.mode", e.TLS.Mode, "off", "required", "verify-ca", "verify-identity")
	k.pair("coordination.etcd.tls", e.TLS.Cert, e.TLS.Key)
	k.duration("coordination.etcd.ttl", e.TTL, 2*time.Second, time.Hour)
	if e.TTL%time.Second != 0 {
		k.add("coordination.etcd.ttl", "is %s: give whole seconds", formatDuration(e.TTL))
	}
	if f.Mode == "off" {
		return
	}
	if f.Directory == "" {
		k.add("failover.directory", "is required: incidents and rescued transactions are kept there")
	}
	engine := c.Replication.Mode == "engine"
	if engine && c.Replication.Acks == "relay" {
		k.add("replication.acks", "relay promises nothing of followers, and so none of them could safely lead: give another level, or failover.mode off")
	}
	if engine && f.Acks != 0 {
		k.add("failover.acks", "is of replication.mode native; with engine give replication.acks")
	}
	if c.Replication.User == "" {
		k.add("failover.mode", "needs replication.user, by whom nodes follow each other")
	}
	for i := range c.Cluster.Nodes {
		switch n := &c.Cluster.Nodes[i]; {
		case n.Role == "leader" && engine: // it leads first
		case n.Role == "leader" || n.Role == "follower":
			k.add(fmt.Sprintf("cluster.nodes[%d].role", i), "is given, but with failover.mode %s roles change: leave it out", f.Mode)
		case strings.HasPrefix(n.Address, "/"):
			k.add(fmt.Sprintf("cluster.nodes[%d].address", i), "is a unix socket, where no other node can follow it")
		}
	}
}

func (k *checker) listen(l *Listen) {
	if l.Address == "" && l.Socket == "" {
		k.add("listen", "clients need an address or a socket to connect to")
	}
	k.hostPort("listen.address", l.Address, true)
	const maxSocketPath = 107 // sun_path of unix(7), without the final NUL
	if len(l.Socket) > maxSocketPath {
		k.add("listen.socket", "is longer than the %d bytes that the path of a socket can have", maxSocketPath)
	}
	k.enum("listen.tls.mode", l.TLS.Mode, "off", "optional", "required")
	k.pair("listen.tls", l.TLS.Cert, l.TLS.Key)
	for i, s := range l.ProxyProtocol.Trusted {
		k.prefix(fmt.Sprintf("listen.proxy_protocol.trusted[%d]", i), s)
	}
	for i, s := range l.Compression {
		k.enum(fmt.Sprintf("listen.compression[%d]", i), s, "zlib", "zstd")
	}
}

func (k *checker) replication(r *Replication, c *Cluster) {
	k.enum("replication.mode", r.Mode, "native", "engine")
	k.secret("replication", r.Password)
	if r.User == "" && r.Password.IsSet() {
		k.add("replication.user", "is required with replication.password")
	}
	k.duration("replication.switchover_timeout", r.SwitchoverTimeout, 100*time.Millisecond, 20*time.Second)
	if n := r.ApplyConnections; n < 1 || n > 16 {
		k.add("replication.apply_connections", "is %d: give 1 to 16", n)
	}
	if s := r.RelayLog.MaxSize; s != 0 && s < 16<<20 {
		k.add("replication.relay_log.max_size", "is less than 16MiB: give more, or 0 for none")
	} else if s > 0 && r.RelayLog.Directory == "" {
		k.add("replication.relay_log.directory", "is required, unless max_size is 0")
	}
	k.duration("replication.verify.interval", r.Verify.Interval, 0, 365*24*time.Hour)
	k.duration("replication.verify.pause", r.Verify.Pause, 0, time.Minute)
	if n := r.Copy.Workers; n < 1 || n > 64 {
		k.add("replication.copy.workers", "is %d: give 1 to 64", n)
	}
	if r.Copy.MaxRate < 0 {
		k.add("replication.copy.max_rate", "is negative")
	}
	k.acks(r, len(c.Nodes))
	if r.Acks == "relay" && r.RelayLog.MaxSize == 0 {
		k.add("replication.relay_log.max_size", "is 0: replication.acks relay needs a relay log")
	}
	if r.Acks == "relay" && r.MinInSync > 1 {
		k.add("replication.min_in_sync", "is of followers: with replication.acks relay they do not count")
	}
	if r.Mode != "engine" {
		return
	}
	switch r.User {
	case "":
		k.add("replication.user", "is required with replication.mode engine: an account on all nodes with ALL PRIVILEGES WITH GRANT OPTION, for it alone")
	case c.User:
		k.add("replication.user", "is cluster.user too: the engine needs an account for itself, as it ends what that account does on a follower which it takes over")
	}
	if !slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.Role == "leader" }) && len(c.Nodes) > 0 {
		k.add("cluster.nodes", "with replication.mode engine one of them needs role: leader, from which the others are made")
	}
}

func (k *checker) acks(r *Replication, nodes int) {
	n, ok := r.AckCount(nodes)
	most := max(0, nodes-1)
	switch {
	case !ok:
		k.add("replication.acks", "is %q: give none, relay, majority, all or a number of followers", r.Acks)
	case n > most && nodes > 0:
		k.add("replication.acks", "is %d, and there are %d followers", n, most)
	case n != 0 && r.Mode != "engine":
		k.add("replication.acks", "is of replication.mode engine; with native give failover.acks")
	}
	k.number("replication.min_in_sync", r.MinInSync, 0, most)
	k.enum("replication.on_insufficient", r.OnInsufficient, "wait", "degrade")
	k.duration("replication.in_sync_lag", r.InSyncLag, 100*time.Millisecond, time.Hour)
}

func (k *checker) cluster(c *Cluster) {
	k.enum("cluster.flavor", c.Flavor, "auto", "mariadb", "mysql")
	if c.User == "" {
		k.add("cluster.user", "Bellwether needs an account of its own on the nodes")
	}
	k.secret("cluster", c.Password)
	k.enum("cluster.tls.mode", c.TLS.Mode, "off", "preferred", "required", "verify-ca", "verify-identity")
	k.pair("cluster.tls", c.TLS.Cert, c.TLS.Key)
	k.enum("cluster.proxy_protocol", c.ProxyProtocol, "off", "v1", "v2")
	k.duration("cluster.connect_timeout", c.ConnectTimeout, time.Millisecond, 10*time.Minute)
	k.nodes(c.Nodes)
}

func (k *checker) nodes(nodes []Node) {
	if len(nodes) == 0 {
		k.add("cluster.nodes", "is required: name at least one server, such as\n  cluster:\n    nodes:\n      - {name: db1, address: db1.example:3306}")
	}
	names, addresses, leader := map[string]int{}, map[string]int{}, -1
	for i := range nodes {
		n := &nodes[i]
		at := fmt.Sprintf("cluster.nodes[%d]", i)
		switch {
		case n.Address == "":
			k.add(at+".address", "is required")
		case strings.HasPrefix(n.Address, "/"):
		default:
			k.hostPort(at+".address", n.Address, false)
		}
		if strings.ContainsFunc(n.Name, func(r rune) bool { return r <= ' ' || r == ',' || r == '*' }) || len(n.Name) > 255 {
			k.add(at+".name", "a name has no spaces, commas or asterisks, and at most 255 bytes")
		}
		if j, ok := names[n.Name]; ok && n.Name != "" {
			k.add(at+".name", "%q is the name of nodes[%d] too", clip(n.Name), j)
		}
		if j, ok := addresses[n.Address]; ok && n.Address != "" {
			k.add(at+".address", "%q is the address of nodes[%d] too", clip(n.Address), j)
		}
		names[n.Name], addresses[n.Address] = i, i
		if w := n.ReadWeight(); w < 0 || w > 10000 {
			k.add(at+".weight", "is %d: give 0 to 10000", w)
		}
		if n.Role != "" {
			k.enum(at+".role", n.Role, "auto", "leader", "follower")
		}
		if n.State != "" {
			k.enum(at+".state", n.State, "active", "drain")
		}
		if n.Role == "leader" {
			if leader >= 0 {
				k.add(at+".role", "nodes[%d] is given as the leader already", leader)
			}
			leader = i
		}
	}
}

func (k *checker) routing(r *Routing, nodes []Node) {
	k.duration("routing.max_lag", r.MaxLag, time.Millisecond, 365*24*time.Hour)
	k.enum("routing.no_follower", r.NoFollower, "leader", "error")
	k.duration("routing.causal_wait", r.CausalWait, 0, time.Minute)
	k.enum("routing.leader_overload", r.LeaderOverload, "wait", "error")
	if r.MaxLeaderReads < 0 {
		k.add("routing.max_leader_reads", "%d is below zero; 0 is no limit", r.MaxLeaderReads)
	}
	k.enum("routing.consistency", r.Consistency, levels...)
	k.enum("routing.balance", r.Balance, "load", "latency")
	names := map[string]bool{}
	for i := range r.Rules {
		rule := &r.Rules[i]
		at := fmt.Sprintf("routing.rules[%d]", i)
		if rule.Name != "" && names[rule.Name] {
			k.add(at+".name", "%q is the name of an earlier rule too", clip(rule.Name))
		}
		names[rule.Name] = true
		k.rule(at, rule, nodes)
	}
}

// levels are the names of what a read may be older than, see docs/consistency.md.
var levels = []string{"eventual", "session", "causal", "global", "strong"}

var digestForm = regexp.MustCompile(`^[0-9a-fA-F]{1,16}$`)

func (k *checker) rule(at string, r *Rule, nodes []Node) {
	for i, s := range r.Clients {
		k.prefix(fmt.Sprintf("%s.clients[%d]", at, i), s)
	}
	if _, err := regexp.Compile(r.Pattern); err != nil {
		k.add(at+".pattern", "%s", patternProblem(err))
	}
	if r.Digest != "" && !digestForm.MatchString(r.Digest) {
		k.add(at+".digest", "%q is not a digest: copy the hexadecimal digits that EXPLAIN ROUTE or /v1/digests shows", clip(r.Digest))
	}
	if r.Target != "" {
		k.enum(at+".target", r.Target, "leader", "follower")
	}
	if r.NoFollower != "" {
		k.enum(at+".no_follower", r.NoFollower, "leader", "error")
	}
	if r.Consistency != "" {
		k.enum(at+".consistency", r.Consistency, levels...)
	}
	if r.MaxLag != nil {
		k.duration(at+".max_lag", *r.MaxLag, time.Millisecond, 365*24*time.Hour)
	}
	if r.Node != "" {
		k.knownNode(at+".node", r.Node, nodes)
	}
	if r.Target == "leader" && (r.MaxLag != nil || r.NoFollower != "" || r.Node != "") {
		k.add(at, "with target leader, node, max_lag and no_follower mean nothing")
	}
	if r.Target == "" && r.Node == "" && r.MaxLag == nil && r.NoFollower == "" && r.Consistency == "" {
		k.add(at, "says nothing about where to go: give target, node, max_lag, consistency or no_follower")
	}
}

func (k *checker) knownNode(path, name string, nodes []Node) {
	names := make([]string, 0, len(nodes))
	for i := range nodes {
		if nodes[i].Name == name {
			return
		}
		names = append(names, nodes[i].Name)
	}
	hint := ""
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf(": did you mean %s?", near)
	}
	k.add(path, "there is no node %q%s", clip(name), hint)
}

func (k *checker) monitor(m *Monitor) {
	k.duration("monitor.interval", m.Interval, 10*time.Millisecond, time.Minute)
	k.duration("monitor.timeout", m.Timeout, 10*time.Millisecond, time.Minute)
	k.number("monitor.failures", m.Failures, 1, 1000)
	k.number("monitor.recoveries", m.Recoveries, 1, 1000)
	k.duration("monitor.heartbeat.interval", m.Heartbeat.Interval, 10*time.Millisecond, time.Minute)
	switch s := m.Heartbeat.Schema; {
	case !schemaForm.MatchString(s):
		k.add("monitor.heartbeat.schema", "%q is not a name of letters, digits, $ and _ with at most 64 bytes", clip(s))
	case systemSchemas[strings.ToLower(s)]:
		k.add("monitor.heartbeat.schema", "%s belongs to the server: choose a schema of its own", s)
	}
}

var (
	schemaForm    = regexp.MustCompile(`^[0-9A-Za-z$_]{1,64}$`)
	systemSchemas = map[string]bool{"mysql": true, "sys": true, "information_schema": true, "performance_schema": true}
)

func (k *checker) pool(p *Pool) {
	k.enum("pool.mode", p.Mode, "session", "transaction")
	k.number("pool.max_prepared", p.MaxPrepared, 1, 100_000)
	k.number("pool.max_idle", p.MaxIdle, 0, 100_000)
	k.number("pool.min_idle", p.MinIdle, 0, max(0, p.MaxIdle))
	k.duration("pool.idle_timeout", p.IdleTimeout, 0, 365*24*time.Hour)
	k.duration("pool.max_lifetime", p.MaxLifetime, 0, 365*24*time.Hour)
	k.number("pool.max_per_node", p.MaxPerNode, 0, 1_000_000)
	k.duration("pool.wait", p.Wait, 0, time.Hour)
}

func (k *checker) limits(l *Limits) {
	k.number("limits.max_connections", l.MaxConnections, 1, 10_000_000)
	k.number("limits.max_connections_per_user", l.MaxConnectionsPerUser, 0, 10_000_000)
	k.number("limits.max_unauthenticated_per_address", l.MaxUnauthenticatedPerAddress, 1, 10_000_000)
	k.duration("limits.auth_timeout", l.AuthTimeout, 10*time.Millisecond, time.Hour)
	k.duration("limits.idle_timeout", l.IdleTimeout, 0, 365*24*time.Hour)
	if l.MaxPacket != 0 {
		k.size("limits.max_packet", l.MaxPacket, 1<<10, 1<<30)
	}
	k.size("limits.retry_buffer", l.RetryBuffer, 0, 1<<30)
}

func (k *checker) users(users []User) {
	names := map[string]int{}
	for i := range users {
		u := &users[i]
		at := fmt.Sprintf("users[%d]", i)
		if u.Name == "" {
			k.add(at+".name", "is required")
		}
		if j, ok := names[u.Name]; ok && u.Name != "" {
			k.add(at+".name", "%q is the name of users[%d] too", clip(u.Name), j)
		}
		names[u.Name] = i
		if !u.Password.IsSet() {
			k.add(at, "needs a password, password_file or password_env; accounts whose password the leader can check need no entry here")
		}
		k.secret(at, u.Password)
		k.number(at+".max_connections", u.MaxConnections, 0, 10_000_000)
	}
}

// secret reports a password that is given in more than one way.
func (k *checker) secret(path string, s Secret) {
	if err := s.check(); err != nil {
		k.add(path+".password", "%v", err)
	}
}

// pair reports a certificate without its key, or a key without its certificate.
func (k *checker) pair(path, cert, key string) {
	if cert != "" && key == "" {
		k.add(path+".key", "is required with %s.cert", path)
	}
	if key != "" && cert == "" {
		k.add(path+".cert", "is required with %s.key", path)
	}
}

// enum reports a value that is none of the allowed ones.
func (k *checker) enum(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	hint := ""
	if near := nearest(value, allowed); near != "" && value != "" {
		hint = fmt.Sprintf(": did you mean %s?", near)
	} else if _, isBool := parseBool(value); isBool && slices.Contains(allowed, "off") {
		hint = fmt.Sprintf(": did you mean off or %s?", allowed[1])
	}
	k.add(path, "is %q; it can be %s%s", clip(value), orList(allowed), hint)
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (k *checker) duration(path string, d, least, most time.Duration) {
	if d < least || d > most {
		k.add(path, "is %s: give %s to %s", formatDuration(d), formatDuration(least), formatDuration(most))
	}
}

func (k *checker) size(path string, s, least, most ByteSize) {
	if s < least || s > most {
		k.add(path, "is %s: give %s to %s", s, least, most)
	}
}

func (k *checker) number(path string, n, least, most int) {
	if n < least || n > most {
		k.add(path, "is %d: give %d to %d", n, least, most)
	}
}

// hostPort reports what cannot be listened on, or connected to. Port 0, any
// free one, is for listening only.
func (k *checker) hostPort(path, addr string, listen bool) {
	if addr == "" {
		return
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		k.add(path, "%q is not host:port%s", clip(addr), addressHint(addr))
		return
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen {
		k.add(path, "%q is not a port: give a number from 1 to 65535", clip(port))
	}
	if host == "" && !listen {
		k.add(path, "%q names no host", clip(addr))
	}
	if strings.ContainsAny(host, " /@,;'\"") {
		k.add(path, "%q is not the name or the address of a host", clip(host))
	}
}

func addressHint(addr string) string {
	if _, err := strconv.Atoi(addr); err == nil {
		return fmt.Sprintf(": did you mean :%s?", addr)
	}
	if ip, err := netip.ParseAddr(addr); err == nil && ip.Is6() {
		return fmt.Sprintf(": did you mean [%s]:3306?", addr)
	}
	if _, rest, ok := strings.Cut(addr, "://"); ok {
		return fmt.Sprintf(": did you mean %s, without the scheme?", clip(strings.TrimSuffix(rest, "/")))
	}
	if strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "[") {
		return ": an IPv6 address stands in brackets, as in [::1]:3306"
	}
	return ""
}

// prefix reports what is neither a CIDR nor an address.
func (k *checker) prefix(path, s string) {
	if _, err := ParsePrefix(s); err != nil {
		k.add(path, "%v", err)
	}
}

// ParsePrefix reads a CIDR such as 10.0.0.0/8, or a single address.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network such as 10.0.0.0/8, nor an address", clip(s))
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its /%d: did you mean %s?", clip(s), p.Bits(), m)
	}
	return p, nil
}

// patternProblem says why a regular expression does not compile.
func patternProblem(err error) string {
	var se *syntax.Error
	if !errors.As(err, &se) {
		return clip(err.Error())
	}
	if se.Code == syntax.ErrInvalidPerlOp || strings.HasPrefix(se.Expr, "(?") {
		return fmt.Sprintf("%s: %s; RE2 has no look-around and no back-references", se.Code, clip(se.Expr))
	}
	return fmt.Sprintf("%s: %s", se.Code, clip(se.Expr))
}
