package failover

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// eachMode runs f with a cluster that replicates by itself, and with one to which
// Bellwether replicates.
func eachMode(t *testing.T, f func(t *testing.T, start func(overrides ...string) *fixture)) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		t.Run("native", func(t *testing.T) {
			f(t, func(overrides ...string) *fixture { return startAutomatic(t, o, overrides...) })
		})
		t.Run("engine", func(t *testing.T) {
			f(t, func(overrides ...string) *fixture { return startEngine(t, o, overrides...) })
		})
	})
}

// problem says whether something is known to be wrong.
func (f *fixture) problem(t *testing.T, code string) bool {
	t.Helper()
	for _, p := range f.failoverState(t).Problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

// wantNoFailover checks that nobody changed the leader.
func (f *fixture) wantNoFailover(t *testing.T) {
	t.Helper()
	for _, i := range f.incidents(t) {
		if i.Kind == "failover" {
			t.Errorf("a failover: %+v", i)
		}
	}
}

// askFailover gives the leader up by decision.
func (f *fixture) askFailover(t *testing.T, r admin.FailoverRequest) (int, admin.FailoverAnswer) {
	t.Helper()
	b, err := json.Marshal(r)
	cluster.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.proxy.AdminURL+"/v1/failover", bytes.NewReader(b))
	cluster.Must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	cluster.Must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var a admin.FailoverAnswer
	cluster.Must(t, json.NewDecoder(resp.Body).Decode(&a))
	return resp.StatusCode, a
}

// TestScenario32OutOfConnections: a leader that has too many connections is alive: it is
// reported as that, and nobody takes over.
func TestScenario32OutOfConnections(t *testing.T) {
	eachMode(t, func(t *testing.T, start func(...string) *fixture) {
		f := start("failover: {heartbeat_timeout: 2s}")
		db1 := f.Node("db1")
		db1.Exec(t, "SET GLOBAL max_connections = 12")
		a := sandbox.AppAccount
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=2s", a.User, a.Password, db1.DirectAddr(), sandbox.AppSchema))
		cluster.Must(t, err)
		var taken []*sql.Conn
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			conn, err := db.Conn(ctx)
			cancel()
			if err != nil {
				break
			}
			taken = append(taken, conn)
		}
		cluster.Eventually(t, "it is seen that the leader has too many connections", func() bool { return f.problem(t, "leader-out-of-connections") })
		time.Sleep(5 * time.Second) // more than twice what a death would take
		if v := f.failoverState(t); v.Leader != "db1" || !v.Writes {
			t.Errorf("state after 5 s: %+v", v)
		}
		for _, conn := range taken {
			cluster.Must(t, conn.Close())
		}
		cluster.Must(t, db.Close())
		f.settled(t, "db1")
		f.wantNoFailover(t)
	})
}

// TestScenario35SoleAcknowledgerIsolated: where the leader and the only follower that may
// have acknowledged are cut off together, nobody is promoted; force names what is given up.
func TestScenario35SoleAcknowledgerIsolated(t *testing.T) {
	eachMode(t, func(t *testing.T, start func(...string) *fixture) {
		f := start("failover: {heartbeat_timeout: 2s}", "pool: {wait: 2s}")
		f.settled(t, "db1")
		cluster.Must(t, f.Node("db3").Cut(cluster.Nodes, cluster.Both), f.Node("db2").Cut(cluster.Proxy, cluster.Both))
		// A failover that begins while db2 was seen just now would be stopped a step later.
		cluster.Eventually(t, "db2 is known to be gone", func() bool { return f.problem(t, "follower-gone") })
		cluster.Must(t, f.Node("db1").Cut(cluster.Proxy, cluster.Both))
		blocked := func() bool {
			for _, i := range f.incidents(t) {
				for _, e := range i.Events {
					if e.Event == "blocked" && strings.Contains(e.Text, "1 followers can be reached and 2 must be") {
						return true
					}
				}
			}
			return strings.Contains(f.proxy.Log(), "1 followers can be reached and 2 must be")
		}
		cluster.Eventually(t, "the failover is refused", blocked)
		if v := f.failoverState(t); v.Leader != "db1" {
			t.Fatalf("%s leads", v.Leader)
		}
		code, a := f.askFailover(t, admin.FailoverRequest{})
		if code == http.StatusOK || !strings.Contains(strings.Join(a.Reasons, ";"), "1 followers can be reached and 2 must be") {
			t.Errorf("without force: status %d, %+v", code, a)
		}
		code, a = f.askFailover(t, admin.FailoverRequest{Force: true})
		if code != http.StatusOK || a.Leader != "db3" {
			t.Fatalf("by force: status %d, %+v", code, a)
		}
		named := false
		for _, i := range f.incidents(t) {
			for _, e := range i.Events {
				named = named || e.Event == "chosen" && strings.Contains(e.Text, "whatever db1 and db2 have beyond it may have been acknowledged, and is lost")
			}
		}
		if !named {
			t.Errorf("nobody says whose writes are given up: %+v", f.incidents(t))
		}
		for _, n := range f.Nodes() {
			cluster.Must(t, n.Heal())
		}
		cluster.Must(t, f.Node("db1").Kill(), f.Node("db1").Start()) // commits that wait there wait for ever
		f.returns(t, "db3", "db1")                                   // what the two have beyond db3, if anything, is saved
		f.returns(t, "db3", "db2")
	})
}

// TestScenario38AntiFlapping: a second leader that dies right after the first one has nobody
// promoted by itself, and a link that comes and goes is no death.
func TestScenario38AntiFlapping(t *testing.T) {
	eachMode(t, func(t *testing.T, start func(...string) *fixture) {
		f := start("failover: {heartbeat_timeout: 2s, min_interval: 1h}", "pool: {wait: 2s}")
		f.settled(t, "db1")
		db1 := f.Node("db1")
		for range 8 {
			cluster.Must(t, db1.Cut(cluster.All, cluster.Both))
			time.Sleep(400 * time.Millisecond)
			cluster.Must(t, db1.Heal())
			time.Sleep(200 * time.Millisecond)
		}
		f.settled(t, "db1")
		f.wantNoFailover(t)
		cluster.Must(t, db1.Kill())
		next := f.newLeader(t, "db1")
		cluster.Must(t, db1.Start())
		f.settled(t, next.Name())
		cluster.Must(t, next.Kill())
		cluster.Eventually(t, "the second failover is refused", func() bool {
			return strings.Contains(f.proxy.Log(), "the last failover is not long enough ago")
		})
		if v := f.failoverState(t); v.Leader != next.Name() {
			t.Errorf("%s leads", v.Leader)
		}
		if code, a := f.askFailover(t, admin.FailoverRequest{Unblock: true}); code != http.StatusOK {
			t.Fatalf("unblock: status %d, %+v", code, a)
		}
		f.newLeader(t, next.Name())
	})
}
