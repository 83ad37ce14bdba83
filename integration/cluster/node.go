package cluster

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Peers is a set of those whom a node talks to.
type Peers uint8

// Peers of a node.
const (
	Nodes Peers = 1 << iota // the other nodes
	Proxy                   // Bellwether, and the test where it comes over the network
	All   = Nodes | Proxy
)

// server is one database server, however it runs.
type server interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Kill() error
	Pause() error
	Continue() error
	Addr() string // where it listens, reachable from this host
	DB() *sql.DB  // as root, by a way that no fault touches
	Log() string
	Close() error
}

var _ server = (*sandbox.Node)(nil)

// Node is one server of a cluster. Its methods fail no test: those that change
// something return an error, and Must makes a failed test of it.
type Node struct {
	name    string
	index   int
	cluster *Cluster
	server  server
}

// Name is db1 for the leader of the start, then db2, db3 ...
func (n *Node) Name() string { return n.name }

// ServerID is the server's server_id.
func (n *Node) ServerID() uint32 { return uint32(n.index + 1) }

// DB is a small pool of connections as root, by a way that no fault touches
// (the unix socket).
func (n *Node) DB() *sql.DB { return n.server.DB() }

// DirectAddr is where the server itself listens, without a relay.
func (n *Node) DirectAddr() string { return n.server.Addr() }

// ProxyAddr is where Bellwether finds the node.
func (n *Node) ProxyAddr() string {
	addr, err := n.cluster.net.address(nil, n)
	if err != nil {
		panic(fmt.Sprintf("cluster: address of %s: %v", n.name, err)) // made at the start, so it is there
	}
	return addr
}

// Log is the end of the server's error log.
func (n *Node) Log() string { return n.server.Log() }

func (n *Node) start(ctx context.Context) error {
	if err := n.server.Start(ctx); err != nil {
		return err
	}
	return n.cluster.net.up(n)
}

// Start starts a stopped or killed node; replication goes on by itself.
func (n *Node) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return n.start(ctx)
}

// Stop shuts the server down in order.
func (n *Node) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := n.server.Stop(ctx)
	n.cluster.net.down(n)
	return err
}

// Kill ends the server with SIGKILL.
func (n *Node) Kill() error {
	err := n.server.Kill()
	n.cluster.net.down(n)
	return err
}

// Pause freezes the server: what is sent to it is accepted by the kernel, and not answered.
func (n *Node) Pause() error { return n.server.Pause() }

// Continue ends a Pause.
func (n *Node) Continue() error { return n.server.Continue() }

// Cut cuts the node off from peers, one way or both. Nothing tells either side:
// what they send is lost, or held until Heal.
func (n *Node) Cut(p Peers, d Direction) error { return n.cluster.net.cut(n, p, d) }

// Slow slows what the node and the peers say to each other.
func (n *Node) Slow(p Peers, s Shape) error { return n.cluster.net.slow(n, p, s) }

// Reset breaks the connections between the node and the peers, once.
func (n *Node) Reset(p Peers) error { return n.cluster.net.reset(n, p) }

// Heal ends all cuts and slowness of the node.
func (n *Node) Heal() error { return n.cluster.net.heal(n) }

// Exec runs statements as root, and fails the test at the first that is refused.
func (n *Node) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := n.DB().Exec(s); err != nil {
			t.Fatalf("%s: %s: %v", n.name, s, err)
		}
	}
}

// Text is the first column of the first row of a query as root.
func (n *Node) Text(t testing.TB, query string) string {
	t.Helper()
	var v sql.NullString
	if err := n.DB().QueryRow(query).Scan(&v); err != nil {
		t.Fatalf("%s: %s: %v", n.name, query, err)
	}
	return v.String
}

// StopApplying stops a follower's applier: it lags from now on, while its
// connection to the leader stands. StartReplication ends it.
func (n *Node) StopApplying(t testing.TB) {
	t.Helper()
	Must(t, sandbox.StopApplying(context.Background(), n.DB(), n.cluster.Flavor))
}

// StopReplication stops both of a follower's threads.
func (n *Node) StopReplication(t testing.TB) {
	t.Helper()
	Must(t, sandbox.StopReplication(context.Background(), n.DB(), n.cluster.Flavor))
}

// StartReplication starts both of a follower's threads.
func (n *Node) StartReplication(t testing.TB) {
	t.Helper()
	Must(t, sandbox.StartReplication(context.Background(), n.DB(), n.cluster.Flavor))
}

// Follow makes the node a read-only follower of another one, by GTID.
func (n *Node) Follow(t testing.TB, source *Node) {
	t.Helper()
	Must(t, n.cluster.follow(context.Background(), n, source))
}

// Must fails the test at the first error.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Eventually calls ok until it is true, and fails the test after a minute.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// ExecUnlogged runs statements as root past the binlog, on a read-only follower too:
// what they change is on this node alone.
func (n *Node) ExecUnlogged(ctx context.Context, statements ...string) error {
	conn, err := n.DB().Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", n.name, err)
	}
	defer conn.Close()
	all := append(append([]string{"SET SESSION sql_log_bin = 0"}, statements...), "SET SESSION sql_log_bin = 1")
	if n.cluster.Flavor == gtid.MySQL {
		all = append(append([]string{"SET GLOBAL super_read_only = 0"}, all...), "SET GLOBAL super_read_only = 1")
	}
	for _, s := range all {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s on %s: %w", s, n.name, err)
		}
	}
	return nil
}
