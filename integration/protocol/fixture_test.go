package protocol

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

const app = sandbox.AppSchema

// patient keeps reads on the follower on a busy machine.
const patient = "routing: {max_lag: 5m}"

// fixture is a leader db1 and a follower db2, with a proxy before them.
type fixture struct {
	*cluster.Cluster
	proxy *cluster.ProxyProcess
}

// startCluster is a fixture without a proxy. shop.whoami tells which node runs a
// query.
func startCluster(t *testing.T, o cluster.Options) *fixture {
	t.Helper()
	o.Followers = 1
	f := &fixture{Cluster: cluster.Start(t, o)}
	f.Exec(t,
		"CREATE TABLE shop.numbers (n INT)",
		"INSERT INTO shop.numbers VALUES (1)"+strings.Repeat(",(1)", 1999),
		"CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)")
	f.WaitReplicated(t)
	return f
}

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	f := startCluster(t, o)
	f.before(t, overrides...)
	return f
}

// before starts a proxy before the cluster and waits until the follower serves reads.
func (f *fixture) before(t *testing.T, overrides ...string) {
	t.Helper()
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{patient}, overrides...)...)
	cluster.Eventually(t, "the follower serves reads", func() bool {
		var topology struct {
			Nodes []struct {
				Role     string
				Eligible bool
			}
		}
		_, body := f.proxy.Get("/v1/topology")
		cluster.Must(t, json.Unmarshal([]byte(body), &topology))
		for _, n := range topology.Nodes {
			if n.Role == "follower" && n.Eligible {
				return true
			}
		}
		return false
	})
}

func (f *fixture) mysql() bool { return f.Flavor == gtid.MySQL }

// session is one connection.
type session struct {
	*sql.Conn
	t testing.TB
}

// login says who logs in where.
type login struct {
	user, password, schema string
	params                 string // go-sql-driver's
	network                string // of the driver; empty for tcp
}

func (l login) open(t testing.TB, addr string) (*session, error) {
	t.Helper()
	cfg, err := mysql.ParseDSN("tcp(x)/?" + l.params)
	cluster.Must(t, err)
	cfg.User, cfg.Passwd, cfg.DBName, cfg.Addr = l.user, l.password, l.schema, addr
	cfg.Logger = &mysql.NopLogger{}
	if l.network != "" {
		cfg.Net = l.network
	}
	connector, err := mysql.NewConnector(cfg)
	cluster.Must(t, err)
	db := sql.OpenDB(connector)
	conn, err := db.Conn(context.Background())
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return &session{conn, t}, nil
}

// must is open, and fails the test where the client is not let in.
func (l login) must(t testing.TB, addr string) *session {
	t.Helper()
	s, err := l.open(t, addr)
	if err != nil {
		t.Fatalf("%s is not let in: %v", l.user, err)
	}
	return s
}

// verdict is what the login comes to: "in", or the refusal.
func (l login) verdict(t testing.TB, addr string) string {
	t.Helper()
	s, err := l.open(t, addr)
	if err != nil {
		return words(err)
	}
	s.end()
	return "in"
}

// until waits until the login comes to want, or to a refusal that begins with it.
func (l login) until(t testing.TB, addr, want string) {
	t.Helper()
	cluster.Eventually(t, l.user+": "+want, func() bool { return strings.HasPrefix(l.verdict(t, addr), want) })
}

// words are an error as the server put it.
func words(err error) string {
	var e *mysql.MySQLError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return fmt.Sprintf("%d (%s): %s", e.Number, e.SQLState, e.Message)
	default:
		return err.Error()
	}
}

// end closes the connection to the server.
func (s *session) end() {
	s.t.Helper()
	_ = s.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.Close()
}

func (s *session) exec(statements ...string) {
	s.t.Helper()
	for _, text := range statements {
		if _, err := s.ExecContext(context.Background(), text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

// text is the first row, columns with | between, or the error's words.
func (s *session) text(query string) string {
	rows, err := s.QueryContext(context.Background(), query)
	if err != nil {
		return words(err)
	}
	defer func() { _ = rows.Close() }()
	columns, _ := rows.Columns()
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var out []string
	if rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return words(err)
		}
		for _, v := range values {
			out = append(out, v.String)
		}
	}
	if rows.Err() != nil {
		return words(rows.Err())
	}
	return strings.Join(out, "|")
}

// want fails the test where the first row is another one.
func (s *session) want(want, query string) {
	s.t.Helper()
	if got := s.text(query); got != want {
		s.t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// routed waits until the query goes to that kind of node.
func (s *session) routed(target, query string) {
	s.t.Helper()
	cluster.Eventually(s.t, query+" goes to a "+target, func() bool {
		return strings.HasPrefix(s.text("EXPLAIN ROUTE "+query), target+"|")
	})
}

func appLogin() login {
	return login{user: sandbox.AppAccount.User, password: sandbox.AppAccount.Password, schema: app}
}

func adminLogin() login {
	return login{user: sandbox.AdminAccount.User, password: sandbox.AdminAccount.Password, schema: app}
}
