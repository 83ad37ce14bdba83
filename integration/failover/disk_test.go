package failover

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
)

// diskSize is what the leader's file system has, in bytes; the servers start with less
// than a third of it.
const diskSize = 400 << 20

// smallDisk gives a node's folder a file system of its own that can be filled, and returns
// what fills it and frees it again.
func smallDisk(t *testing.T, dir string) (fill, free func()) {
	t.Helper()
	cluster.Must(t, os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("a file system of its own takes root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "filler")
	fill = func() {
		f, err := os.Create(path)
		cluster.Must(t, err)
		defer func() { _ = f.Close() }()
		chunk := make([]byte, 64<<10)
		for size := 0; size < diskSize; size += len(chunk) {
			if _, err := f.Write(chunk); err != nil {
				return // it is full
			}
		}
		t.Error("the disk does not fill")
	}
	return fill, func() { _ = os.Remove(path) }
}

// TestScenario33DiskFull: writes on a leader without space hang or fail; that is reported as
// what it is, nobody takes over for it by default, and a person can have another leader
// without waiting for the one that hangs.
func TestScenario33DiskFull(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		if os.Geteuid() != 0 {
			t.Skip("a file system of its own takes root")
		}
		var fill, free func()
		o.NodeDir = func(name, dir string) {
			if name == "db1" {
				fill, free = smallDisk(t, dir)
			}
		}
		f := startEngine(t, o, "pool: {wait: 2s}")
		c := f.crowd(t, 2, 2)
		c.progress(t, 20)
		fill()
		defer free()
		cluster.Eventually(t, "the leader's trouble is reported", func() bool {
			return f.problem(t, "leader-disk-full") || f.problem(t, "leader-hung")
		})
		if v := f.failoverState(t); v.Leader != "db1" {
			t.Errorf("%s leads: nobody asked for that", v.Leader)
		}
		code, a := f.askFailover(t, admin.FailoverRequest{})
		if code != 200 || a.Leader == "db1" {
			t.Fatalf("failover: status %d, %+v", code, a)
		}
		next := f.newLeader(t, "db1")
		c.progress(t, 20)
		free()
		cluster.Must(t, f.Node("db1").Kill(), f.Node("db1").Start())
		f.returns(t, next.Name(), "db1")
		c.check(t, next)
	})
}
