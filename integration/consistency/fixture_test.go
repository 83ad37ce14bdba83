package consistency

import (
	"context"
	"database/sql"
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

const leader = "db1"

// never lets a follower's lag alone take it out: only consistency protects.
const never = "routing: {max_lag: 10m, pin: false}\nmonitor: {interval: 50ms, timeout: 1s, recoveries: 1}\n"

// fixture is a leader db1 and followers db2 and db3; each has its own name in
// shop.whoami. shop.t has a row that tests count up.
type fixture struct {
	*cluster.Cluster
	proxy *cluster.ProxyProcess
}

// each runs f on every flavour that is enabled.
func each(t *testing.T, f func(t *testing.T, f *fixture), overrides ...string) {
	t.Helper()
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		o.ExtraArgs = append(o.ExtraArgs, "--max-allowed-packet=64M")
		c := &fixture{Cluster: cluster.Start(t, o)}
		c.Exec(t,
			"CREATE TABLE shop.whoami (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB",
			"INSERT INTO shop.whoami VALUES (1, '"+leader+"')",
			"CREATE TABLE shop.t (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB",
			"INSERT INTO shop.t VALUES (1, 0)")
		c.WaitReplicated(t)
		for _, n := range c.Followers() {
			cluster.Must(t, n.ExecUnlogged(t.Context(), "UPDATE shop.whoami SET name = '"+n.Name()+"'"))
		}
		c.proxy = c.start(t, overrides...)
		f(t, c)
	})
}

// start starts a proxy and waits until it serves reads from all followers.
func (f *fixture) start(t *testing.T, overrides ...string) *cluster.ProxyProcess {
	t.Helper()
	p := cluster.StartProxy(t, f.Cluster, append([]string{never}, overrides...)...)
	waitEligible(t, p, len(f.Followers()))
	return p
}

func waitEligible(t *testing.T, p *cluster.ProxyProcess, n int) {
	t.Helper()
	cluster.Eventually(t, fmt.Sprintf("%d followers serve reads", n), func() bool {
		var topology struct{ Nodes []struct{ Eligible bool } }
		_, body := p.Get("/v1/topology")
		cluster.Must(t, json.Unmarshal([]byte(body), &topology))
		count := 0
		for _, n := range topology.Nodes {
			if n.Eligible {
				count++
			}
		}
		return count == n
	})
}

// delay makes a follower apply everything so many seconds late.
func (f *fixture) delay(t *testing.T, n *cluster.Node, seconds int) {
	t.Helper()
	if f.Flavor == gtid.MariaDB {
		n.Exec(t, "STOP SLAVE", fmt.Sprintf("CHANGE MASTER TO MASTER_DELAY = %d", seconds), "START SLAVE")
		return
	}
	n.Exec(t, "STOP REPLICA SQL_THREAD", fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = %d", seconds), "START REPLICA SQL_THREAD")
}

// session is one connection.
type session struct {
	*sql.Conn
	t *testing.T
}

// open connects through a proxy; params are go-sql-driver's.
func open(t *testing.T, p *cluster.ProxyProcess, params string) *session {
	t.Helper()
	cfg, err := mysql.ParseDSN(p.DSN(sandbox.AppAccount, sandbox.AppSchema, params))
	cluster.Must(t, err)
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	cluster.Must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(context.Background())
	cluster.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &session{conn, t}
}

func (s *session) exec(statements ...string) {
	s.t.Helper()
	for _, text := range statements {
		if _, err := s.ExecContext(context.Background(), text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

// refused runs a statement that must fail with that error.
func (s *session) refused(code uint16, text string) {
	s.t.Helper()
	_, err := s.ExecContext(context.Background(), text)
	if me, ok := errors.AsType[*mysql.MySQLError](err); !ok || me.Number != code {
		s.t.Errorf("%s: %v, want error %d", text, err, code)
	}
}

// row is the only row, its columns with | between.
func (s *session) row(query string, args ...any) string {
	s.t.Helper()
	text, err := s.try(query, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return text
}

func (s *session) try(query string, args ...any) (string, error) {
	rows, err := s.QueryContext(context.Background(), query, args...)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var out []string
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		for _, v := range values {
			out = append(out, v.String)
		}
	}
	return strings.Join(out, "|"), rows.Err()
}

// route is where EXPLAIN ROUTE says that a statement would go: target and reason.
func (s *session) route(statement string) string {
	s.t.Helper()
	columns := strings.Split(s.row("EXPLAIN ROUTE "+statement), "|")
	return columns[0] + " " + columns[2]
}
