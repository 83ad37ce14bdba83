package failover

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// sites are two proxies at two places: the leader db1 and the first proxy in the west; db2,
// db3, etcd and the second proxy in the east.
type sites struct {
	*fixture
	east   *cluster.ProxyProcess
	across []*cluster.Relay // what goes from one place to the other past the harness
}

func startSites(t *testing.T, start func(overrides ...string) *fixture, engine bool) *sites {
	t.Helper()
	etcd, _ := cluster.StartEtcd(t)
	s := &sites{}
	relay := func(target string) string {
		r, err := cluster.NewRelay("127.0.0.1", target)
		cluster.Must(t, err)
		t.Cleanup(r.Close)
		s.across = append(s.across, r)
		return r.Addr()
	}
	fleet := func(name, endpoint string) string {
		return fmt.Sprintf("coordination: {etcd: {endpoints: [%q], name: %s, ttl: 6s}}\nfailover: {heartbeat_timeout: 2s}", endpoint, name)
	}
	s.fixture = start(fleet("west", relay(strings.TrimPrefix(etcd, "http://"))))
	s.settled(t, "db1")
	nodes := fmt.Sprintf("cluster: {nodes: [{name: db1, address: %q, role: %s}", relay(s.Node("db1").DirectAddr()), map[bool]string{true: "leader", false: "auto"}[engine])
	for _, n := range []string{"db2", "db3"} {
		nodes += fmt.Sprintf(", {name: %s, address: %q}", n, s.Node(n).DirectAddr())
	}
	common := []string{base, automatic}
	if engine {
		common = []string{engineBase, automaticEngine}
	}
	s.east = cluster.StartProxy(t, s.Cluster, append(common, fleet("east", strings.TrimPrefix(etcd, "http://")), nodes+"]}")...)
	return s
}

// part cuts the two places apart; join ends that.
func (s *sites) part(t *testing.T) {
	t.Helper()
	cluster.Must(t, s.Node("db2").Cut(cluster.Proxy, cluster.Both), s.Node("db3").Cut(cluster.Proxy, cluster.Both),
		s.Node("db1").Cut(cluster.Nodes, cluster.Both))
	for _, r := range s.across {
		r.Cut(cluster.Both)
	}
}

func (s *sites) join(t *testing.T) {
	t.Helper()
	for _, r := range s.across {
		r.Heal()
	}
	for _, n := range s.Nodes() {
		cluster.Must(t, n.Heal())
	}
}

// TestScenario30October2018: two places are cut apart for 43 seconds (in the short form
// until the east has written enough), with clients at both. The west, where the leader is,
// acknowledges nothing any more; the east changes the leader and does. When the line is
// back everything is one cluster again, with every acknowledged write, and what the west
// had written alone is listed.
func TestScenario30October2018(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		t.Run("native", func(t *testing.T) {
			october(t, startSites(t, func(overrides ...string) *fixture { return startAutomatic(t, o, overrides...) }, false))
		})
		t.Run("engine", func(t *testing.T) {
			october(t, startSites(t, func(overrides ...string) *fixture { return startEngine(t, o, overrides...) }, true))
		})
	})
}

func october(t *testing.T, s *sites) {
	west := s.crowd(t, 4, 0)
	far := &fixture{Cluster: s.Cluster, proxy: s.east}
	east := far.crowdFrom(t, 200, 4, 0)
	west.progress(t, 50)
	east.progress(t, 50)
	parted := time.Now()
	s.part(t)
	next := far.newLeader(t, "db1")
	before := west.turns.Load()
	east.progress(t, 100)
	if os.Getenv("BELLWETHER_LONG") != "" {
		time.Sleep(time.Until(parted.Add(43 * time.Second)))
	}
	if after := west.turns.Load(); after != before {
		t.Errorf("%d writes were acknowledged in the west after the east had a leader", after-before)
	}
	alone := s.written(t, s.Node("db1"))
	s.join(t)
	cluster.Must(t, s.Node("db1").Kill(), s.Node("db1").Start()) // commits that wait there wait for ever, as the report says
	s.fixture.proxy = s.east                                     // who coordinates, and keeps what is saved
	quarantined := s.returns(t, next.Name(), "db1")
	west.progress(t, 50)
	east.progress(t, 50)
	west.check(t, next)
	east.check(t, next)
	there, listed := s.written(t, next), map[[2]int]bool{}
	if quarantined {
		listed = s.rescuedRows(t, "db1")
	}
	for row := range alone {
		if !there[row] && !listed[row] {
			t.Errorf("the row %v was written in the west alone, and nobody says so", row)
		}
	}
	t.Logf("%d rows of the west alone are listed", len(listed))
}

// rescuedRows are the rows of the ledger among what was saved of a node.
func (f *fixture) rescuedRows(t *testing.T, node string) map[[2]int]bool {
	t.Helper()
	out := map[[2]int]bool{}
	for line := range strings.Lines(f.rescued(t, node)) {
		var tx executor.RescuedTransaction
		cluster.Must(t, json.Unmarshal([]byte(line), &tx))
		for _, c := range tx.Changes {
			for _, r := range c.After {
				client, ok1 := r["client"].(float64)
				n, ok2 := r["n"].(float64)
				if c.Kind == "insert" && c.Table == "ledger" && ok1 && ok2 {
					out[[2]int{int(client), int(n)}] = true
				}
			}
		}
	}
	return out
}

// written are the rows of the ledger that a node has, by client and number.
func (f *fixture) written(t *testing.T, n *cluster.Node) map[[2]int]bool {
	t.Helper()
	a := sandbox.AppAccount
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s", a.User, a.Password, n.DirectAddr(), sandbox.AppSchema))
	cluster.Must(t, err)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT client, n FROM ledger")
	cluster.Must(t, err)
	defer func() { _ = rows.Close() }()
	out := map[[2]int]bool{}
	for rows.Next() {
		var r [2]int
		cluster.Must(t, rows.Scan(&r[0], &r[1]))
		out[r] = true
	}
	cluster.Must(t, rows.Err())
	return out
}
