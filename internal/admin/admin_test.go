package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a snapshot with every kind of node.
func cluster(t *testing.T) *topology.Snapshot {
	t.Helper()
	position, err := gtid.Parse(gtid.MariaDB, "0-1-4711")
	if err != nil {
		t.Fatal(err)
	}
	node := func(name string, role topology.Role, state topology.State) *topology.Node {
		n := &topology.Node{
			Name: name, Address: name + ".example:3306", Weight: 100, Role: role, State: state,
			Version: "10.11.9-MariaDB", ServerID: 7, Position: position, Load: &topology.Load{},
		}
		n.Load.Outstanding.Store(3)
		n.Load.Connections.Store(12)
		return n
	}
	lead := node("db1", topology.RoleLeader, topology.StateUp)
	good := node("db2", topology.RoleFollower, topology.StateUp)
	good.Eligible, good.Lag = true, topology.Lag{Known: true, Behind: 12345678 * time.Nanosecond, Tx: 2, Measured: time.Now()}
	slow := node("db3", topology.RoleFollower, topology.StateUp)
	slow.Why, slow.Lag = "1.6 s behind, over the limit of 1 s", topology.Lag{Known: true, Behind: 1600 * time.Millisecond, Tx: 412, Measured: time.Now()}
	dead := node("db4", topology.RoleFollower, topology.StateDown)
	dead.Why = "3 probes failed: dial tcp 10.0.0.4:3306: connection refused"
	return &topology.Snapshot{Seq: 5, Epoch: 2, Flavor: gtid.MariaDB, Leader: lead, Nodes: []*topology.Node{lead, good, slow, dead}}
}

// full is a Config in which every part is there.
func full(t *testing.T) Config {
	t.Helper()
	snap := cluster(t)
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "bellwether_test_total", Help: "Of the test."})
	reg.MustRegister(c)
	start := time.Now().Add(-3 * time.Hour)
	var polls atomic.Uint64
	return Config{
		Address:  "127.0.0.1:0",
		Topology: func() *topology.Snapshot { return snap },
		Gatherer: reg,
		Config: func() ConfigView {
			return ConfigView{Effective: map[string]any{"routing": map[string]string{"max_lag": "1s"}}, File: "/etc/bellwether.yaml", Hash: "abc", LoadedAt: start}
		},
		Stats: func() StatsView {
			n := polls.Add(1)
			return StatsView{
				StartedAt: start, Sessions: 42, Statements: 4200 * n,
				Nodes: []NodeStats{{"db1", 1000 * n}, {"db2", 2200 * n}, {"db3", 1000 * n}},
				Reasons: []ReasonStats{
					{"follower", "read", 3200 * n},
					{"leader", "write", 700 * n},
					{"leader", "in_transaction", 250 * n},
					{"leader", "user_variable", 40 * n},
					{"leader", "unknown_function", 10 * n},
				},
			}
		},
		Sessions: func(limit int) SessionsView {
			list := []SessionInfo{
				{ID: 11, User: "shop", Client: "10.0.0.7:51234", Schema: "shop", State: "query", Node: "db2", Since: start},
				{ID: 12, User: "<b>report</b>", Client: "10.0.0.8:51234", Schema: "shop", State: "idle", Since: start},
			}
			return SessionsView{Total: 42, Sessions: list[:min(limit, len(list))]}
		},
		Digests: func(limit int) DigestsView {
			list := []DigestInfo{
				{Digest: "1f2e3d4c5b6a7988", Text: "SELECT * FROM orders WHERE id = ?", Count: 312000, TotalMS: 93600, MaxMS: 30, Leader: 2000, Follower: 310000, Reason: "read"},
				{Digest: "1f2e3d4c5b6a7989", Text: "UPDATE stock SET n = n - ? WHERE sku = ?", Count: 41000, TotalMS: 41000, Leader: 41000, Reason: "write"},
			}
			return DigestsView{Total: 2, Digests: list[:min(limit, len(list))]}
		},
		Version: VersionView{Version: "1.2.3", Go: "go1.26"},
		Log:     slog.New(slog.DiscardHandler),
	}
}

func handler(t *testing.T, c Config) http.Handler {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestEndpoints(t *testing.T) {
	h := handler(t, full(t))
	tests := []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/healthz", 200, `"status": "ok"`},
		{"GET", "/readyz", 200, `"ready": true`},
		{"GET", "/metrics", 200, "bellwether_test_total 0"},
		{"GET", "/v1/version", 200, `"version": "1.2.3"`},
		{"GET", "/v1/topology", 200, `"leader": "db1"`},
		{"GET", "/v1/stats", 200, `"reason": "in_transaction"`},
		{"GET", "/v1/config", 200, `"max_lag": "1s"`},
		{"GET", "/v1/sessions", 200, `"total": 42`},
		{"GET", "/v1/sessions?limit=0", 200, `"sessions": []`},
		{"GET", "/v1/sessions?limit=99999999", 200, `"id": 12`},
		{"GET", "/v1/sessions?limit=-1", 400, "limit is not a number"},
		{"GET", "/v1/sessions?limit=x", 400, "limit is not a number"},
		{"GET", "/v1/digests?limit=1", 200, `"text": "SELECT * FROM orders WHERE id = ?"`},
		{"GET", "/", 200, "<title>Bellwether</title>"},
		{"GET", "/status.js", 200, "use strict"},
		{"GET", "/status.css", 200, "color-scheme"},
		{"GET", "/page/index.html", 404, "nothing here"},
		{"GET", "/v1", 404, "nothing here"},
		{"HEAD", "/v1/topology", 200, ""},
		{"POST", "/v1/config", 405, ""},
		{"DELETE", "/v1/sessions", 405, ""},
		{"PUT", "/", 405, ""},
		{"OPTIONS", "/metrics", 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(h, tt.method, tt.path)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s\nwant %d %s", w.Code, w.Body, tt.code, tt.want)
			}
			if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", w.Header())
			}
			if strings.HasPrefix(tt.path, "/v1/") && w.Code == 200 && (w.Header().Get("Content-Type") != "application/json" || tt.method == "GET" && !json.Valid(w.Body.Bytes())) {
				t.Errorf("not JSON: %v\n%s", w.Header(), w.Body)
			}
		})
	}
}

// The documented fields of a node, in both extremes: all known, nothing known.
func TestTopologyFields(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	snap := cluster(t)
	snap.Nodes[1].Lag.Measured = now.Add(-80 * time.Millisecond)
	snap.Nodes[3].Load = nil
	snap.Nodes[3].Position = gtid.Set{}
	v := viewTopology(snap, now)
	b, err := json.Marshal(v.Nodes[1])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"db2","address":"db2.example:3306","role":"follower","state":"up","eligible":true,"why":"",` +
		`"lag_ms":12.345,"lag_tx":2,"lag_age_ms":80,"position":"0-1-4711","weight":100,"zone":"","outstanding":3,"connections":12,` +
		`"version":"10.11.9-MariaDB","server_id":7,"uuid":""}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	b, err = json.Marshal(v.Nodes[3])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"lag_ms":null,"lag_tx":null,"lag_age_ms":null,"position":""`) {
		t.Errorf("unknown is not null: %s", b)
	}
	if v.Epoch != 2 || v.Seq != 5 || v.Flavor != snap.Flavor.String() || *v.Leader != "db1" {
		t.Errorf("%+v", v)
	}
	b, err = json.Marshal(viewTopology(&topology.Snapshot{}, now))
	if err != nil || !strings.Contains(string(b), `"leader":null,"nodes":[]`) {
		t.Errorf("an empty cluster: %s, %v", b, err)
	}
}

func TestReady(t *testing.T) {
	tests := []struct {
		name    string
		leader  bool
		refuses error
		code    int
		want    []string
	}{
		{"leader and listener", true, nil, 200, nil},
		{"no leader", false, nil, 503, []string{"no leader is known"}},
		{"draining", true, errors.New("draining"), 503, []string{"draining"}},
		{"neither", false, errors.New("not listening yet"), 503, []string{"no leader is known", "not listening yet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := full(t)
			if !tt.leader {
				c.Topology = func() *topology.Snapshot { return &topology.Snapshot{} }
			}
			c.Ready = func() error { return tt.refuses }
			w := ask(handler(t, c), "GET", "/readyz")
			var got readiness
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.code || got.Ready != (tt.code == 200) || strings.Join(got.Reasons, "|") != strings.Join(tt.want, "|") {
				t.Errorf("%d %+v", w.Code, got)
			}
			if w := ask(handler(t, c), "GET", "/healthz"); w.Code != 200 {
				t.Errorf("healthz %d", w.Code)
			}
		})
	}
}

// A part that is not given is not there, and the page does without it.
func TestOptionalParts(t *testing.T) {
	h := handler(t, Config{Topology: full(t).Topology})
	for _, path := range []string{"/metrics", "/v1/config", "/v1/stats", "/v1/sessions", "/v1/digests"} {
		if w := ask(h, "GET", path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no error without a topology")
	}
}

func TestAnswerThatCannotBeWritten(t *testing.T) {
	c := full(t)
	c.Config = func() ConfigView { return ConfigView{Effective: func() {}} }
	if w := ask(handler(t, c), "GET", "/v1/config"); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// start runs a Server until the test ends, and returns its base URL.
func start(t *testing.T, c Config) string {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + s.Addr().String()
}

func TestRun(t *testing.T) {
	url := start(t, full(t))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url + "/v1/topology")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !json.Valid(b) {
		t.Errorf("%d %s %v", resp.StatusCode, b, err)
	}
	// A header without end is cut off, not kept.
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 64<<10)))
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(conn); !strings.Contains(string(b), "431 Request Header Fields Too Large") {
		t.Errorf("got %q", b)
	}
}

// A connection that says nothing does not hold up the end.
func TestRunEndsWithOpenConnections(t *testing.T) {
	url := start(t, full(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := full(t)
	c.Address = l.Addr().String()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != nil {
		t.Error("an address before Listen")
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "admin.address "+c.Address) || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}
