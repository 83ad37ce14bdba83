package history

import (
	"context"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// fault is something that happens to a follower, until end is called.
type fault struct {
	name  string
	begin func(t *testing.T, f *fixture, n *cluster.Node) (end func())
}

var faults = []fault{
	{"slow", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Slow(cluster.Nodes, cluster.Shape{Delay: 300 * time.Millisecond}))
		return func() { cluster.Must(t, n.Heal()) }
	}},
	{"frozen applier", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		conn, err := n.DB().Conn(context.Background())
		cluster.Must(t, err)
		_, err = conn.ExecContext(context.Background(), "FLUSH TABLES WITH READ LOCK")
		cluster.Must(t, err)
		return func() {
			_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
			cluster.Must(t, err, conn.Close())
		}
	}},
	{"applier stopped", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		n.StopApplying(t)
		return func() { n.StartReplication(t) }
	}},
	{"killed", func(t *testing.T, f *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Kill())
		return func() { cluster.Must(t, f.startFollower(n)) }
	}},
	{"a second late", func(t *testing.T, f *fixture, n *cluster.Node) func() {
		cluster.Must(t, f.delay(n, 1))
		return func() { cluster.Must(t, f.delay(n, 0)) }
	}},
	{"reset", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Reset(cluster.Proxy))
		return func() { cluster.Must(t, n.Reset(cluster.All)) }
	}},
	{"cut off from the leader", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Cut(cluster.Nodes, cluster.Both))
		return func() { cluster.Must(t, n.Heal()) }
	}},
	{"paused", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Pause())
		return func() { cluster.Must(t, n.Continue()) }
	}},
	{"stopped and started", func(t *testing.T, f *fixture, n *cluster.Node) func() {
		cluster.Must(t, n.Stop())
		return func() { cluster.Must(t, f.startFollower(n)) }
	}},
	{"replication stopped", func(t *testing.T, _ *fixture, n *cluster.Node) func() {
		n.StopReplication(t)
		return func() { n.StartReplication(t) }
	}},
}

// startFollower starts a follower, which does not remember that it is read-only.
func (f *fixture) startFollower(n *cluster.Node) error {
	if err := n.Start(); err != nil {
		return err
	}
	statement := "SET GLOBAL read_only = 1"
	if f.Flavor == gtid.MySQL {
		statement = "SET GLOBAL super_read_only = 1"
	}
	_, err := n.DB().ExecContext(context.Background(), statement)
	return err
}
