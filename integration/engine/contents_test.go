package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/maintenance"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Scenario 14: triggers and events fire on the leader alone, and once. Scenario 5:
// rows as large as the leader takes are applied. Scenario 16: what cannot be
// applied, here XA, stops the follower and is named; a repair brings it back.
func TestScenarios5_14_16(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers, o.ExtraArgs = 1, []string{"--max-allowed-packet=8M"}
		c, p := start(t, o)
		waitServing(t, c, p)
		f := c.Followers()[0]
		if got := f.Text(t, "SELECT @@GLOBAL.event_scheduler"); got != "OFF" && got != "DISABLED" {
			t.Errorf("the follower's event scheduler is %s", got)
		}
		c.Exec(t, "USE shop", "CREATE TABLE fired (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(10))",
			"CREATE TRIGGER t AFTER INSERT ON account FOR EACH ROW INSERT INTO fired (what) VALUES ('trigger')",
			"CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO fired (what) VALUES ('event')",
			"SET GLOBAL event_scheduler=ON", "INSERT INTO account (v) VALUES (0),(0)")
		cluster.Eventually(t, "the event fires", func() bool {
			return c.Leader().Text(t, "SELECT COUNT(*)>1 FROM shop.fired WHERE what='event'") == "1"
		})
		c.Exec(t, "SET GLOBAL event_scheduler=OFF", "CREATE TABLE shop.big (id INT PRIMARY KEY, v LONGBLOB)")
		// The server makes the row itself, to the last byte that it takes.
		c.Exec(t, "INSERT INTO shop.big SELECT 1, REPEAT('x', @@max_allowed_packet-1)",
			"UPDATE shop.big SET v=CONCAT('y', SUBSTRING(v, 2))")
		converge(t, c)
		if n := f.Text(t, "SELECT COUNT(*) FROM shop.fired WHERE what='trigger'"); n != "2" {
			t.Errorf("the trigger fired %s times", n)
		}

		c.Exec(t, "USE shop", "XA START 'x'", "INSERT INTO moves (a,b) VALUES (9,9)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
		waitNode(t, p, f.Name(), "is stopped", func(n topologyNode) bool {
			return !n.Eligible && strings.Contains(n.Replication, "stopped") && strings.Contains(n.Replication, "XA transactions cannot be applied")
		})
		if n := nodeOf(p, f.Name()); !strings.Contains(n.Replication, fmt.Sprintf("transaction %s", serverOf(t, c))) {
			t.Errorf("the transaction is not named: %s", n.Replication)
		}
		repair(t, p, f.Name())
		waitNode(t, p, f.Name(), "serves reads, repaired", func(n topologyNode) bool { return n.Eligible })
		converge(t, c)
	})
}

// serverOf is how the GTIDs of the leader begin.
func serverOf(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	if strings.Contains(c.Leader().Text(t, "SELECT @@version"), "MariaDB") {
		return "0-1-"
	}
	return c.Leader().Text(t, "SELECT @@server_uuid") + ":"
}

// Followers are handed over to their own replication and back, at the exact position, also while
// rows are written; not while a proxy replicates. One that replicates by itself is also taken
// over by a proxy that is started.
func TestHandover(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o, "replication: {acks: 1}")
		waitServing(t, c, p)
		readsOwn(t, p, 5)
		path := filepath.Join(t.TempDir(), "bellwether.yaml")
		cluster.Must(t, os.WriteFile(path, []byte(p.ReadConfig()), 0o600))
		cfg, err := configs.Load(path)
		cluster.Must(t, err)
		native := maintenance.HandoverOptions{Native: true, As: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password}
		handOver := func(o maintenance.HandoverOptions) ([]maintenance.HandedOver, error) {
			return maintenance.Handover(t.Context(), &maintenance.Access{Config: cfg}, o)
		}
		if _, err := handOver(native); err == nil || !strings.Contains(err.Error(), "stop it first") {
			t.Fatalf("under a proxy that replicates: %v", err)
		}
		cluster.Must(t, p.Stop())
		for range 2 {
			done, err := handOver(native)
			if err != nil || len(done) != 2 {
				t.Fatalf("to native: %v, %v", done, err)
			}
			c.Exec(t, "INSERT INTO shop.moves (a,b) VALUES (11,11)") // nobody has to acknowledge it
			converge(t, c)
			for _, n := range c.Followers() {
				f, err := node.Of(t.Context(), n.Name(), n.DB())
				cluster.Must(t, err)
				if status, err := f.ReplicaStatus(t.Context()); err != nil || len(status) == 0 {
					t.Errorf("%s does not replicate by itself: %v", n.Name(), err)
				}
			}
			if done, err = handOver(maintenance.HandoverOptions{}); err != nil || len(done) != 2 {
				t.Fatalf("to the engine: %v, %v", done, err)
			}
		}
		_, err = handOver(native)
		cluster.Must(t, err)
		p.Restart()
		for _, n := range c.Followers() {
			waitNode(t, p, n.Name(), "is the engine's", func(n topologyNode) bool { return n.Eligible && n.Replication == "streaming" })
			f, err := node.Of(t.Context(), n.Name(), n.DB())
			cluster.Must(t, err)
			if status, err := f.ReplicaStatus(t.Context()); err != nil || len(status) > 0 {
				t.Errorf("%s still replicates by itself: %v, %v", n.Name(), status, err)
			}
		}
		readsOwn(t, p, 5)
		converge(t, c)
		if _, m := p.Get("/metrics"); strings.Contains(m, "bellwether_replication_copies_total{") {
			t.Error("a follower was copied")
		}
	})
}

// Followers are compared with the leader all the time, and what differs is told row by row.
func TestComparesAllTheTime(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o, "replication: {verify: {interval: 500ms, pause: 0s}}")
		waitServing(t, c, p)
		committed, end := writers(t, p)
		more(t, committed, 10)
		verified := func() (v admin.VerificationView) {
			_, body := p.Get("/v1/replication/verify")
			cluster.Must(t, json.Unmarshal([]byte(body), &v))
			return v
		}
		cluster.Eventually(t, "the followers are equal, under load", func() bool {
			v := verified()
			return v.EndedAt != nil && v.Error == "" && len(v.Followers) == 2 && v.Rows > 8 && len(v.Differences) == 0
		})
		end()
		converge(t, c) // what is still applied would set the row right
		bad := c.Followers()[1]
		bad.Exec(t, "SET SESSION sql_log_bin=0; UPDATE shop.account SET v=v+1000 WHERE id=5; SET SESSION sql_log_bin=1")
		want := bad.Name() + `: shop.account: changed id="5"`
		cluster.Eventually(t, "the row that differs is named", func() bool {
			v := verified()
			return len(v.Differences) == 1 && v.Differences[0] == want
		})
		if _, m := p.Get("/metrics"); !strings.Contains(m, `bellwether_replication_differences{node="`+bad.Name()+`"} 1`) {
			t.Error("the metric does not tell")
		}
		repair(t, p, bad.Name())
		cluster.Eventually(t, "it is mended", func() bool {
			v := verified()
			return v.EndedAt != nil && v.Error == "" && len(v.Followers) == 2 && len(v.Differences) == 0
		})
		converge(t, c)
	})
}
