package failover

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/maintenance"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// automatic lets Bellwether change the leader by itself, as often as it takes. A
// write is acknowledged by one follower, and clients wait longer than a busy machine
// takes.
const automatic = "failover: {mode: automatic, acks: 1, min_interval: 0s, max_per_hour: 0}\npool: {wait: 40s}\nmonitor: {timeout: 1s}"

// startAutomatic is start with automatic failover, once the leader is written down and
// writes are known to be acknowledged.
func startAutomatic(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Durable = true
	if strings.HasPrefix(o.Flavor, "mysql") {
		o.ExtraArgs = append(o.ExtraArgs, "--plugin-load-add=semisync_source.so;semisync_replica.so",
			"--rpl-semi-sync-replica-enabled=1", "--read-only=0")
	} else {
		o.ExtraArgs = append(o.ExtraArgs, "--rpl-semi-sync-slave-enabled=1")
	}
	f := start(t, o, append([]string{automatic}, overrides...)...)
	acks := 1
	if strings.Contains(strings.Join(overrides, ""), "acks: 0") {
		acks = 0
	}
	f.reigns(t, "db1", acks)
	return f
}

// failoverState is what the proxy says of it.
func (f *fixture) failoverState(t *testing.T) (v admin.FailoverView) {
	t.Helper()
	_, body := f.proxy.Get("/v1/failover")
	cluster.Must(t, json.Unmarshal([]byte(body), &v))
	return v
}

// reigns waits until a node leads by the record, all acknowledge, and nothing is left to do.
func (f *fixture) reigns(t *testing.T, leader string, acks int) {
	t.Helper()
	var v admin.FailoverView
	defer func() {
		if t.Failed() {
			t.Logf("failover state: %+v", v)
		}
	}()
	cluster.Eventually(t, leader+" reigns", func() bool {
		v = f.failoverState(t)
		return v.Leader == leader && v.Writes && v.Step == "" && v.Acks == acks
	})
}

func (f *fixture) incidents(t *testing.T) (list []executor.Incident) {
	t.Helper()
	_, body := f.proxy.Get("/v1/incidents")
	cluster.Must(t, json.Unmarshal([]byte(body), &list))
	return list
}

// newLeader waits for another leader than that one, and returns it.
func (f *fixture) newLeader(t *testing.T, old string) *cluster.Node {
	t.Helper()
	var v admin.FailoverView
	cluster.Eventually(t, "another node than "+old+" leads", func() bool {
		v = f.failoverState(t)
		return v.Leader != old && v.Writes && v.Step == ""
	})
	return f.Node(v.Leader)
}

// returns waits until a node that led is a follower again, or is kept out; saved says that it had
// written what no follower acknowledged, which was saved.
func (f *fixture) returns(t *testing.T, leader, node string) (saved bool) {
	t.Helper()
	cluster.Eventually(t, node+" is back, or kept out", func() bool { return f.serves(t, node) || f.keptOut(node) })
	matches, err := filepath.Glob(filepath.Join(f.data(), "rescue", node+"-epoch*", "gtids"))
	cluster.Must(t, err)
	if v := f.failoverState(t); v.Leader != leader {
		t.Errorf("%s leads, want %s", v.Leader, leader)
	}
	if got := f.Node(node).Text(t, "SELECT @@global.read_only + 0"); got != "1" {
		t.Errorf("read_only of %s is %s after its return", node, got)
	}
	t.Logf("%s is back, saved: %d, kept out: %v", node, len(matches), f.keptOut(node))
	return len(matches) > 0
}

// serves says that a node is used for reads.
func (f *fixture) serves(t *testing.T, node string) bool {
	t.Helper()
	return slices.ContainsFunc(f.topology(t).Nodes, func(n admin.NodeView) bool { return n.Name == node && n.Eligible })
}

// keptOut says that a node was found to have transactions of its own that could not be undone.
func (f *fixture) keptOut(node string) bool {
	for line := range strings.Lines(f.proxy.Log()) {
		if strings.Contains(line, "node="+node+" ") && strings.Contains(line, "it is quarantined until") {
			return true
		}
	}
	return false
}

// data is the folder of the proxy's record, incidents and rescued transactions.
func (f *fixture) data() string {
	return filepath.Join(filepath.Dir(f.proxy.ConfigPath), "bellwether-data")
}

// wantFailover checks that there was one failover, to that node, and that it is told of.
func (f *fixture) wantFailover(t *testing.T, to string) {
	t.Helper()
	var failovers []executor.Incident
	for _, i := range f.incidents(t) {
		if i.Kind == "failover" {
			failovers = append(failovers, i)
		}
	}
	if len(failovers) != 1 || failovers[0].To != to || failovers[0].Outcome != "finished" || len(failovers[0].Events) == 0 {
		t.Errorf("incidents: %+v", failovers)
	}
}

// TestScenario31CutOffFromUsOnly: a leader that followers hear is not dead.
func TestScenario31CutOffFromUsOnly(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o, "failover: {heartbeat_timeout: 2s}", "pool: {wait: 1s}")
		cluster.Must(t, f.Node("db1").Cut(cluster.Proxy, cluster.Both))
		unreachable := func() bool {
			for _, p := range f.failoverState(t).Problems {
				if p.Code == "leader-unreachable-from-us" {
					return true
				}
			}
			return false
		}
		cluster.Eventually(t, "it is seen that only the proxy is cut off", unreachable)
		time.Sleep(6 * time.Second) // three times what a death would take
		if v := f.failoverState(t); v.Leader != "db1" || !unreachable() {
			t.Errorf("state after 6 s: %+v", v)
		}
		cluster.Must(t, f.Node("db1").Heal())
		f.settled(t, "db1")
		for _, i := range f.incidents(t) {
			if i.Kind == "failover" {
				t.Errorf("a failover: %+v", i)
			}
		}
	})
}

// TestScenario39DivergentReturn: what a cut off leader wrote alone is saved before
// anything else, transaction by transaction, and the node serves nobody.
func TestScenario39DivergentReturn(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o, "failover: {acks: 0, heartbeat_timeout: 2s}")
		db1 := f.Node("db1")
		cluster.Must(t, db1.Cut(cluster.All, cluster.Both))
		db1.Exec(t, "INSERT INTO shop.ledger (client, n) VALUES (7, 1)", "UPDATE shop.accounts SET balance = balance - 7 WHERE id = 2",
			"CREATE TABLE shop.alone (id INT PRIMARY KEY)")
		next := f.newLeader(t, "db1")
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		_, err := db.ExecContext(t.Context(), "INSERT INTO ledger (client, n) VALUES (8, 1)")
		cluster.Must(t, err)
		cluster.Must(t, db1.Heal())
		if !f.returns(t, next.Name(), "db1") || !f.keptOut("db1") {
			t.Fatal("db1 serves though it has transactions of its own that cannot be undone")
		}
		text := f.rescued(t, "db1")
		for _, want := range []string{`"kind":"insert"`, `"balance":93`, `"client":7`, `CREATE TABLE shop.alone`} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s is there %d times in:\n%s", want, strings.Count(text, want), text)
			}
		}
		if strings.Contains(text, `"client":8`) {
			t.Error("a transaction of the new leader was rescued from the old one")
		}
		for _, n := range f.topology(t).Nodes {
			if n.Name == "db1" && (n.Eligible || n.Role == "leader") {
				t.Errorf("db1 is used: %+v", n)
			}
		}
		f.wantFailover(t, next.Name())
		f.copyAnew(t, "db1")
		f.wantEqual(t, next)
	})
}

// TestFollowerReturnsWithMore: a follower that nobody could reach goes on following a leader that
// was replaced, until the very moment in which it is pointed at the new one. What it has from there
// is saved and undone like that leader's own.
func TestFollowerReturnsWithMore(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o, "failover: {acks: 0, heartbeat_timeout: 2s}")
		db1, db2, db3 := f.Node("db1"), f.Node("db2"), f.Node("db3")
		cluster.Must(t, db2.Cut(cluster.Proxy, cluster.Both), db3.Cut(cluster.Nodes, cluster.Both), db1.Cut(cluster.Proxy, cluster.Both))
		if next := f.newLeader(t, "db1"); next != db3 {
			t.Fatalf("%s leads", next.Name())
		}
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		for n := range 3 {
			_, err := db.ExecContext(t.Context(), "INSERT INTO ledger (client, n) VALUES (8, ?)", n)
			cluster.Must(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var writes sync.WaitGroup
		writes.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = db1.DB().ExecContext(ctx, "INSERT INTO shop.ledger (client, n) VALUES (7, ?)", n)
			}
		})
		defer writes.Wait()
		defer cancel()
		here := "SELECT COUNT(*) FROM shop.ledger WHERE client = 7"
		cluster.Eventually(t, "db2 has more from db1", func() bool { return db2.Text(t, here) != "0" })
		cluster.Must(t, db3.Heal(), db2.Heal())
		cluster.Eventually(t, "what db2 has from db1 is saved", func() bool {
			matches, _ := filepath.Glob(filepath.Join(f.data(), "rescue", "db2-epoch*", "gtids"))
			return len(matches) > 0
		})
		cancel()
		writes.Wait()
		cluster.Must(t, db1.Heal())
		for _, n := range []string{"db2", "db1"} {
			if !f.returns(t, "db3", n) || f.keptOut(n) {
				t.Errorf("%s has rows of its own: they were not saved and undone", n)
			}
		}
		if n := strings.Count(f.rescued(t, "db2"), `"client":7`); n == 0 || n > strings.Count(f.rescued(t, "db1"), `"client":7`) {
			t.Errorf("%d rows were saved of db2", n)
		}
		if strings.Contains(f.rescued(t, "db2"), `"client":8`) {
			t.Error("what the leader has was saved too")
		}
		f.settled(t, "db3")
		f.wantEqual(t, db3)
	})
}

// copyAnew makes a quarantined node a copy of the leader, as `bellwether clone` does,
// and waits until it serves.
func (f *fixture) copyAnew(t *testing.T, node string) {
	t.Helper()
	cfg, err := configs.Load(f.proxy.ConfigPath)
	cluster.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	access := &maintenance.Access{Config: cfg, User: sandbox.AdminAccount.User, Password: sandbox.AdminAccount.Password}
	_, err = maintenance.Clone(ctx, access, maintenance.CloneOptions{Node: node, Overwrite: true, Follow: true})
	cluster.Must(t, err)
	cluster.Eventually(t, node+" serves reads", func() bool { return f.serves(t, node) })
}

// wantEqual compares the tables of all nodes with the leader's.
func (f *fixture) wantEqual(t *testing.T, leader *cluster.Node) {
	t.Helper()
	sums := func(n *cluster.Node) string {
		rows, err := n.DB().QueryContext(t.Context(), "CHECKSUM TABLE shop.ledger, shop.accounts, shop.numbered, shop.alone")
		cluster.Must(t, err)
		text, err := cluster.Text(rows, "null")
		cluster.Must(t, err)
		return text
	}
	want := sums(leader)
	for _, n := range f.Nodes() {
		cluster.Eventually(t, n.Name()+" has what "+leader.Name()+" has", func() bool { return sums(n) == want })
	}
}

// rescued is what was saved of a node, for people.
func (f *fixture) rescued(t *testing.T, node string) string {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(f.data(), "rescue", node+"-epoch*", "transactions.jsonl"))
	cluster.Must(t, err)
	if len(matches) != 1 {
		t.Fatalf("rescued: %v", matches)
	}
	text, err := os.ReadFile(matches[0])
	cluster.Must(t, err)
	return string(text)
}
