package operations

import (
	"strconv"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestWarmUp: connections are made ahead for who connected last, also to a follower that has
// come back while nobody asks for anything, and sessions use them.
func TestWarmUp(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		there := func(name string) int {
			n, err := strconv.Atoi(f.Node(name).Text(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '"+sandbox.AppAccount.User+"'"))
			cluster.Must(t, err)
			return n
		}
		s := f.open(t)
		s.exec("UPDATE t SET n = n + 1 WHERE id = 1")
		s.onFollower()
		cluster.Must(t, s.Close())
		for _, n := range f.Nodes() {
			cluster.Eventually(t, "connections to "+n.Name()+" are made ahead", func() bool { return there(n.Name()) >= 3 })
		}
		cluster.Must(t, f.Node("db2").Kill(), f.Node("db2").Start())
		f.Node("db2").Exec(t, "SET GLOBAL read_only = 1")
		cluster.Eventually(t, "connections to db2 are made ahead again", func() bool { return there("db2") >= 3 })
		s = f.open(t)
		if got := s.rows("/* bellwether: node=db2 */ " + whoami); got != "db2" {
			t.Errorf("%s answers for db2", got)
		}
		if n := there("db2"); n > 4 {
			t.Errorf("%d connections to db2: the idle ones are not used", n)
		}
	}, "pool: {mode: transaction, min_idle: 3}")
}
