package operations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

const (
	leader = "db1"
	whoami = "SELECT name FROM whoami"
	// patience bounds one statement: beyond it a client would call it a hang.
	patience = 30 * time.Second
)

// fixture is a leader db1 and followers, with the proxy before them. Each node
// has its own name in shop.whoami.
type fixture struct {
	*cluster.Cluster
	proxy   *cluster.ProxyProcess
	reloads int
}

// brisk makes failures be noticed soon; a busy machine alone must not eject a follower.
const brisk = "routing: {max_lag: 1m}\nmonitor: {interval: 100ms, timeout: 500ms, failures: 3, recoveries: 2}\n"

func each(t *testing.T, f func(t *testing.T, f *fixture), overrides ...string) {
	t.Helper()
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		f(t, start(t, o, overrides...))
	})
}

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	f := &fixture{Cluster: cluster.Start(t, o)}
	f.Exec(t,
		"CREATE TABLE shop.whoami (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB",
		"INSERT INTO shop.whoami VALUES (1, '"+leader+"')",
		"CREATE TABLE shop.t (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB",
		"INSERT INTO shop.t VALUES (1, 1), (2, 2), (3, 3)")
	f.WaitReplicated(t)
	for _, n := range f.Followers() {
		cluster.Must(t, n.ExecUnlogged(t.Context(), "UPDATE shop.whoami SET name = '"+n.Name()+"'"))
	}
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{brisk}, overrides...)...)
	for _, n := range f.Followers() {
		f.waitEligible(t, n.Name(), true)
	}
	return f
}

type nodeView struct {
	Name, Address, Role, State, Why, Position string
	Eligible                                  bool
	Weight                                    int
	Connections, Outstanding                  int64
	LagMS                                     *float64 `json:"lag_ms"`
}

func (f *fixture) nodes(t *testing.T) map[string]nodeView {
	t.Helper()
	var topology struct{ Nodes []nodeView }
	_, body := f.proxy.Get("/v1/topology")
	cluster.Must(t, json.Unmarshal([]byte(body), &topology))
	out := make(map[string]nodeView)
	for _, n := range topology.Nodes {
		out[n.Name] = n
	}
	return out
}

func (f *fixture) waitEligible(t *testing.T, node string, want bool) {
	t.Helper()
	cluster.Eventually(t, fmt.Sprintf("%s eligible is %v", node, want), func() bool { return f.nodes(t)[node].Eligible == want })
}

// waitState waits for the node's state as the proxy sees it.
func (f *fixture) waitState(t *testing.T, node, want string) {
	t.Helper()
	cluster.Eventually(t, node+" is "+want, func() bool { return f.nodes(t)[node].State == want })
}

// metric is the sum of a metric over all its labels.
func (f *fixture) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, body := f.proxy.Get("/metrics")
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(body, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		cluster.Must(t, err)
		sum += v
	}
	return sum
}

// reload lays YAML over the configuration file and waits until it is applied.
func (f *fixture) reload(t *testing.T, overrides ...string) {
	t.Helper()
	// Something must differ, or there is nothing to be applied.
	f.reloads++
	overrides = append(overrides, fmt.Sprintf("limits: {max_connections: %d}", 5000+f.reloads))
	text, err := cluster.Overlay(f.proxy.ReadConfig(), overrides...)
	cluster.Must(t, err)
	before := f.metric(t, "bellwether_config_reloads_total")
	f.proxy.WriteConfig(text)
	cluster.Eventually(t, "the configuration is read", func() bool { return f.metric(t, "bellwether_config_reloads_total") > before })
	if f.metric(t, "bellwether_config_last_reload_successful") != 1 {
		_, body := f.proxy.Get("/v1/config")
		t.Fatalf("the configuration was rejected: %s", body)
	}
}

// session is one connection through the proxy.
type session struct {
	*sql.Conn
	db *sql.DB // holds this connection only
	t  testing.TB
}

// Close ends the connection; without db it would be kept.
func (s *session) Close() error { return errors.Join(s.Conn.Close(), s.db.Close()) }

func (f *fixture) open(t *testing.T) *session {
	t.Helper()
	return f.openAs(t, sandbox.AppAccount, "")
}

func (f *fixture) openAs(t *testing.T, a sandbox.Account, params string) *session {
	t.Helper()
	s, err := f.tryOpen(t, a, params)
	cluster.Must(t, err)
	return s
}

func (f *fixture) tryOpen(t testing.TB, a sandbox.Account, params string) (*session, error) {
	t.Helper()
	cfg, err := mysql.ParseDSN(f.proxy.DSN(a, sandbox.AppSchema, params))
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	t.Cleanup(func() { _, _ = conn.Close(), db.Close() })
	return &session{conn, db, t}, nil
}

func (s *session) tryExec(statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.ExecContext(ctx, statement, args...)
	return err
}

func (s *session) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if err := s.tryExec(statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// try returns the rows as text, columns with | and rows with ; between.
func (s *session) try(query string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return "", err
	}
	return cluster.Text(rows, "")
}

func (s *session) rows(query string, args ...any) string {
	s.t.Helper()
	got, err := s.try(query, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return got
}

func (s *session) want(want, query string, args ...any) {
	s.t.Helper()
	if got := s.rows(query, args...); got != want {
		s.t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// settles waits until the query gives want; for a moment a read may go elsewhere.
func (s *session) settles(want, query string) {
	s.t.Helper()
	cluster.Eventually(s.t, fmt.Sprintf("%s gives %q", query, want), func() bool { return s.rows(query) == want })
}

// onFollower waits until a follower runs the query, and returns its name.
func (s *session) onFollower() string {
	s.t.Helper()
	var got string
	cluster.Eventually(s.t, "a follower serves the session", func() bool {
		got = s.rows(whoami)
		return got != leader
	})
	return got
}

// route is target and reason, as EXPLAIN ROUTE gives them.
func (s *session) route(statement string) string {
	s.t.Helper()
	words := strings.Split(s.rows("EXPLAIN ROUTE "+statement), "|")
	return words[0] + " " + words[2]
}

func errorNumber(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// readers read without pause, each on a connection of its own, until stop. Any
// error fails the test.
type readers struct {
	stop  chan struct{}
	wg    sync.WaitGroup
	reads atomic.Int64
	mu    sync.Mutex
	by    map[string]int // reads by node; guarded by mu
}

func (f *fixture) read(t *testing.T, n int) *readers {
	t.Helper()
	r := &readers{stop: make(chan struct{}), by: make(map[string]int)}
	for i := range n {
		s := f.openAs(t, sandbox.AppAccount, fmt.Sprintf("interpolateParams=%v", i%2 == 0))
		r.wg.Go(func() {
			for {
				select {
				case <-r.stop:
					return
				default:
				}
				name, err := s.try(whoami+" WHERE id = ?", 1)
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				r.reads.Add(1)
				r.mu.Lock()
				r.by[name]++
				r.mu.Unlock()
				time.Sleep(time.Millisecond) // leave the machine to others
			}
		})
	}
	t.Cleanup(r.end)
	r.more(t, 10*n)
	return r
}

func (r *readers) end() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.wg.Wait()
}

// more waits until n more reads are done.
func (r *readers) more(t *testing.T, n int) {
	t.Helper()
	until := r.reads.Load() + int64(n)
	cluster.Eventually(t, "the readers go on", func() bool { return t.Failed() || r.reads.Load() >= until })
}

func (r *readers) count(node string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[node]
}

// until waits for reads on a node.
func (r *readers) until(t *testing.T, node string) {
	t.Helper()
	from := r.count(node)
	cluster.Eventually(t, node+" is read from", func() bool { return t.Failed() || r.count(node) > from })
}

var sandboxAdmin = sandbox.AdminAccount

// resetReplication takes a node's replication settings away.
func resetReplication(t *testing.T, f *fixture, n *cluster.Node) {
	t.Helper()
	if f.Flavor == gtid.MySQL {
		n.Exec(t, "RESET REPLICA ALL")
		return
	}
	n.Exec(t, "RESET SLAVE ALL")
}

// writable are the statements that let a node take writes.
func writable(f *fixture) []string {
	if f.Flavor == gtid.MySQL {
		return []string{"SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0"}
	}
	return []string{"SET GLOBAL read_only = 0"}
}
