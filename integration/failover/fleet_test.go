package failover

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func stateOf(t *testing.T, p *cluster.ProxyProcess) (v admin.FailoverView) {
	t.Helper()
	_, body := p.Get("/v1/failover")
	cluster.Must(t, json.Unmarshal([]byte(body), &v))
	return v
}

// mayWrite writes a row, once. Connections that were cut when their leader, or the
// lease, was lost tell that once each, and leave open whether the row was written.
func mayWrite(db *sql.DB, n int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		if _, err = db.ExecContext(ctx, "INSERT IGNORE INTO ledger (client, n) VALUES (50, ?)", n); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// TestScenario36Fleet: of two proxies one coordinates; a killed leader is replaced once,
// and both route to the new one; without etcd neither writes once its lease is over.
func TestScenario36Fleet(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		etcd, process := cluster.StartEtcd(t)
		fleet := func(name string) string {
			return fmt.Sprintf("coordination: {etcd: {endpoints: [%q], name: %s, ttl: 6s}}", etcd, name)
		}
		f := startAutomatic(t, o, fleet("p1"))
		second := cluster.StartProxy(t, f.Cluster, base, automatic, fleet("p2"))
		proxies := []*cluster.ProxyProcess{f.proxy, second}
		both := func(what string, ok func(p *cluster.ProxyProcess) bool) {
			t.Helper()
			for _, p := range proxies {
				cluster.Eventually(t, what, func() bool { return ok(p) })
			}
		}
		leads := func(leader string) func(p *cluster.ProxyProcess) bool {
			return func(p *cluster.ProxyProcess) bool {
				v := stateOf(t, p)
				return v.Leader == leader && v.Writes && v.Lease && v.Step == ""
			}
		}
		both("both know the leader", leads("db1"))
		if a, b := stateOf(t, f.proxy), stateOf(t, second); a.Coordinates == b.Coordinates {
			t.Errorf("coordinates: %v and %v", a.Coordinates, b.Coordinates)
		}
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		both("both know the new leader", leads(next.Name()))
		dbs := []*sql.DB{f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema), second.DB(sandbox.AppAccount, sandbox.AppSchema)}
		for i, db := range dbs {
			cluster.Must(t, mayWrite(db, i))
		}
		failovers := 0
		for _, p := range proxies {
			var list []executor.Incident
			_, body := p.Get("/v1/incidents")
			cluster.Must(t, json.Unmarshal([]byte(body), &list))
			for _, i := range list {
				if i.Kind == "failover" {
					failovers++
				}
			}
		}
		if failovers != 1 {
			t.Errorf("%d failovers", failovers)
		}
		cluster.Must(t, process.Signal(syscall.SIGSTOP))
		both("neither writes without a lease", func(p *cluster.ProxyProcess) bool {
			v := stateOf(t, p)
			return !v.Lease && !v.Writes
		})
		cluster.Must(t, process.Signal(syscall.SIGCONT))
		both("both write again", leads(next.Name()))
		for i, db := range dbs {
			cluster.Must(t, mayWrite(db, 10+i))
		}
	})
}
