package oracle

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/router"
)

// server is a node with two sessions on it: one that may write, and one that is
// read-only, as Bellwether's sessions on followers are.
type server struct {
	flavor gtid.Flavor
	db     *sql.DB
	rw, ro *sql.Conn
}

func eachServer(t *testing.T, f func(t *testing.T, s *server)) {
	flavors := "mariadb-10.11"
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		flavors = v
	}
	for flavor := range strings.SplitSeq(flavors, ",") {
		t.Run(flavor, func(t *testing.T) {
			found, err := sandbox.Find(t.Context(), flavor)
			if err != nil {
				t.Fatal(err)
			}
			f(t, start(t, found))
		})
	}
}

func start(t *testing.T, found *sandbox.Server) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "bw-oracle-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n, err := sandbox.NewNode(sandbox.NodeOptions{Server: found, Name: "oracle", Dir: dir, ServerID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s := &server{flavor: found.Flavor, db: n.DB()}
	s.rw, s.ro = s.session(t, false), s.session(t, true)
	return s
}

// session opens a session whose statements cannot run long.
func (s *server) session(t *testing.T, readOnly bool) *sql.Conn {
	t.Helper()
	c, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	limit := "SET SESSION max_statement_time = 2"
	if s.flavor == gtid.MySQL {
		limit = "SET SESSION max_execution_time = 2000"
	}
	s.must(t, c, limit)
	s.must(t, c, "SET SESSION lock_wait_timeout = 2")
	s.must(t, c, "SET SESSION innodb_lock_wait_timeout = 2")
	if readOnly {
		s.must(t, c, "SET SESSION TRANSACTION READ ONLY")
	}
	return c
}

func (s *server) must(t *testing.T, c *sql.Conn, q string) {
	t.Helper()
	if _, err := c.ExecContext(t.Context(), q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// run runs a statement to the end of its results.
func run(ctx context.Context, c *sql.Conn, q string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	rows, err := c.QueryContext(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for {
		for rows.Next() {
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

// code returns the server's error number, or 0.
func code(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// refused says whether a server refused to write on a read-only session.
func refused(err error) bool {
	switch code(err) {
	case 1290, 1792, 1836:
		return true
	}
	return false
}

// logged returns how far the binary log has come.
func (s *server) logged(t *testing.T) string {
	t.Helper()
	q := "SELECT @@gtid_binlog_pos"
	if s.flavor == gtid.MySQL {
		q = "SELECT @@gtid_executed"
	}
	var at string
	if err := s.rw.QueryRowContext(t.Context(), q).Scan(&at); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return at
}

// checkRead runs what was called a read on the read-only session, and fails
// where it is refused. It says whether the server could run it at all.
func (s *server) checkRead(t *testing.T, q string) bool {
	t.Helper()
	err := run(t.Context(), s.ro, q)
	if refused(err) {
		t.Errorf("is called a read, and is refused on a read-only session (%v): %q", err, q)
	}
	return err == nil
}

// checkUnlogged runs what was called a read on the ordinary session, and fails
// where anything was logged.
func (s *server) checkUnlogged(t *testing.T, q string) {
	t.Helper()
	before := s.logged(t)
	_ = run(t.Context(), s.rw, q)
	if after := s.logged(t); after != before {
		t.Errorf("is called a read, and was logged as a write: %q", q)
	}
}

// catalog reads the server's routines and views, as the proxy's poller does.
func (s *server) catalog(t *testing.T) *router.Catalog {
	t.Helper()
	var routines []router.Routine
	s.each(t, "SELECT routine_schema, routine_name, routine_type, sql_data_access, COALESCE(routine_definition, '') FROM information_schema.routines", func(f []string) {
		routines = append(routines, router.Routine{Schema: f[0], Name: f[1], Function: f[2] == "FUNCTION", DataAccess: f[3], Body: f[4]})
	})
	var views []router.View
	s.each(t, "SELECT table_schema, table_name, COALESCE(view_definition, '') FROM information_schema.views WHERE table_schema <> 'sys'", func(f []string) {
		views = append(views, router.View{Schema: f[0], Name: f[1], Definition: f[2]})
	})
	return router.NewCatalog(routines, views)
}

// each calls f with each row of a query.
func (s *server) each(t *testing.T, q string, f func([]string)) {
	t.Helper()
	rows, err := s.rw.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	fields, into := make([]string, len(names)), make([]any, len(names))
	for i := range fields {
		into[i] = &fields[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		f(fields)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
