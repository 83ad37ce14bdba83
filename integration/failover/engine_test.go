package failover

import (
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// automaticEngine is automatic with Bellwether's own replication.
const automaticEngine = "failover: {mode: automatic, min_interval: 0s, max_per_hour: 0}\nreplication: {acks: 1}\npool: {wait: 40s}\nmonitor: {timeout: 1s}"

// startEngine makes a cluster of plain servers, with automatic failover, once its writes
// are known to be acknowledged.
func startEngine(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Durable, o.Engine, o.PerformanceSchema = true, true, true
	if strings.HasPrefix(o.Flavor, "mysql") {
		o.ExtraArgs = append(o.ExtraArgs, "--plugin-load-add=semisync_source.so", "--read-only=0")
	}
	f := start(t, o, append([]string{automaticEngine}, overrides...)...)
	acks := 1
	if strings.Contains(strings.Join(overrides, ""), "acks: none") {
		acks = 0
	}
	f.reigns(t, "db1", acks)
	return f
}

// TestEngineScenario28LeaderKilled: scenario 28 where Bellwether replicates.
func TestEngineScenario28LeaderKilled(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startEngine(t, o)
		c := f.crowd(t, 4, 4)
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Start())
		f.returns(t, next.Name(), "db1")
		c.progress(t, 20)
		c.check(t, next)
		f.wantFailover(t, next.Name())
	})
}

// TestEngineScenario29LeaderStopped: a leader that says nothing, though its connections stay
// open, and comes back to itself later, where Bellwether replicates.
func TestEngineScenario29LeaderStopped(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startEngine(t, o)
		c := f.crowd(t, 4, 4)
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Pause())
		next := f.newLeader(t, "db1")
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Kill(), f.Node("db1").Start())
		f.returns(t, next.Name(), "db1")
		c.progress(t, 20)
		c.check(t, next)
		f.wantFailover(t, next.Name())
	})
}

// TestEngineScenario39DivergentReturn: what a cut off leader wrote alone is saved before it
// is made a copy of the new one, where Bellwether replicates; as SQL it can be run there.
func TestEngineScenario39DivergentReturn(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startEngine(t, o, "failover: {heartbeat_timeout: 2s}\nreplication: {acks: none}")
		db1 := f.Node("db1")
		cluster.Must(t, db1.Cut(cluster.All, cluster.Both))
		db1.Exec(t, "INSERT INTO shop.ledger (client, n) VALUES (7, 1)", "UPDATE shop.accounts SET balance = balance - 7 WHERE id = 2",
			"CREATE TABLE shop.alone (id INT PRIMARY KEY)")
		next := f.newLeader(t, "db1")
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		_, err := db.ExecContext(t.Context(), "INSERT INTO ledger (client, n) VALUES (8, 1)")
		cluster.Must(t, err)
		cluster.Must(t, db1.Heal())
		if !f.returns(t, next.Name(), "db1") {
			t.Fatal("db1 serves though it has transactions of its own")
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
		f.wantFailover(t, next.Name())
		f.settled(t, next.Name())
		f.wantEqual(t, next)
		f.wantExport(t, next, "db1")
	})
}

// TestEngineSwitchover: a planned change where Bellwether replicates costs clients no
// error, loses and doubles nothing, and so does the way back.
func TestEngineSwitchover(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startEngine(t, o)
		f.settled(t, "db1")
		turns, stop := f.load(t, 6)
		progress(t, turns, 30)
		for _, to := range []string{"db2", "db3", "db1"} {
			v := f.mustSwitch(t, to)
			t.Logf("%s: writes held for %.0f ms: %+v", to, v.HeldMS, v.Steps)
			progress(t, turns, 30)
		}
		f.wantLedgers(t, "db1", stop())
	})
}

// wantExport runs what was saved of a node on the leader, and then what undoes it but for
// the table.
func (f *fixture) wantExport(t *testing.T, leader *cluster.Node, node string) {
	t.Helper()
	list, err := executor.Rescues(f.data())
	cluster.Must(t, err)
	if len(list) != 1 || !strings.HasPrefix(list[0].Name, node+"-epoch") {
		t.Fatalf("saved: %+v", list)
	}
	state := func() string {
		return leader.Text(t, "SELECT CONCAT((SELECT COUNT(*) FROM shop.ledger WHERE client = 7), ' ', (SELECT balance FROM shop.accounts WHERE id = 2))")
	}
	run := func(text string) {
		t.Helper()
		conn, err := leader.DB().Conn(t.Context())
		cluster.Must(t, err)
		defer func() { _ = conn.Close() }()
		for q := range strings.SplitSeq(text, ";\n") {
			if q = strings.TrimSpace(q); q != "" && !strings.HasPrefix(q, "-- ") || strings.Contains(q, "BEGIN") {
				_, err := conn.ExecContext(t.Context(), q)
				cluster.Must(t, err)
			}
		}
	}
	leader.Exec(t, "DELETE FROM shop.ledger WHERE client = 8") // it has the same number
	before := state()
	for i := range list[0].Transactions {
		if tx := &list[0].Transactions[i]; tx.Changes[0].Table != "heartbeat" {
			run(tx.SQL())
		}
	}
	if got := state(); before != "0 100" || got != "1 93" || leader.Text(t, "SELECT COUNT(*) FROM shop.alone") != "0" {
		t.Errorf("before %s, after what was saved %s", before, got)
	}
	for i := len(list[0].Transactions) - 1; i >= 0; i-- {
		if tx := &list[0].Transactions[i]; tx.Changes[0].Table == "ledger" || tx.Changes[0].Table == "accounts" {
			run(tx.Reverse())
		}
	}
	if got := state(); got != before {
		t.Errorf("after what undoes it %s, before %s", got, before)
	}
}
