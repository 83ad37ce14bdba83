package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/verify"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// start starts plain servers, with something on the leader, and Bellwether.
func start(t *testing.T, o cluster.Options, overrides ...string) (*cluster.Cluster, *cluster.ProxyProcess) {
	t.Helper()
	o.Engine, o.PerformanceSchema, o.Durable = true, true, true
	c := cluster.Start(t, o)
	c.Exec(t, "CREATE TABLE shop.account (id INT PRIMARY KEY AUTO_INCREMENT, v INT NOT NULL)",
		"INSERT INTO shop.account (v) VALUES (1),(2),(3),(4),(5),(6),(7),(8)",
		"CREATE TABLE shop.moves (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT)")
	return c, cluster.StartProxy(t, c, overrides...)
}

// topologyNode is a node of /v1/topology.
type topologyNode struct {
	Name, State, Why, Replication string
	Eligible                      bool
}

func nodeOf(p *cluster.ProxyProcess, name string) topologyNode {
	_, body := p.Get("/v1/topology")
	var v struct{ Nodes []topologyNode }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return topologyNode{Why: err.Error()}
	}
	for _, n := range v.Nodes {
		if n.Name == name {
			return n
		}
	}
	return topologyNode{Why: "not there"}
}

// waitServing waits until all followers serve reads.
func waitServing(t *testing.T, c *cluster.Cluster, p *cluster.ProxyProcess) {
	t.Helper()
	for _, n := range c.Followers() {
		waitNode(t, p, n.Name(), "serves reads", func(n topologyNode) bool { return n.Eligible })
	}
}

func waitNode(t *testing.T, p *cluster.ProxyProcess, name, what string, ok func(topologyNode) bool) {
	t.Helper()
	var last topologyNode
	for range 900 {
		if last = nodeOf(p, name); ok(last) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s %s: %+v", name, what, last)
}

// writers move amounts between accounts through the proxy until the returned
// function ends them; what fails is tried anew.
func writers(t *testing.T, p *cluster.ProxyProcess) (committed *atomic.Int64, end func()) {
	t.Helper()
	committed = new(atomic.Int64)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	db := p.DB(sandbox.AppAccount, "shop")
	for i := range 4 {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				if move(ctx, db, n%8+1, (n*3+1)%8+1) == nil {
					committed.Add(1)
				} else {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	end = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(end)
	return committed, end
}

func move(ctx context.Context, db *sql.DB, a, b int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, s := range []string{
		fmt.Sprintf("UPDATE account SET v=v+1 WHERE id=%d", min(a, b)),
		fmt.Sprintf("UPDATE account SET v=v-1 WHERE id=%d", max(a, b)),
		fmt.Sprintf("INSERT INTO moves (a,b) VALUES (%d,%d)", a, b),
	} {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// converge waits until all followers have what the leader has, and compares every row.
func converge(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	server := func(n *cluster.Node) *node.Server {
		s, err := node.Of(ctx, n.Name(), n.DB())
		cluster.Must(t, err)
		return s
	}
	leader := server(c.Leader())
	pos, err := leader.Written(ctx, leader.DB)
	cluster.Must(t, err)
	o := verify.Options{Leader: leader}
	for _, n := range c.Followers() {
		f := server(n)
		cluster.Must(t, f.WaitApplied(ctx, pos))
		o.Followers = append(o.Followers, f)
	}
	res, err := verify.Run(ctx, o)
	cluster.Must(t, err)
	if len(res.Differences) > 0 || res.Rows < 8 {
		t.Errorf("compared %d rows: %v", res.Rows, res.Differences)
	}
}

// readsOwn writes and reads by turns: each read must see the write before it.
func readsOwn(t *testing.T, p *cluster.ProxyProcess, n int) {
	t.Helper()
	db := p.DB(sandbox.AppAccount, "shop")
	conn, err := db.Conn(t.Context())
	cluster.Must(t, err)
	defer func() { _ = conn.Close() }()
	for range n {
		r, err := conn.ExecContext(t.Context(), "INSERT INTO moves (a,b) VALUES (0,0)")
		cluster.Must(t, err)
		id, err := r.LastInsertId()
		cluster.Must(t, err)
		var seen int64
		cluster.Must(t, conn.QueryRowContext(t.Context(), "SELECT MAX(id) FROM moves").Scan(&seen))
		if seen < id {
			t.Fatalf("wrote row %d, then read %d as the last", id, seen)
		}
	}
}

// readsOn is how many statements each follower has served.
func readsOn(t *testing.T, c *cluster.Cluster, p *cluster.ProxyProcess) string {
	t.Helper()
	_, body := p.Get("/v1/stats")
	var v struct {
		Nodes []struct {
			Name       string
			Statements uint64
		}
	}
	cluster.Must(t, json.Unmarshal([]byte(body), &v))
	var idle []string
	for _, n := range v.Nodes {
		if n.Statements == 0 && n.Name != c.Leader().Name() {
			idle = append(idle, n.Name)
		}
	}
	return strings.Join(idle, ",")
}
