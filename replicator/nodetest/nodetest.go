package nodetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// EachFlavor runs f with two servers that know nothing of each other.
func EachFlavor(t *testing.T, f func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node)) {
	if testing.Short() {
		t.Skip("needs database servers")
	}
	want := "mariadb-10.11"
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		want = v
	}
	for flavor := range strings.SplitSeq(want, ",") {
		t.Run(flavor, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			server, err := sandbox.Find(ctx, flavor)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("", "bwcopy-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			var nodes [2]*sandbox.Node
			for i := range nodes {
				o := sandbox.NodeOptions{Server: server, Name: fmt.Sprintf("n%d", i), Dir: fmt.Sprintf("%s/n%d", dir, i), ServerID: uint32(i + 1), PerformanceSchema: true}
				if nodes[i], err = sandbox.NewNode(o); err != nil {
					t.Fatal(err)
				}
				if err := nodes[i].Start(ctx); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = nodes[i].Close() })
			}
			if err := sandbox.CreateAccounts(ctx, nodes[0].DB(), server.Flavor); err != nil {
				t.Fatal(err)
			}
			f(t, ctx, nodes[0], nodes[1])
		})
	}
}

// Root is a server with a pool as root, closed with the test.
func Root(t *testing.T, ctx context.Context, n *sandbox.Node) *node.Server {
	t.Helper()
	db := sandbox.OpenRoot("unix", n.Socket(), "")
	db.SetMaxOpenConns(16)
	t.Cleanup(func() { _ = db.Close() })
	s, err := node.Of(ctx, n.Name(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Exec runs statements in one session.
func Exec(t *testing.T, ctx context.Context, s *node.Server, statements ...string) {
	t.Helper()
	c, err := s.DB.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := node.Exec(ctx, c, statements...); err != nil {
		t.Fatal(err)
	}
}

// Follow lets the copy replicate by itself, and waits until it is where the leader is.
func Follow(t *testing.T, ctx context.Context, leader *sandbox.Node, l, f *node.Server) {
	t.Helper()
	err := f.StartReplica(ctx, node.Source{Address: leader.Addr(), User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password})
	if err != nil {
		t.Fatal(err)
	}
	pos, err := l.Written(ctx, l.DB)
	if err != nil {
		t.Fatal(err)
	}
	wctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := f.WaitApplied(wctx, pos); err != nil {
		why, _ := f.ReplicaError(ctx)
		t.Fatal(err, why)
	}
}

// CatchUp waits until f has applied what l has written by now.
func CatchUp(t *testing.T, ctx context.Context, l, f *node.Server) {
	t.Helper()
	pos, err := l.Written(ctx, l.DB)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.WaitApplied(ctx, pos); err != nil {
		t.Fatal(err)
	}
}

// LoadRows is how many rows the tables of MakeLoadTables begin with.
const LoadRows = 4000

// MakeLoadTables makes two tables whose rows move: one by its integer key, one
// by a key of two columns of which one is text, and with a second unique key.
func MakeLoadTables(t *testing.T, ctx context.Context, l *node.Server) {
	t.Helper()
	Exec(t, ctx, l, "CREATE DATABASE moving", "USE moving",
		"CREATE TABLE digits (n INT PRIMARY KEY)", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"CREATE TABLE byint (id BIGINT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(200))",
		"CREATE TABLE bytext (a VARCHAR(20) COLLATE utf8mb4_general_ci, b INT, u INT UNIQUE, pad VARCHAR(200), PRIMARY KEY (a, b)) CHARACTER SET utf8mb4",
		fmt.Sprintf("INSERT INTO byint SELECT n, 0, REPEAT('x', 150) FROM (SELECT a.n+10*b.n+100*c.n+1000*d.n n FROM digits a, digits b, digits c, digits d) x WHERE n<%d", LoadRows),
		"INSERT INTO bytext SELECT CONCAT('k', id%7), id, id, pad FROM byint", "ANALYZE TABLE byint, bytext")
}

// writeLoad writes until ctx is over: inserts, deletes, and updates that move
// rows over the whole range of the keys. It returns how many were committed.
func writeLoad(ctx context.Context, l *node.Server, seed uint64, committed *atomic.Int64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		a, b := rng.IntN(2*LoadRows), rng.IntN(2*LoadRows)
		statements := []string{
			fmt.Sprintf("UPDATE moving.byint SET id=%d, v=v+1 WHERE id=%d", a, b),
			fmt.Sprintf("UPDATE moving.bytext SET a=CONCAT('k', %d), b=%d WHERE u=%d", a%9, a, b),
			fmt.Sprintf("UPDATE moving.bytext SET u=%d WHERE b=%d", a, b),
			fmt.Sprintf("INSERT INTO moving.byint VALUES (%d, 0, 'new')", a),
			fmt.Sprintf("DELETE FROM moving.byint WHERE id=%d", b),
		}
		// What collides with another row or writer fails, and another one comes.
		if _, err := l.DB.ExecContext(ctx, statements[rng.IntN(len(statements))]); err == nil {
			committed.Add(1)
		}
	}
}

// UnderLoad runs f while writers write; they have ended when it returns.
func UnderLoad(t *testing.T, ctx context.Context, l *node.Server, f func(committed *atomic.Int64)) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	wctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var committed atomic.Int64
	for i := range uint64(3) {
		wg.Go(func() { writeLoad(wctx, l, seed+i, &committed) })
	}
	WaitFor(t, ctx, "writers", func() bool { return committed.Load() > 50 })
	f(&committed)
}

// WaitFor waits until f says so.
func WaitFor(t *testing.T, ctx context.Context, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("wait for %s: %v", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
