package failover

import (
	"net/http"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
)

// TestSwitchoverKeepsTheRecord: with automatic failover a planned change is written
// down as the machine would, nobody is fenced or repointed for it, and clients see no error.
func TestSwitchoverKeepsTheRecord(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		turns, stop := f.load(t, 4)
		progress(t, turns, 20)
		for _, to := range []string{"db2", "db1"} {
			code, v := f.switchover(t, admin.SwitchoverRequest{To: to})
			if code != http.StatusOK || !v.Done || len(v.Warnings) > 0 {
				t.Fatalf("switchover to %s: %d %+v", to, code, v)
			}
			f.reigns(t, to, 1)
			f.settled(t, to) // or the next change warns of a follower that was only just repointed
			progress(t, turns, 20)
		}
		f.wantLedgers(t, "db1", stop())
		for _, i := range f.incidents(t) {
			if i.Kind != "adopt" {
				t.Errorf("an incident: %+v", i)
			}
		}
	})
}
