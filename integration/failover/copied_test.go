package failover

import (
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// TestCopiedNodeLeads: a node that was copied anew knows the past, too. When it leads, what
// followers have of earlier leaders is not taken for their own.
func TestCopiedNodeLeads(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		for _, to := range []string{"db3", "db2", "db1"} { // all have written
			f.mustSwitch(t, to)
			f.reigns(t, to, 1)
		}
		f.copyAnew(t, "db2")
		f.settled(t, "db1")
		f.mustSwitch(t, "db2")
		f.reigns(t, "db2", 1)
		// One that led follows nobody: it is compared with the leader before it is brought back.
		forget := []string{"STOP SLAVE", "RESET SLAVE ALL"}
		if f.Flavor == gtid.MySQL {
			forget = []string{"STOP REPLICA", "RESET REPLICA ALL"}
		}
		f.Node("db1").Exec(t, forget...)
		cluster.Eventually(t, "it is seen that db1 follows nobody", func() bool { return strings.Contains(f.proxy.Log(), "follows nobody") })
		f.settled(t, "db2")
		for _, i := range f.incidents(t) {
			if i.Kind == "failover" {
				t.Errorf("a failover: %+v", i)
			}
		}
	})
}
