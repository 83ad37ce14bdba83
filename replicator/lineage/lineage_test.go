package lineage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/apply"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side asks a server what find must know of it.
func side(t *testing.T, ctx context.Context, n *sandbox.Node, s *node.Server) *server {
	t.Helper()
	out, err := ask(ctx, Side{s.DB, stream.Options{Leader: mysqlconn.Config{Address: n.Socket(), User: "root"}, Flavor: s.Flavor}, true})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// work is transactions of all kinds.
func work(f gtid.Flavor) []string {
	out := append(nodetest.TypeTables(f),
		"CREATE TABLE types.kinds (id INT PRIMARY KEY, a INT, b VARCHAR(20), UNIQUE KEY (a))",
		"INSERT INTO types.kinds VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z')",
		"BEGIN", "UPDATE types.kinds SET a = a + 10", "DELETE FROM types.kinds WHERE id = 2", "INSERT INTO types.kinds VALUES (4, 4, NULL)", "COMMIT",
		"BEGIN", "INSERT INTO types.kinds VALUES (5, 5, 'a')", "SAVEPOINT s", "INSERT INTO types.kinds VALUES (6, 6, 'b')", "ROLLBACK TO s", "INSERT INTO types.kinds VALUES (7, 7, 'c')",
		"RELEASE SAVEPOINT s", "COMMIT",
		"ALTER TABLE types.kinds ADD c INT DEFAULT 7", "UPDATE types.kinds SET b = 'w' WHERE id = 1",
		"CREATE TABLE types.chosen AS SELECT * FROM types.kinds",
		"INSERT INTO types.chosen SELECT id + n, n, b, c FROM types.kinds, (SELECT 10 n UNION SELECT 20) x",
		"FLUSH NO_WRITE_TO_BINLOG BINARY LOGS", "CREATE TABLE types.nokey (a INT)", "INSERT INTO types.nokey VALUES (1), (1), (2)", "DELETE FROM types.nokey WHERE a = 1 LIMIT 1",
		"SET TIMESTAMP = 1600000000", "INSERT INTO types.kinds (id, a) VALUES (50, 50)", "SET TIMESTAMP = DEFAULT",
		"BEGIN", "SET TIMESTAMP = 1600000000", "INSERT INTO types.kinds (id, a) VALUES (60, 60)", "SET TIMESTAMP = 1600000007",
		"INSERT INTO types.kinds (id, a) VALUES (61, 61)", "INSERT INTO types.nokey VALUES (5)", "UPDATE types.kinds SET a = 62 WHERE id = 60", "COMMIT", "SET TIMESTAMP = DEFAULT",
		"CREATE USER lineage@localhost", "GRANT SELECT ON types.* TO lineage@localhost",
		"CREATE VIEW types.v AS SELECT 1", "CREATE TRIGGER types.tr AFTER DELETE ON types.kinds FOR EACH ROW INSERT INTO types.nokey VALUES (OLD.id)",
		"DELETE FROM types.kinds WHERE id = 50", "TRUNCATE types.nokey", "DROP TABLE types.chosen")
	if f == gtid.MariaDB {
		return append(out, "CREATE SEQUENCE types.seq", "SET server_id = 77", "INSERT INTO types.nokey VALUES (8)", "SET server_id = 1", "INSERT INTO types.nokey VALUES (8)", "INSERT INTO types.kinds (id) VALUES (NEXTVAL(types.seq) + 1000)",
			"SET gtid_domain_id = 7", "INSERT INTO types.nokey VALUES (9)", "SET gtid_domain_id = 0")
	}
	return append(out, "SET SESSION binlog_transaction_compression = ON", "INSERT INTO types.nokey VALUES (9), (10)")
}

// engine applies the leader's stream until the test ends. The context ends with the applier.
func engine(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) context.Context {
	t.Helper()
	ctx, stop := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	a := apply.New(apply.Options{Follower: mysqlconn.Config{Address: follower.Socket(), User: "root"}, Flavor: follower.Server().Flavor, Logger: slog.New(slog.DiscardHandler)})
	go func() {
		var dump *stream.Dump
		err := a.Run(ctx, func(ctx context.Context, pos gtid.Set) (apply.Source, error) {
			var err error
			o := stream.Options{Leader: mysqlconn.Config{Address: leader.Socket(), User: "root"}, Flavor: follower.Server().Flavor, ServerID: follower.ServerID()}
			if dump, err = stream.Open(ctx, o, pos); err != nil {
				return nil, err
			}
			return stream.NewSource(dump, 0), nil
		})
		if dump != nil {
			dump.Close()
		}
		if ctx.Err() == nil {
			t.Errorf("the applier ended: %v", err)
		}
		stop(err)
		close(ended)
	}()
	t.Cleanup(func() {
		stop(nil)
		<-ended
	})
	return ctx
}

// What replicated, by whichever means, is the same on both sides: each transaction of all
// kinds, with row images that differ.
func TestSame(t *testing.T) {
	for _, how := range []string{"native", "engine"} {
		t.Run(how, func(t *testing.T) {
			nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
				l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
				nodetest.Exec(t, ctx, f, "SET GLOBAL binlog_row_image = 'MINIMAL'")
				nodetest.Exec(t, ctx, l, work(l.Flavor)...)
				if how == "native" {
					nodetest.Follow(t, ctx, leader, l, f)
				} else {
					nodetest.CatchUp(t, engine(t, ctx, leader, follower), l, f)
				}
				a, b := side(t, ctx, follower, f), side(t, ctx, leader, l)
				lines := common(a, b)
				forks, err := find(ctx, a, b)
				if err != nil || len(forks) > 0 || len(starts(a, b, lines)) == 0 {
					t.Fatalf("%v, %v, places %v", forks, err, starts(a, b, lines))
				}
				compared := 0
				for _, line := range lines {
					for n := uint64(1); n <= line.last; n++ {
						x, err := read(ctx, a, place{line, n})
						if err != nil {
							t.Fatal(err)
						}
						y, err := read(ctx, b, place{line, n})
						if err != nil {
							t.Fatal(err)
						}
						if x.txn == nil || y.txn == nil {
							if x.passed != y.passed {
								t.Errorf("%s: %+v on the follower, %+v on the leader", line.name(n), x, y)
							}
							continue
						}
						compared++
						if why := differ(x.txn, y.txn); why != "" {
							t.Errorf("%s: %s", line.name(n), why)
						}
					}
				}
				if compared < 80 {
					t.Errorf("only %d transactions were compared, of %v", compared, lines)
				}
				t.Logf("%d transactions compared", compared)
			})
		})
	}
}

// copyDir makes a server's data what they were, or keeps what they are.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A leader whose data went back in time numbers other transactions as it had numbered those
// that its follower still has.
func TestFork(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.Exec(t, ctx, l, "CREATE DATABASE bank", "CREATE TABLE bank.accounts (id INT PRIMARY KEY, owner VARCHAR(20))",
			"INSERT INTO bank.accounts VALUES (1, 'both')", "INSERT INTO bank.accounts VALUES (2, 'both')")
		image := filepath.Join(t.TempDir(), "data")
		if err := leader.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		copyDir(t, filepath.Join(leader.Dir(), "data"), image)
		if err := leader.Start(ctx); err != nil {
			t.Fatal(err)
		}
		l = nodetest.Root(t, ctx, leader)
		before := side(t, ctx, leader, l)
		const lost = 23
		for i := range lost {
			nodetest.Exec(t, ctx, l, fmt.Sprintf("INSERT INTO bank.accounts VALUES (%d, 'lost')", 10+i))
		}
		nodetest.Follow(t, ctx, leader, l, f)
		if err := f.StopReplica(ctx); err != nil {
			t.Fatal(err)
		}
		if err := leader.Kill(); err != nil {
			t.Fatal(err)
		}
		copyDir(t, image, filepath.Join(leader.Dir(), "data"))
		if err := leader.Start(ctx); err != nil {
			t.Fatal(err)
		}
		l = nodetest.Root(t, ctx, leader)
		if forks, err := find(ctx, side(t, ctx, follower, f), side(t, ctx, leader, l)); err != nil || len(forks) > 0 {
			t.Fatalf("while it only lacks what the follower has: %v, %v", forks, err)
		}
		for i := range lost + 5 {
			nodetest.Exec(t, ctx, l, fmt.Sprintf("INSERT INTO bank.accounts VALUES (%d, 'anew')", 10+i))
		}
		a, b := side(t, ctx, follower, f), side(t, ctx, leader, l)
		if len(b.starts) < 2 {
			t.Errorf("the leader's binlog files begin behind %v", b.starts)
		}
		if !a.mariadb() && !b.executed.Contains(a.executed) {
			t.Fatalf("the numbers tell: %s and %s", a.executed, b.executed)
		}
		forks, err := find(ctx, a, b)
		if err != nil {
			t.Fatal(err)
		}
		if len(forks) != 1 {
			t.Fatalf("forks: %v", forks)
		}
		t.Log(forks[0])
		whole := forks[0]
		a.starts, b.starts = nil, nil // as where they are too long ago: it is looked for from the last
		if forks, err := find(ctx, a, b); err != nil || len(forks) != 1 || forks[0].First != whole.First || forks[0].Last != whole.Last {
			t.Errorf("without the starts of files: %v, %v; want %v", forks, err, whole)
		}
		was := common(before, before)
		if got := forks[0]; got.First != was[0].last+1 || got.Last != was[0].last+lost {
			t.Errorf("the fork is from %d to %d; %d were there before, and %d were lost", got.First, got.Last, was[0].last, lost)
		}
	})
}
