package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// dumps is how many read the leader's binlog now.
func dumps(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	return c.Leader().Text(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
}

// The leader is read once for all followers. One that was away goes on from the relay log, also
// when the leader has purged meanwhile what it lacks, and when the proxy was killed; it is not
// copied again.
func TestRelayLog(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o)
		waitServing(t, c, p)
		committed, end := writers(t, p)
		more(t, committed, 20)
		cluster.Eventually(t, "one reads the leader's binlog", func() bool { return dumps(t, c) == "1" })

		away := c.Followers()[1]
		cluster.Must(t, away.Kill())
		more(t, committed, 30)
		c.Exec(t, "FLUSH BINARY LOGS")
		cluster.Eventually(t, "the binlog is purged", func() bool { return purge(t, c.Leader()) })
		more(t, committed, 10)
		end()
		p.Kill()
		p.Restart()
		committed, end = writers(t, p)
		more(t, committed, 10)
		cluster.Must(t, away.Start())
		waitServing(t, c, p)
		more(t, committed, 20)
		cluster.Eventually(t, "one reads the leader's binlog again", func() bool { return dumps(t, c) == "1" })
		end()
		converge(t, c)
		if !strings.Contains(p.Log(), "the relay log goes on") {
			t.Error("the relay log did not go on after the proxy was killed")
		}
		if _, m := p.Get("/metrics"); strings.Contains(m, fmt.Sprintf("bellwether_replication_copies_total{node=%q}", away.Name())) {
			t.Errorf("%s was copied again", away.Name())
		}

		// What a leader that was started anew has may be less than what was read of it before.
		begun := strings.Count(p.Log(), "the relay log begins")
		cluster.Must(t, c.Leader().Stop(), c.Leader().Start())
		cluster.Eventually(t, "the relay log has begun anew", func() bool {
			return strings.Count(p.Log(), "the relay log begins") > begun && dumps(t, c) == "1"
		})
		waitServing(t, c, p)
		converge(t, c)
	})
}

// With acks: relay a commit waits for the relay log and for no follower. Followers that were behind
// when the leader died get from there all that was acknowledged, without it.
func TestAcksRelay(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: relay}")
		db := p.DB(sandbox.AppAccount, "shop")
		for _, f := range c.Followers() {
			cluster.Must(t, f.Pause())
		}
		write(t, db, 60, 50)()
		if on := semiSync(t, c, "status"); on != "ON" {
			t.Errorf("the leader's waiting is %s", on)
		}
		cluster.Must(t, c.Leader().Kill())
		for _, f := range c.Followers() {
			cluster.Must(t, f.Continue())
			cluster.Eventually(t, f.Name()+" has all that was acknowledged", func() bool { return count(t, f, 60) == "50" })
		}
		cluster.Must(t, c.Leader().Start())
		waitServing(t, c, p)
		inSync(t, p, "relay log")
		write(t, db, 61, 5)()
		converge(t, c)
	})
}

// With the relay log's disk full each follower reads from the leader by itself, and nothing else
// changes; with room again the leader is read once.
func TestRelayLogDiskFull(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
			t.Skipf("a file system of its own takes root: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		o.Followers = 2
		c, p := start(t, o, fmt.Sprintf("replication: {relay_log: {directory: %q}}", dir))
		waitServing(t, c, p)
		committed, end := writers(t, p)
		more(t, committed, 10)
		cluster.Eventually(t, "one reads the leader's binlog", func() bool { return dumps(t, c) == "1" })
		ballast := filepath.Join(dir, "ballast")
		fill, err := os.Create(ballast)
		cluster.Must(t, err)
		for err == nil {
			_, err = fill.Write(make([]byte, 4096))
		}
		cluster.Must(t, fill.Close())
		cluster.Eventually(t, "each follower reads by itself", func() bool { return dumps(t, c) == "2" })
		more(t, committed, 20)
		waitServing(t, c, p)
		if !strings.Contains(p.Log(), "the relay log cannot be used") {
			t.Error("nobody is told")
		}
		cluster.Must(t, os.Remove(ballast))
		cluster.Eventually(t, "one reads the leader's binlog again", func() bool { return dumps(t, c) == "1" })
		more(t, committed, 20)
		end()
		converge(t, c)
	})
}
