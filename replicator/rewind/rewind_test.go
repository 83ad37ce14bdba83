package rewind

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newFile begins another binlog file, and returns its path.
func newFile(t *testing.T, ctx context.Context, s *node.Server) string {
	t.Helper()
	nodetest.Exec(t, ctx, s, "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")
	files, err := node.Rows(ctx, s.DB, "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	base, err := s.Var(ctx, "log_bin_basename")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(filepath.Dir(base), files[len(files)-1]["Log_name"])
}

// sums are the checksums of all tables of two schemas.
func sums(t *testing.T, ctx context.Context, s *node.Server) map[string]string {
	t.Helper()
	names, err := node.Strings(ctx, s.DB, "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ('types', 'more') AND TABLE_TYPE = 'BASE TABLE'")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		rows, err := node.Rows(ctx, s.DB, "CHECKSUM TABLE "+n+" EXTENDED")
		if err != nil {
			t.Fatal(err)
		}
		out[n] = rows[0]["Checksum"]
	}
	return out
}

func position(t *testing.T, ctx context.Context, s *node.Server) Position {
	t.Helper()
	at, err := s.Applied(ctx, s.DB)
	if err != nil {
		t.Fatal(err)
	}
	past, err := s.Past(ctx, s.DB)
	if err != nil {
		t.Fatal(err)
	}
	return Position{at, past}
}

// account is the server as Bellwether's own account sees it, with the rights that the docs ask for.
func account(t *testing.T, ctx context.Context, n *sandbox.Node, root *node.Server) *node.Server {
	t.Helper()
	at := "'" + sandbox.ProxyAccount.User + "'@'%'"
	nodetest.Exec(t, ctx, root, append(sandbox.SwitchoverGrants(root.Flavor, at), sandbox.FailoverGrants(root.Flavor, at)...)...)
	nodetest.Exec(t, ctx, root, sandbox.ViewGrant("types", at), sandbox.ViewGrant("more", at))
	s, err := node.Open(ctx, n.Name(), mysqlconn.Config{Address: n.Addr(), User: sandbox.ProxyAccount.User, Password: sandbox.ProxyAccount.Password}, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func parse(t *testing.T, file string) (*Undo, error) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(b)
}

// run undoes over a connection of its own, on a server that is read-only, as whom it is done for
// does; it checks that the session is as it was.
func run(t *testing.T, ctx context.Context, s *node.Server, u *Undo, to Position) error {
	t.Helper()
	if err := s.SetReadOnly(ctx, true); err != nil {
		t.Fatal(err)
	}
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	wrong := u.Run(ctx, s, conn, to)
	if session, err := node.Strings(ctx, conn, "SELECT CONCAT(@@autocommit + 0, @@sql_log_bin + 0)"); err != nil || session[0] != "11" {
		t.Errorf("autocommit and sql_log_bin are %v, %v", session, err)
	}
	nodetest.Exec(t, ctx, s, "SET GLOBAL read_only = 0")
	return wrong
}

var tables = []string{
	"CREATE DATABASE more", "CREATE TABLE more.nokey (a INT, b VARCHAR(20))", "INSERT INTO more.nokey VALUES (1, 'x'), (1, 'x'), (2, NULL), (NULL, NULL)",
	"CREATE TABLE more.uniq (id INT PRIMARY KEY, u INT UNIQUE, v INT AS (u * 2) VIRTUAL, s INT AS (u * 3) STORED, KEY (v))", "INSERT INTO more.uniq (id, u) VALUES (1, 1), (2, 2), (3, 3)",
	"CREATE TABLE more.parent (id INT PRIMARY KEY)", "CREATE TABLE more.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES more.parent (id))",
	"INSERT INTO more.parent VALUES (1), (2)", "INSERT INTO more.child VALUES (1, 1), (2, 2)",
	"CREATE TABLE more.part (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3", "INSERT INTO more.part VALUES (1, 1), (2, 2), (3, 3)",
	"CREATE TRIGGER more.tr AFTER DELETE ON more.uniq FOR EACH ROW INSERT INTO more.nokey VALUES (OLD.id, 'trigger')",
	"CREATE TABLE more.myisam (id INT PRIMARY KEY) ENGINE=MyISAM",
	"CREATE TABLE more.top (id INT PRIMARY KEY)", "CREATE TABLE more.below (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES more.top (id) ON DELETE CASCADE)",
	"INSERT INTO more.top VALUES (1)", "INSERT INTO more.below VALUES (1, 1)",
}

// changesOf are transactions that change rows in all ways.
func changesOf(f gtid.Flavor) []string {
	out := slices.Clone(nodetest.TypesSession)
	for i := range nodetest.Types(f) {
		name := fmt.Sprintf("types.t%02d", i)
		out = append(out, "INSERT INTO "+name+" (v) SELECT v FROM "+name, "DELETE FROM "+name+" WHERE id = 1", "UPDATE "+name+" SET id = id + 100 ORDER BY id DESC",
			"BEGIN", "DELETE FROM "+name+" WHERE id > 102", "INSERT INTO "+name+" (id) VALUES (1)", "COMMIT")
	}
	return append(out, "DELETE FROM more.nokey WHERE a = 1 LIMIT 1", "UPDATE more.nokey SET b = 'y'", "INSERT INTO more.nokey VALUES (1, 'y')",
		"BEGIN", "UPDATE more.uniq SET u = u + 10", "SAVEPOINT s", "UPDATE more.uniq SET u = 99 WHERE id = 1", "ROLLBACK TO s", "DELETE FROM more.uniq WHERE id = 2",
		"UPDATE more.uniq SET u = 12 WHERE id = 1", "INSERT INTO more.uniq (id, u) VALUES (9, 11)", "COMMIT",
		"UPDATE more.child, more.part SET child.p = 1, part.v = part.v + 10 WHERE child.p = 2 AND part.id = 2", "DELETE FROM more.child WHERE id = 1", "UPDATE more.parent SET id = 20 WHERE id = 2",
		"SET SESSION foreign_key_checks = 0", "INSERT INTO more.child VALUES (7, 777)", "SET SESSION foreign_key_checks = 1",
		"UPDATE more.part SET id = id + 1 ORDER BY id DESC", "DELETE FROM more.part WHERE id = 2")
}

// TestUndo changes rows of all types in all ways, and takes all of that back.
func TestUndo(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, _ *sandbox.Node) {
		s := nodetest.Root(t, ctx, leader)
		nodetest.Exec(t, ctx, s, nodetest.TypeTables(s.Flavor)...)
		nodetest.Exec(t, ctx, s, tables...)
		us := account(t, ctx, leader, s)
		before, to := sums(t, ctx, s), position(t, ctx, s)
		file := newFile(t, ctx, s)
		nodetest.Exec(t, ctx, s, changesOf(s.Flavor)...)
		changed := sums(t, ctx, s)
		same := 0
		for name, sum := range changed {
			if before[name] == sum {
				same++
				t.Logf("%s was not changed", name)
			}
		}
		if same > 3 { // myisam, top, below
			t.Errorf("%d of %d tables were not changed", same, len(changed))
		}
		u, err := parse(t, file)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t, ctx, us, u, to); err != nil {
			t.Fatal(err)
		}
		if after := sums(t, ctx, s); !maps.Equal(after, before) {
			t.Errorf("after:  %v\nbefore: %v", after, before)
		}
		if at := position(t, ctx, s); !at.GTIDs.Equal(to.GTIDs) || at.Past != to.Past {
			t.Errorf("it stands at %v, want %v", at, to)
		}
		t.Logf("undone: %d transactions, %d events, %d tables", u.Transactions, u.Rows, len(u.tables))

		// A row that is not as it was left: nothing is changed, and a second time.
		again := sums(t, ctx, s)
		if err := run(t, ctx, us, u, to); !isInexact(err) {
			t.Errorf("undone twice: %v", err)
		}
		if after := sums(t, ctx, s); !maps.Equal(after, again) {
			t.Error("a refused one changed rows")
		}
		if marks, err := node.Strings(ctx, s.DB, "SHOW DATABASES LIKE 'bellwether_copy'"); err != nil || len(marks) > 0 {
			t.Errorf("marks: %v, %v", marks, err)
		}
	})
}

func isInexact(err error) bool {
	_, ok := errors.AsType[*Inexact](err)
	return ok
}

// TestInexact has what cannot be undone refused, with nothing changed.
func TestInexact(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, _ *sandbox.Node) {
		s := nodetest.Root(t, ctx, leader)
		nodetest.Exec(t, ctx, s, tables...)
		us := account(t, ctx, leader, s)
		cascades := "cascade"
		if s.AtLeast(9, 6) && !s.IsMariaDB() {
			cascades = "" // it writes them down
		}
		for _, c := range []struct{ name, why, work string }{
			{"definition", "statement", "CREATE TABLE more.new (id INT)"},
			{"statement", "statement", "SET SESSION binlog_format = STATEMENT; INSERT INTO more.uniq (id, u) VALUES (70, 70); SET SESSION binlog_format = ROW"},
			{"images", "binlog_row_image", "SET SESSION binlog_row_image = MINIMAL; UPDATE more.uniq SET u = 71 WHERE id = 1; SET SESSION binlog_row_image = FULL"},
			{"engine", "MyISAM|cannot roll back", "INSERT INTO more.myisam VALUES (5)"},
			{"XA", "XA|ends with|statement", "XA START 'x'; INSERT INTO more.uniq (id, u) VALUES (80, 80); XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'"},
			{"accounts", "mysql|statement", "CREATE USER rewind@localhost"},
			{"cascade", cascades, "DELETE FROM more.top WHERE id = 1"},
		} {
			t.Run(c.name, func(t *testing.T) {
				to, clean := position(t, ctx, s), sums(t, ctx, s)
				file := newFile(t, ctx, s)
				nodetest.Exec(t, ctx, s, strings.Split(c.work, "; ")...)
				before, at := sums(t, ctx, s), position(t, ctx, s)
				u, err := parse(t, file)
				if err == nil {
					err = run(t, ctx, us, u, to)
				}
				if c.why == "" {
					if after := sums(t, ctx, s); err != nil || !maps.Equal(after, clean) || maps.Equal(before, clean) {
						t.Errorf("undone: %v\nbefore: %v\nafter:  %v", err, clean, after)
					}
					return
				}
				if !isInexact(err) {
					t.Fatalf("got %v, want a refusal", err)
				}
				t.Log(err)
				if after, now := sums(t, ctx, s), position(t, ctx, s); !maps.Equal(after, before) || !now.GTIDs.Equal(at.GTIDs) {
					t.Errorf("something was changed: %v, %v", after, now)
				}
			})
		}
	})
}
