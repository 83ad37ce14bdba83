package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// startTimeout bounds the start of a whole cluster, images to load included.
const startTimeout = 3 * time.Minute

// Cluster is a leader and its followers. The roles are those of the start.
type Cluster struct {
	Options Options
	Flavor  gtid.Flavor
	Certs   *sandbox.Certs // nil without Options.TLS

	dir   string
	nodes []*Node
	net   network
}

// network is how the nodes and the proxy reach each other. A nil node is the proxy.
type network interface {
	// address is where from finds to.
	address(from, to *Node) (string, error)
	cut(n *Node, peers Peers, d Direction) error
	slow(n *Node, peers Peers, s Shape) error
	reset(n *Node, peers Peers) error
	heal(n *Node) error
	// up and down are told when a node starts and after it ended.
	up(n *Node) error
	down(n *Node)
	close() error
}

// Start starts a cluster and ends it with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	if o.Provider == Docker {
		needDocker(t)
	}
	c := &Cluster{Options: o, Flavor: o.flavor(), dir: runDir(t)}
	t.Cleanup(func() { c.end(t) })
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.start(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Cluster) start(ctx context.Context) error {
	if c.Options.TLS {
		certs, err := sandbox.NewCerts(filepath.Join(c.dir, "certs"), "localhost", "127.0.0.1", "db1", "db2", "db3", "db4", "db5")
		if err != nil {
			return err
		}
		c.Certs = certs
	}
	var err error
	if c.Options.Provider == Docker {
		err = c.provideContainers(ctx)
	} else {
		err = c.provideProcesses(ctx)
	}
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		g.Go(func() error { return n.start(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := sandbox.CreateAccounts(ctx, c.Leader().DB(), c.Flavor); err != nil {
		return fmt.Errorf("make the accounts: %w", err)
	}
	if c.Options.Engine {
		return c.admitEngine(ctx)
	}
	for _, n := range c.Followers() {
		if c.Options.Provider == Docker {
			if err := clearBinlog(ctx, n.DB(), c.Flavor); err != nil {
				return fmt.Errorf("clear the binlog of %s: %w", n.Name(), err)
			}
		}
		if err := c.follow(ctx, n, c.Leader()); err != nil {
			return err
		}
	}
	return c.waitReplicated(ctx)
}

// admitEngine makes the account of Bellwether's own replication on each node, as
// an operator would.
func (c *Cluster) admitEngine(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := sandbox.CreateEngineAccount(ctx, n.DB()); err != nil {
			return fmt.Errorf("node %s: %w", n.Name(), err)
		}
	}
	return nil
}

func (c *Cluster) follow(ctx context.Context, n, source *Node) error {
	addr, err := c.net.address(n, source)
	if err != nil {
		return err
	}
	if err := sandbox.Replicate(ctx, n.DB(), c.Flavor, addr); err != nil {
		return fmt.Errorf("let %s follow %s: %w", n.Name(), source.Name(), err)
	}
	return nil
}

// end ends everything and, after a failure, shows what the servers logged.
func (c *Cluster) end(t testing.TB) {
	for _, n := range c.nodes {
		if t.Failed() {
			t.Logf("the log of %s ends:\n%s", n.Name(), n.server.Log())
		}
	}
	for _, n := range c.nodes {
		if err := n.server.Close(); err != nil {
			t.Errorf("end %s: %v", n.Name(), err)
		}
	}
	if c.net != nil {
		if err := c.net.close(); err != nil {
			t.Errorf("end the network: %v", err)
		}
	}
}

// Nodes are all nodes, the leader of the start first.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Leader is the node that was made leader at the start.
func (c *Cluster) Leader() *Node { return c.nodes[0] }

// Followers are the nodes that were made followers at the start.
func (c *Cluster) Followers() []*Node { return c.nodes[1:] }

// Node returns the node of that name (db1 is the leader), and panics when there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	panic("cluster: no node " + name)
}

// WaitReplicated waits until all followers have applied what the leader has
// committed by now, and fails the test when they do not within a minute.
func (c *Cluster) WaitReplicated(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.waitReplicated(ctx); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) waitReplicated(ctx context.Context) error {
	pos, err := sandbox.Position(ctx, c.Leader().DB(), c.Flavor)
	if err != nil {
		return err
	}
	for _, n := range c.Followers() {
		if err := sandbox.WaitPosition(ctx, n.DB(), c.Flavor, pos); err != nil {
			return fmt.Errorf("node %s: %w", n.Name(), err)
		}
	}
	return nil
}

// Exec runs statements on the leader as root, and fails the test at the first
// that is refused.
func (c *Cluster) Exec(t testing.TB, statements ...string) {
	t.Helper()
	c.Leader().Exec(t, statements...)
}

// Config is a configuration of Bellwether for this cluster, in YAML, with free
// ports for clients and for the admin side.
func (c *Cluster) Config() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "listen:\n  address: 127.0.0.1:0\ncluster:\n  flavor: %s\n  user: %s\n  password: %s\n  nodes:\n",
		c.Flavor, sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password)
	for _, n := range c.nodes {
		addr, err := c.net.address(nil, n)
		if err != nil {
			return "", err
		}
		role := "auto"
		if c.Options.Engine && n == c.Leader() {
			role = "leader"
		}
		fmt.Fprintf(&b, "    - {name: %s, address: %q, role: %s}\n", n.name, addr, role)
	}
	if c.Certs != nil {
		fmt.Fprintf(&b, "  tls: {mode: verify-ca, ca: %q}\n", c.Certs.CA)
	}
	if c.Options.Engine {
		fmt.Fprintf(&b, "replication: {mode: engine, user: %s, password: %s}\n", sandbox.EngineAccount.User, sandbox.EngineAccount.Password)
	}
	b.WriteString("admin:\n  address: 127.0.0.1:0\n")
	return b.String(), nil
}

// runPrefix begins the names of the folders of a test process.
const runPrefix = "bw-test-"

// runDir is a folder for one cluster or proxy, with a path short enough for
// unix sockets in it. It is removed with the test, or, when the test process
// dies, by the next one.
func runDir(t testing.TB) string {
	t.Helper()
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", runPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("BELLWETHER_KEEP") != "" {
			t.Logf("kept: %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the run's folder: %v", err)
		}
	})
	return dir
}

// sweep removes once per process what dead runs left.
var sweep = sync.OnceFunc(removeStale)

// removeStale removes the folders, containers and networks of dead test processes.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), runPrefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), runPrefix), "-")
		if !processLives(pid) {
			_ = os.RemoveAll(dir)
		}
	}
	if dockerWanted() {
		removeStaleContainers()
	}
}

// processLives reports whether a process of that id is there. An id that was
// given to another process keeps what is left for one more run.
func processLives(pid string) bool {
	_, err := os.Stat(filepath.Join("/proc", pid))
	return err == nil
}
