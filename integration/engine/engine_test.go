package engine

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Plain servers become a cluster by a configuration alone; reads go to followers
// and see what their session wrote. Then Bellwether, a follower and the leader are
// killed under load (scenarios 1 and 2), and every row is on every node, once.
func TestScenarios1_2PlainServersBecomeACluster(t *testing.T) { survives(t, "") }

// The same, while followers execute four transactions at a time.
func TestScenarios1_2SeveralAtATime(t *testing.T) {
	survives(t, "replication: {apply_connections: 4}")
}

func survives(t *testing.T, override string) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o, override)
		waitServing(t, c, p)
		readsOwn(t, p, 40)
		spread(t, c, p)
		for _, fault := range []func(){
			func() { p.Kill(); p.Restart() },
			func() { n := c.Followers()[0]; cluster.Must(t, n.Kill(), n.Start()) },
			func() { cluster.Must(t, c.Leader().Stop(), c.Leader().Start()) },
			func() { cluster.Must(t, c.Leader().Reset(cluster.Proxy), c.Followers()[1].Reset(cluster.Proxy)) },
		} {
			committed, end := writers(t, p)
			more(t, committed, 20)
			fault()
			end()
			p.WaitReady()
			committed, end = writers(t, p)
			more(t, committed, 20)
			end()
			waitServing(t, c, p)
			converge(t, c)
		}
		readsOwn(t, p, 10)
	})
}

// more waits for n more commits.
func more(t *testing.T, committed *atomic.Int64, n int64) {
	t.Helper()
	at := committed.Load()
	cluster.Eventually(t, "more commits", func() bool { return committed.Load() >= at+n })
}

// spread reads until every follower has served something.
func spread(t *testing.T, c *cluster.Cluster, p *cluster.ProxyProcess) {
	t.Helper()
	cluster.Eventually(t, "every follower serves reads", func() bool {
		db := p.DB(sandbox.AppAccount, "shop")
		defer func() { _ = db.Close() }()
		var n int
		cluster.Must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM account").Scan(&n))
		return readsOn(t, c, p) == ""
	})
}

// Scenario 20: what is written on a follower takes it out of service, is named,
// and stays. Scenario 18: a follower whose binlog is gone on the leader is copied
// anew, and nothing else is.
func TestScenarios18_20(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o, "replication: {relay_log: {max_size: 0}}") // which would have it still
		waitServing(t, c, p)
		stray := c.Followers()[0]
		stray.Exec(t, "INSERT INTO shop.moves (a,b) VALUES (77,77)")
		waitNode(t, p, stray.Name(), "is stopped", func(n topologyNode) bool {
			return !n.Eligible && strings.Contains(n.Replication, "stopped")
		})
		if n := stray.Text(t, "SELECT COUNT(*) FROM shop.moves WHERE a=77"); n != "1" {
			t.Errorf("%s rows of what was written there", n)
		}
		other := c.Followers()[1]
		waitNode(t, p, other.Name(), "serves on", func(n topologyNode) bool { return n.Eligible })

		cluster.Must(t, other.Stop())
		c.Exec(t, "INSERT INTO shop.moves (a,b) VALUES (5,5)", "FLUSH BINARY LOGS", "INSERT INTO shop.moves (a,b) VALUES (6,6)", "FLUSH BINARY LOGS")
		cluster.Eventually(t, "the leader purges its binlog", func() bool { return purge(t, c.Leader()) })
		cluster.Must(t, other.Start())
		waitNode(t, p, other.Name(), "serves reads, copied anew", func(n topologyNode) bool { return n.Eligible })
		if n := other.Text(t, "SELECT COUNT(*) FROM shop.moves WHERE a IN (5,6)"); n != "2" {
			t.Errorf("%s rows of what it had missed", n)
		}
		_, text := p.Get("/metrics")
		if !strings.Contains(text, `bellwether_replication_copies_total{node="`+other.Name()+`"} 2`) {
			t.Error("it was not copied a second time")
		}
		repair(t, p, stray.Name())
		waitNode(t, p, stray.Name(), "serves reads, repaired", func(n topologyNode) bool { return n.Eligible })
		converge(t, c)
	})
}

// repair asks for a follower to be made equal to the leader.
func repair(t *testing.T, p *cluster.ProxyProcess, name string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.AdminURL+"/v1/replication/repair", strings.NewReader(`{"node":"`+name+`"}`))
	cluster.Must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	cluster.Must(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("the repair was answered with %s", resp.Status)
	}
}

// purge removes all binlog files but the last, and reports whether that is so.
func purge(t *testing.T, n *cluster.Node) bool {
	t.Helper()
	files, err := node.Rows(t.Context(), n.DB(), "SHOW BINARY LOGS")
	cluster.Must(t, err)
	if len(files) == 1 {
		return true
	}
	n.Exec(t, "PURGE BINARY LOGS TO '"+files[len(files)-1]["Log_name"]+"'")
	return false
}

// Scenario 21: of two proxies one owns the followers, and the other stands by and
// takes over when the first is killed; nothing is applied twice.
func TestScenario21TwoProxies(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 1
		c, first := start(t, o)
		waitServing(t, c, first)
		second := cluster.StartProxy(t, c)
		name := c.Followers()[0].Name()
		waitNode(t, second, name, "stands by", func(n topologyNode) bool { return strings.Contains(n.Replication, "standby") })
		committed, end := writers(t, second)
		more(t, committed, 30)
		first.Kill()
		waitServing(t, c, second)
		more(t, committed, 30)
		end()
		readsOwn(t, second, 10)
		converge(t, c)
	})
}
