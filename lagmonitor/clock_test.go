package lagmonitor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// TestScenario24Clocks: neither a follower whose clock is five minutes off, nor one whose
// clock jumps, nor a leader whose clock does, has another lag for that: it is measured by
// positions on the proxy's clock.
func TestScenario24Clocks(t *testing.T) {
	if testing.Short() {
		t.Skip("needs database servers")
	}
	libs, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(libs) == 0 {
		t.Fatal("needs Debian's faketime (scripts/setup.sh)")
	}
	var clocks [2]string // files that say how far off the leader's and the follower's clocks are
	set := func(i int, offset string) {
		// Renamed over: the server may read it at any time.
		tmp := clocks[i] + ".new"
		if err := os.WriteFile(tmp, []byte(offset+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, clocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	eachCluster(t, 1, func(i int, o *sandbox.NodeOptions) {
		clocks[i] = filepath.Join(dir, o.Name)
		set(i, map[int]string{0: "+0s", 1: "+300s"}[i])
		o.Env = []string{"LD_PRELOAD=" + libs[0], "FAKETIME_TIMESTAMP_FILE=" + clocks[i], "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	}, func(r *rig) {
		if r.flavor != gtid.MariaDB {
			r.Skip("mysqld runs by its own loader, which knows no preloaded library")
		}
		r.cfg.MaxLag = 10 * time.Second
		r.start()
		off := func() string {
			var text string
			if err := r.Followers[0].DB().QueryRowContext(r.ctx, "SELECT ROUND(UNIX_TIMESTAMP(NOW(6)) / 60)").Scan(&text); err != nil {
				r.Fatal(err)
			}
			return text
		}
		well := func(s *topology.Snapshot) bool {
			n := s.Node("db2")
			return n != nil && n.Eligible && n.Lag.Known && n.Lag.Behind < 10*time.Second
		}
		r.until("the follower serves, its clock five minutes ahead", well)
		for _, step := range []struct {
			node   int
			offset string
		}{{1, "-300s"}, {0, "+300s"}, {0, "-300s"}, {1, "+0s"}, {0, "+0s"}} {
			before := off()
			set(step.node, step.offset)
			if step.node == 1 {
				for off() == before { // it jumps by minutes
					time.Sleep(20 * time.Millisecond)
				}
			}
			r.always(60, "its lag is what it was", well)
		}
	})
}
