package operations

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// nodesYAML is cluster.nodes with extra keys per node; nodes without an entry are left out.
func (f *fixture) nodesYAML(extra map[string]string) string {
	var b strings.Builder
	b.WriteString("cluster:\n  nodes:\n")
	for _, n := range f.Nodes() {
		if x, ok := extra[n.Name()]; ok {
			fmt.Fprintf(&b, "    - {name: %s, address: %q%s}\n", n.Name(), n.ProxyAddr(), x)
		}
	}
	return b.String()
}

// Nodes come, go, drain and lose their weight under load, without an error.
func TestReloadNodes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := f.read(t, 8)
		home := f.open(t)
		home.exec("SET @v = 5", "BEGIN", "UPDATE t SET n = 70 WHERE id = 1")
		gone := func(node string) {
			t.Helper()
			cluster.Eventually(t, "reads leave "+node, func() bool {
				before := r.count(node)
				r.more(t, 40)
				return t.Failed() || r.count(node) == before
			})
			r.until(t, "db3")
		}
		all := map[string]string{"db1": "", "db2": "", "db3": ""}
		for _, extra := range []map[string]string{
			{"db1": "", "db2": ", weight: 0", "db3": ""},
			{"db1": "", "db2": ", state: drain", "db3": ""},
			{"db1": "", "db3": ""},
		} {
			f.reload(t, f.nodesYAML(all))
			f.waitEligible(t, "db2", true)
			cluster.Eventually(t, "a new session reads from db2", func() bool {
				s := f.open(t)
				defer func() { _ = s.Close() }()
				return s.onFollower() == "db2"
			})
			f.reload(t, f.nodesYAML(extra))
			gone("db2")
		}
		home.exec("COMMIT")
		home.want("5", "SELECT @v")
		home.want("70", "SELECT n FROM t WHERE id = 1")
		r.end()
	})
}

// The name of a node comes to mean another server: what is open, pooled or idle
// on the old one is not used for the new one.
func TestReloadAddress(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		only := func(n *cluster.Node) string {
			return fmt.Sprintf("cluster:\n  nodes:\n    - {name: db1, address: %q}\n    - {name: other, address: %q}\n",
				f.Leader().ProxyAddr(), n.ProxyAddr())
		}
		f.reload(t, only(f.Node("db2")))
		f.waitEligible(t, "other", true)
		s, idle := f.open(t), f.open(t)
		s.settles("db2", whoami)
		idle.settles("db2", whoami)
		cluster.Must(t, idle.Close()) // to the pool
		f.reload(t, only(f.Node("db3")))
		f.waitEligible(t, "other", true)
		for _, s := range []*session{s, f.open(t)} {
			cluster.Eventually(t, "reads move to the new server", func() bool {
				got := s.rows(whoami)
				if got == "db2" {
					t.Error("the old server was read from")
				}
				return t.Failed() || got == "db3"
			})
		}
	})
}

// Rules, users, max_lag, log level and the drain's time change without a restart.
func TestReloadRest(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t)
		s.onFollower()
		digest := strings.Split(s.rows("EXPLAIN ROUTE SELECT n FROM t WHERE id = 4"), "|")[6]
		for _, c := range []struct{ rule, query string }{
			{"users: [app]", whoami},
			{"schemas: [shop]", whoami},
			{"clients: [127.0.0.0/8]", whoami},
			{"pattern: '(?i)from whoami'", whoami},
			{"digest: '" + digest + "'", "SELECT n FROM t WHERE id = 5"},
		} {
			f.reload(t, "routing: {rules: []}")
			cluster.Eventually(t, "without a rule", func() bool { return s.route(c.query) == "follower read" })
			f.reload(t, "routing: {rules: [{name: r1, "+c.rule+", target: leader}]}")
			if got := s.route(c.query); got != "leader rule" {
				t.Errorf("rule %s: %q", c.rule, got)
			}
		}
		f.reload(t, "routing: {rules: [{name: other, users: [nobody], target: leader}, {name: n, users: [app], target: follower, node: db3}]}")
		s.settles("db3", whoami)
		f.reload(t, "routing: {rules: []}")

		for _, level := range []string{"debug", "warn"} {
			f.reload(t, "log: {level: "+level+"}")
			if _, body := f.proxy.Get("/v1/config"); !strings.Contains(body, level) {
				t.Errorf("/v1/config does not say %s", level)
			}
		}
		f.reload(t, "log: {level: info}")

		f.reload(t, "log: {level: debug}")
		cluster.Must(t, f.open(t).Close())
		cluster.Eventually(t, "the log says more", func() bool { return strings.Contains(f.proxy.Log(), "level=DEBUG") })

		f.reload(t, "users: [{name: app, password: app, max_connections: 1}]")
		if _, err := f.tryOpen(t, sandbox.AppAccount, ""); errorNumber(err) == 0 {
			t.Errorf("over the limit of the user: %v", err)
		}
		f.reload(t, "users: []")
		f.open(t)

		// The drain's time is read when it begins: this one cuts an open transaction.
		s.exec("BEGIN", "UPDATE t SET n = 0 WHERE id = 1")
		f.reload(t, "shutdown: {drain: 50ms}")
		cluster.Must(t, f.proxy.Stop())
	}, "shutdown: {drain: 10m}")
}

// What cannot be applied is rejected whole, and said everywhere.
func TestReloadRejected(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		good := f.proxy.ReadConfig()
		s := f.open(t)
		s.onFollower()
		for _, c := range []struct{ name, text, reason string }{
			{"not YAML", good + "\n\t- {", "yaml"},
			{"unknown key", good + "\nroutin: {max_lag: 5s}\n", "routin"},
			{"bad value", overlay(t, good, "routing: {max_lag: soon, rules: [{name: x, users: [app], target: leader}]}"), "max_lag"},
			{"bad pattern", overlay(t, good, "routing: {rules: [{name: x, pattern: '(', target: leader}]}"), "pattern"},
			{"restart needed", overlay(t, good, "listen: {address: '127.0.0.1:1'}\nrouting: {rules: [{name: x, users: [app], target: leader}]}"), "listen.address"},
			{"missing file", overlay(t, good, "listen: {tls: {cert: /nowhere/c.pem, key: /nowhere/k.pem}}\nrouting: {rules: [{name: x, users: [app], target: leader}]}"), "/nowhere"},
		} {
			before := f.metric(t, `bellwether_config_reloads_total`)
			f.proxy.WriteConfig(c.text)
			cluster.Eventually(t, c.name+" is rejected", func() bool {
				return f.metric(t, "bellwether_config_last_reload_successful") == 0 && f.metric(t, `bellwether_config_reloads_total`) > before
			})
			if _, body := f.proxy.Get("/v1/config"); !strings.Contains(body, c.reason) {
				t.Errorf("%s: /v1/config does not say %q:\n%s", c.name, c.reason, body)
			}
			if !strings.Contains(f.proxy.Log(), c.reason) {
				t.Errorf("%s: the log does not say %q", c.name, c.reason)
			}
			if out := status(t, f); !strings.Contains(out, c.reason) {
				t.Errorf("%s: bellwether status does not say %q:\n%s", c.name, c.reason, out)
			}
			if got := s.route(whoami); got != "follower read" {
				t.Errorf("%s: part of it was applied: %q", c.name, got)
			}
			f.proxy.WriteConfig(good)
			cluster.Eventually(t, "the good file is in use again", func() bool {
				return f.metric(t, "bellwether_config_last_reload_successful") == 1
			})
		}
		cluster.Must(t, os.Remove(f.proxy.ConfigPath))
		s.want("1", "SELECT 1")
		f.proxy.WriteConfig(good)
		f.reload(t, "routing: {no_follower: error}")
		if _, err := netip.ParseAddrPort(f.proxy.Addr); err != nil {
			t.Error(err)
		}
	})
}

func overlay(t *testing.T, base, over string) string {
	t.Helper()
	text, err := cluster.Overlay(base, over)
	cluster.Must(t, err)
	return text
}
