package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// image keeps a server's data as they are now, and puts them back: what a server lost the
// end of comes up again as it was, and numbers from there.
type image struct{ data, kept string }

// imageOf watches where the data of a server are.
func imageOf(t *testing.T, o *cluster.Options, node string) *image {
	i := &image{kept: filepath.Join(t.TempDir(), "data")}
	before := o.NodeDir
	o.NodeDir = func(name, dir string) {
		if name == node {
			i.data = filepath.Join(dir, "data")
		}
		if before != nil {
			before(name, dir)
		}
	}
	return i
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	cluster.Must(t, os.RemoveAll(to), os.CopyFS(to, os.DirFS(from)))
}

func (i *image) take(t *testing.T)    { t.Helper(); copyTree(t, i.data, i.kept) }
func (i *image) restore(t *testing.T) { t.Helper(); copyTree(t, i.kept, i.data) }

// modes are both ways of replicating, with automatic failover.
var modes = []struct {
	name  string
	start func(t *testing.T, o cluster.Options, overrides ...string) *fixture
}{{"native", startAutomatic}, {"engine", startEngine}}

// imaged is a cluster whose first leader can be put back to before its last writes: some rows, all
// acknowledged, that every node has.
func imaged(t *testing.T, o cluster.Options, start func(*testing.T, cluster.Options, ...string) *fixture, rows int) (*fixture, *image) {
	t.Helper()
	if o.Provider == cluster.Docker {
		t.Skip("the data of a container are not where they could be copied")
	}
	img := imageOf(t, &o, "db1")
	f := start(t, o)
	cluster.Must(t, f.proxy.Pause()) // it would call the leader dead
	cluster.Must(t, f.Node("db1").Stop())
	img.take(t)
	cluster.Must(t, f.Node("db1").Start(), f.proxy.Continue())
	f.reigns(t, "db1", 1)
	f.settled(t, "db1")
	db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
	for n := range rows {
		_, err := db.ExecContext(t.Context(), "INSERT INTO ledger (client, n) VALUES (1, ?)", n)
		cluster.Must(t, err)
	}
	for _, n := range f.Nodes() {
		cluster.Eventually(t, n.Name()+" has all rows", func() bool {
			return n.Text(t, "SELECT COUNT(*) FROM shop.ledger WHERE client = 1") == fmt.Sprint(rows)
		})
	}
	return f, img
}

// writeAnew lets db1 number transactions as it had numbered the lost ones.
func writeAnew(t *testing.T, f *fixture, rows int) {
	t.Helper()
	for n := range rows {
		f.Node("db1").Exec(t, fmt.Sprintf("INSERT INTO shop.ledger (client, n) VALUES (2, %d)", n))
	}
}

// wantHistory checks that the leader has what was acknowledged, and that what was numbered anew was
// saved: all of it, and where servers replicate by themselves the leader may have the end of it,
// behind the numbers that it had.
func wantHistory(t *testing.T, f *fixture, leader *cluster.Node, acknowledged, anew int, native bool) {
	t.Helper()
	if n := leader.Text(t, "SELECT COUNT(*) FROM shop.ledger WHERE client = 1"); n != fmt.Sprint(acknowledged) {
		t.Errorf("%s has %s of %d rows that were acknowledged", leader.Name(), n, acknowledged)
	}
	text := f.rescued(t, "db1")
	if n := strings.Count(text, `"client":2`); n != anew {
		t.Errorf("%d of %d transactions were saved:\n%s", n, anew, text)
	}
	if n := leader.Text(t, "SELECT COUNT(*) FROM shop.ledger WHERE client = 2"); n != "0" && !native {
		t.Errorf("%s has %s rows that were numbered anew", leader.Name(), n)
	}
	if strings.Contains(text, `"client":1`) {
		t.Error("what the leader has was saved too")
	}
}

// wantSaved checks that db1 comes back as one whose transactions are not the leader's, and is made
// a copy of it.
func wantSaved(t *testing.T, f *fixture, leader *cluster.Node, acknowledged, anew int, native bool) {
	t.Helper()
	if !f.returns(t, leader.Name(), "db1") {
		t.Fatal("db1 serves though it has other transactions under the leader's numbers")
	}
	wantHistory(t, f, leader, acknowledged, anew, native)
	byItself := !native || f.Flavor == gtid.MariaDB // MySQL's own replication brings no server its own transactions
	if f.keptOut("db1") == byItself {
		t.Errorf("db1 is kept out: %v", !byItself)
	}
	if !byItself {
		f.copyAnew(t, "db1")
	}
	f.settled(t, leader.Name())
	f.wantEqual(t, leader)
}

// TestScenario40LeaderNumbersAnew: the leader lost its last, acknowledged transactions with its
// disk's cache, comes back before anybody noticed, and numbers others like them. By the numbers
// it has everything; those who have what was acknowledged go on without it.
func TestScenario40LeaderNumbersAnew(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
				const lost, anew = 12, 40
				f, img := imaged(t, o, m.start, lost)
				cluster.Must(t, f.proxy.Pause()) // nobody looks
				cluster.Must(t, f.Node("db1").Kill())
				img.restore(t)
				cluster.Must(t, f.Node("db1").Start())
				f.Node("db1").Exec(t, "SET GLOBAL read_only = 0")
				writeAnew(t, f, anew)
				cluster.Must(t, f.proxy.Continue())
				next := f.newLeader(t, "db1")
				if m.name == "engine" {
					// A commit of its own may wait there for an acknowledgement that nobody gives, and
					// read_only for that.
					cluster.Must(t, f.Node("db1").Kill(), f.Node("db1").Start())
				}
				wantSaved(t, f, next, lost, anew, m.name == "native")
			})
		})
	}
}

// TestScenario40ReturnsWithReusedNumbers: a leader that was replaced comes back without its last
// transactions, and with others under their GTIDs: fewer than its successor has, so that its
// numbers are all in order.
func TestScenario40ReturnsWithReusedNumbers(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
				const lost, anew = 30, 7
				f, img := imaged(t, o, m.start, lost)
				db1 := f.Node("db1")
				cluster.Must(t, db1.Kill())
				next := f.newLeader(t, "db1")
				cluster.Must(t, db1.Cut(cluster.All, cluster.Both))
				img.restore(t)
				cluster.Must(t, db1.Start())
				db1.Exec(t, "SET GLOBAL read_only = 0")
				writeAnew(t, f, anew)
				cluster.Must(t, db1.Heal())
				wantSaved(t, f, next, lost, anew, m.name == "native")
			})
		})
	}
}

// TestLeaderReturnsWithoutItsEnd: a leader that was replaced comes back without its last
// transactions and has written nothing since. It gets them from its successor, or serves nobody:
// MySQL's own replication would leave them out, and go on.
func TestLeaderReturnsWithoutItsEnd(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
				f, img := imaged(t, o, m.start, 20)
				db1 := f.Node("db1")
				cluster.Must(t, db1.Kill())
				next := f.newLeader(t, "db1")
				img.restore(t)
				cluster.Must(t, db1.Start())
				if f.returns(t, next.Name(), "db1") {
					t.Error("something of db1 was saved, and it has nothing of its own")
				}
				if kept := m.name == "native" && f.Flavor == gtid.MySQL; f.keptOut("db1") != kept {
					t.Errorf("db1 is kept out: %v", !kept)
				} else if kept {
					f.copyAnew(t, "db1")
				}
				f.settled(t, next.Name())
				f.wantEqual(t, next)
			})
		})
	}
}
