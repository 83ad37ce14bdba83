package field

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// fixture is a leader db1 and followers db2 and db3, with the proxy before them.
type fixture struct {
	*cluster.Cluster
	proxy *cluster.ProxyProcess
}

const (
	leader   = "db1"
	whoami   = "SELECT name FROM whoami"
	app      = sandbox.AppSchema
	somebody = "somebody" // an account that tests make
)

// each runs f on every flavour that is enabled, with overrides for the proxy.
func each(t *testing.T, f func(t *testing.T, f *fixture), overrides ...string) {
	t.Helper()
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) { f(t, start(t, o, overrides...)) })
}

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Followers = 2
	o.ExtraArgs = append(o.ExtraArgs, "--local-infile=ON", "--max-allowed-packet=64M")
	f := &fixture{Cluster: cluster.Start(t, o)}
	f.Exec(t,
		"CREATE TABLE shop.whoami (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB",
		"INSERT INTO shop.whoami VALUES (1, '"+leader+"')",
		"CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL DEFAULT 0, v VARCHAR(60)) ENGINE=InnoDB",
		"INSERT INTO shop.t (n, v) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
	f.WaitReplicated(t)
	for _, n := range f.Followers() {
		f.mark(t, n)
	}
	// A busy machine must not send reads to the leader; tests of lag set their own limit.
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{"routing: {max_lag: 5m}"}, overrides...)...)
	f.waitEligible(t)
	return f
}

// mark writes the follower's name into its own whoami, past the binlog.
func (f *fixture) mark(t *testing.T, n *cluster.Node) {
	t.Helper()
	ctx := t.Context()
	conn, err := n.DB().Conn(ctx)
	cluster.Must(t, err)
	defer func() { _ = conn.Close() }()
	statements := []string{"SET SESSION sql_log_bin = 0", "UPDATE shop.whoami SET name = '" + n.Name() + "'", "SET SESSION sql_log_bin = 1"}
	if f.Flavor == gtid.MySQL {
		statements = append([]string{"SET GLOBAL super_read_only = 0"}, append(statements, "SET GLOBAL super_read_only = 1")...)
	}
	for _, s := range statements {
		_, err := conn.ExecContext(ctx, s)
		cluster.Must(t, err)
	}
}

// eligible are the followers that serve reads, as the proxy tells.
func (f *fixture) eligible(t *testing.T) int {
	t.Helper()
	var topology struct {
		Nodes []struct {
			Role     string
			Eligible bool
		}
	}
	_, body := f.proxy.Get("/v1/topology")
	cluster.Must(t, json.Unmarshal([]byte(body), &topology))
	count := 0
	for _, n := range topology.Nodes {
		if n.Role == "follower" && n.Eligible {
			count++
		}
	}
	return count
}

func (f *fixture) waitEligible(t *testing.T) {
	t.Helper()
	cluster.Eventually(t, "all followers serve reads", func() bool { return f.eligible(t) == len(f.Followers()) })
}

// session is one connection through the proxy.
type session struct {
	*sql.Conn
	db *sql.DB // holds this connection only
	t  *testing.T
}

// open connects as the application, with go-sql-driver's parameters.
func (f *fixture) open(t *testing.T, params string) *session {
	t.Helper()
	return f.openAs(t, sandbox.AppAccount, app, params)
}

func (f *fixture) openAs(t *testing.T, a sandbox.Account, schema, params string) *session {
	t.Helper()
	s, err := f.tryOpen(t, a, schema, params)
	cluster.Must(t, err)
	return s
}

func (f *fixture) tryOpen(t *testing.T, a sandbox.Account, schema, params string) (*session, error) {
	t.Helper()
	cfg, err := mysql.ParseDSN(f.proxy.DSN(a, schema, params))
	cluster.Must(t, err)
	return f.openConfig(t, cfg)
}

func (f *fixture) openConfig(t *testing.T, cfg *mysql.Config) (*session, error) {
	t.Helper()
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	cluster.Must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &session{conn, db, t}, nil
}

// end closes the connection.
func (s *session) end() {
	s.t.Helper()
	cluster.Must(s.t, s.Close(), s.db.Close())
}

func (s *session) exec(statement string, args ...any) sql.Result {
	s.t.Helper()
	r, err := s.ExecContext(context.Background(), statement, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return r
}

// rows are the rows as text, columns with | and rows with ; between.
func (s *session) rows(query string, args ...any) string {
	s.t.Helper()
	text, err := s.tryRows(query, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return text
}

func (s *session) tryRows(query string, args ...any) (string, error) {
	rows, err := s.QueryContext(context.Background(), query, args...)
	if err != nil {
		return "", err
	}
	return cluster.Text(rows, "NULL")
}

// want fails the test where the rows are other ones.
func (s *session) want(want, query string, args ...any) {
	s.t.Helper()
	if got := s.rows(query, args...); got != want {
		s.t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// onLeader fails the test where the query, which gives whoami's name first, ran elsewhere.
func (s *session) onLeader(query string, args ...any) {
	s.t.Helper()
	if got := s.rows(query, args...); !strings.HasPrefix(got, leader) {
		s.t.Errorf("%s: %q; it must run on the leader", query, got)
	}
}

// onFollower fails the test where the query, which gives whoami's name first,
// runs on the leader for ever. For a moment it may: until the followers are known
// to have what the session has seen.
func (s *session) onFollower(query string, args ...any) string {
	s.t.Helper()
	var got string
	defer func() {
		if s.t.Failed() {
			text, err := s.tryRows("EXPLAIN ROUTE " + query)
			s.t.Log("its route:", text, err)
		}
	}()
	cluster.Eventually(s.t, "a follower runs "+query, func() bool {
		got = s.rows(query, args...)
		return strings.HasPrefix(got, "db") && !strings.HasPrefix(got, leader)
	})
	return got
}

// caughtUp makes what was written so far no reason to read from the leader: the
// followers have it, and the proxy knows.
func (f *fixture) caughtUp(t *testing.T, s *session) {
	t.Helper()
	f.WaitReplicated(t)
	cluster.Eventually(t, "the session's reads go to a follower again", func() bool {
		return strings.HasPrefix(s.rows("EXPLAIN ROUTE SELECT 1 FROM t"), "follower|")
	})
}

// errorNumber is the server's error code, 0 where there is none.
func errorNumber(t *testing.T, err error) int {
	t.Helper()
	return int(mysqlError(err).Number)
}

func mysqlError(err error) *mysql.MySQLError {
	if e, ok := err.(*mysql.MySQLError); ok { //nolint:errorlint // the driver does not wrap it
		return e
	}
	return &mysql.MySQLError{}
}

// connectionID is the session's id as SQL tells it.
func (s *session) connectionID() uint64 {
	s.t.Helper()
	id, err := strconv.ParseUint(s.rows("SELECT CONNECTION_ID()"), 10, 64)
	cluster.Must(s.t, err)
	return id
}

// status is a status variable of the node, asked directly.
func status(t *testing.T, n *cluster.Node, name string) int {
	t.Helper()
	var key string
	var value int
	err := n.DB().QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&key, &value)
	if err != nil {
		t.Fatal(fmt.Errorf("%s of %s: %w", name, n.Name(), err))
	}
	return value
}
