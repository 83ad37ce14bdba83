package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// startAcks is start with two followers, once the leader waits for them.
func startAcks(t *testing.T, o cluster.Options, overrides ...string) (*cluster.Cluster, *cluster.ProxyProcess) {
	t.Helper()
	o.Followers = 2
	if strings.HasPrefix(o.Flavor, "mysql") {
		o.ExtraArgs = append(o.ExtraArgs, "--plugin-load-add=semisync_source.so")
	}
	c, p := start(t, o, overrides...)
	waitServing(t, c, p)
	cluster.Eventually(t, "the leader waits", func() bool {
		a := acknowledgement(t, p)
		return a.State == "acknowledging" && (len(a.InSync) == 2 || slices.Equal(a.InSync, []string{"relay log"}))
	})
	return c, p
}

func acknowledgement(t *testing.T, p *cluster.ProxyProcess) admin.AckView {
	t.Helper()
	_, body := p.Get("/v1/topology")
	var v admin.TopologyView
	cluster.Must(t, json.Unmarshal([]byte(body), &v))
	if v.Acknowledgement == nil {
		return admin.AckView{}
	}
	return *v.Acknowledgement
}

// inSync waits until these followers, and no others, are in sync.
func inSync(t *testing.T, p *cluster.ProxyProcess, names ...string) {
	t.Helper()
	cluster.Eventually(t, fmt.Sprint(names, " are in sync"), func() bool {
		a := acknowledgement(t, p)
		return a.State == "acknowledging" && slices.Equal(a.InSync, names)
	})
}

// held keeps a follower from committing until it is let go.
func held(t *testing.T, n *cluster.Node) (release func()) {
	t.Helper()
	conn, err := n.DB().Conn(t.Context())
	cluster.Must(t, err)
	_, err = conn.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK")
	cluster.Must(t, err)
	release = sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
		cluster.Must(t, err, conn.Close())
	})
	t.Cleanup(release)
	return release
}

// waiting waits until so many inserts are under way on the leader, and it waits
// for an acknowledgement; not all of them count as waiting, as one group commits
// after the other.
func waiting(t *testing.T, c *cluster.Cluster, n int) {
	t.Helper()
	inserts := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO shop.moves%'"
	cluster.Eventually(t, fmt.Sprint(n, " inserts wait for an acknowledgement"), func() bool {
		return semiSync(t, c, "wait_sessions") != "0" && c.Leader().Text(t, inserts) == fmt.Sprint(n)
	})
}

// semiSync is a status variable of the leader's.
func semiSync(t *testing.T, c *cluster.Cluster, what string) string {
	t.Helper()
	var name, value string
	err := c.Leader().DB().QueryRowContext(t.Context(), "SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_master_"+what+"', 'Rpl_semi_sync_source_"+what+"')").Scan(&name, &value)
	cluster.Must(t, err)
	return value
}

// write inserts rows, one for each of the connections' transactions, at once.
func write(t *testing.T, db *sql.DB, a, n int) (done func()) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "INSERT INTO shop.moves (a,b) VALUES (?,?)", a, i); err != nil {
				t.Errorf("row %d: %v", i, err)
			}
		})
	}
	return wg.Wait
}

func count(t *testing.T, n *cluster.Node, a int) string {
	t.Helper()
	return n.Text(t, fmt.Sprintf("SELECT COUNT(*) FROM shop.moves WHERE a=%d", a))
}

// A write returns when as many followers have committed it as acks says, and not
// before: nobody sees it until then.
func TestWritesWaitForFollowers(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: 2}")
		db := p.DB(sandbox.AppAccount, "shop")
		write(t, db, 20, 4)()
		for _, f := range c.Followers() {
			if got := count(t, f, 20); got != "4" {
				t.Errorf("%s has %s of 4 acknowledged rows", f.Name(), got)
			}
		}
		first, second := held(t, c.Followers()[0]), held(t, c.Followers()[1])
		done := write(t, db, 21, 1)
		waiting(t, c, 1)
		first()
		cluster.Eventually(t, "the first follower has it", func() bool { return count(t, c.Followers()[0], 21) == "1" })
		waiting(t, c, 1)
		if got := count(t, c.Leader(), 21); got != "0" {
			t.Errorf("%s rows are seen that are not acknowledged", got)
		}
		second()
		done()
		if got := count(t, c.Followers()[1], 21); got != "1" {
			t.Errorf("acknowledged, and %s rows are there", got)
		}
		converge(t, c)
	})
}

// Scenario 34: without followers writes wait, and the leader never goes on by
// itself; the shortage is told. With the first one back they go on.
func TestScenario34AllFollowersAreGone(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: 1, in_sync_lag: 1s}")
		for _, f := range c.Followers() {
			cluster.Must(t, f.Pause())
		}
		done := write(t, p.DB(sandbox.AppAccount, "shop"), 34, 3)
		inSync(t, p)
		if a := acknowledgement(t, p); !a.Insufficient || a.Unacknowledged == 0 {
			t.Errorf("nobody is in sync, and it says %+v", a)
		}
		if on := semiSync(t, c, "status"); on != "ON" || count(t, c.Leader(), 34) != "0" {
			t.Errorf("the leader's waiting is %s, and it shows %s rows", on, count(t, c.Leader(), 34))
		}
		cluster.Must(t, c.Followers()[1].Continue())
		done()
		if got := count(t, c.Followers()[1], 34); got != "3" {
			t.Errorf("acknowledged, and %s rows of 3 are there", got)
		}
		cluster.Must(t, c.Followers()[0].Continue())
		inSync(t, p, "db2", "db3")
		converge(t, c)
	})
}

// Bellwether is killed while commits wait: the next one releases them, whether the
// followers had committed them or not.
func TestKilledWhileCommitsWait(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: 2}")
		for round := range 3 {
			release := []func(){held(t, c.Followers()[0]), held(t, c.Followers()[1])}
			done := write(t, c.Leader().DB(), 50+round, 5)
			waiting(t, c, 5)
			if round == 1 { // one has them, which is not enough
				release[0]()
				// Not all of them, perhaps: MariaDB sends a group of commits when the one before it is acknowledged.
				cluster.Eventually(t, "a follower commits some", func() bool { return count(t, c.Followers()[0], 51) != "0" })
			}
			p.Kill()
			if round != 2 {
				release[0]()
				release[1]()
			}
			waiting(t, c, 5)
			p.Restart()
			release[0]()
			release[1]()
			done()
			for _, f := range c.Followers() {
				if got := count(t, f, 50+round); got != "5" {
					t.Errorf("round %d: %s has %s of 5 acknowledged rows", round, f.Name(), got)
				}
			}
			inSync(t, p, "db2", "db3")
		}
		converge(t, c)
	})
}

// With acks: all a follower that stands still is waited for until it is no longer
// in sync, and again when it is back.
func TestInSyncSetShrinksAndGrows(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: all, in_sync_lag: 1s}")
		db := p.DB(sandbox.AppAccount, "shop")
		cluster.Must(t, c.Followers()[0].Pause())
		write(t, db, 60, 2)() // returns when db2 has left
		inSync(t, p, "db3")
		write(t, db, 61, 2)()
		if got := count(t, c.Followers()[1], 61); got != "2" {
			t.Errorf("acknowledged, and %s rows of 2 are there", got)
		}
		_, text := p.Get("/metrics")
		if !strings.Contains(text, `bellwether_replication_in_sync{node="db2"} 0`) || !strings.Contains(text, `bellwether_replication_in_sync{node="db3"} 1`) {
			t.Error("the metrics show another in-sync set")
		}
		cluster.Must(t, c.Followers()[0].Continue())
		inSync(t, p, "db2", "db3")
		release := held(t, c.Followers()[0])
		done := write(t, db, 62, 1)
		waiting(t, c, 1)
		release()
		done()
		converge(t, c)
	})
}

// With on_insufficient: degrade writes go on without followers, and that is told.
func TestDegrades(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: 1, in_sync_lag: 1s, on_insufficient: degrade}")
		for _, f := range c.Followers() {
			cluster.Must(t, f.Pause())
		}
		write(t, p.DB(sandbox.AppAccount, "shop"), 70, 2)()
		if log := p.Log(); !strings.Contains(log, "too few followers are in sync") || !strings.Contains(log, "level=ERROR") {
			t.Error("it degraded and did not say so")
		}
		for _, f := range c.Followers() {
			cluster.Must(t, f.Continue())
		}
		inSync(t, p, "db2", "db3")
		converge(t, c)
	})
}

// Scenario 28, its core: the leader is killed under load; every row whose client
// was answered is on a follower.
func TestScenario28AcknowledgedRowsAreOnAFollower(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		c, p := startAcks(t, o, "replication: {acks: 1}")
		db := p.DB(sandbox.AppAccount, "shop")
		var mu sync.Mutex
		acked := map[int64]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for ctx.Err() == nil {
					r, err := db.ExecContext(ctx, "INSERT INTO moves (a,b) VALUES (28,0)")
					if err != nil {
						return
					}
					id, err := r.LastInsertId()
					cluster.Must(t, err)
					mu.Lock()
					acked[id] = true
					mu.Unlock()
				}
			})
		}
		total := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
		cluster.Eventually(t, "writes are acknowledged", func() bool { return total() > 300 })
		cluster.Must(t, c.Leader().Kill())
		cancel()
		wg.Wait()
		for _, f := range c.Followers() {
			rows, err := f.DB().QueryContext(t.Context(), "SELECT id FROM shop.moves WHERE a=28")
			cluster.Must(t, err)
			for rows.Next() {
				var id int64
				cluster.Must(t, rows.Scan(&id))
				delete(acked, id)
			}
			cluster.Must(t, rows.Err(), rows.Close())
		}
		if len(acked) > 0 {
			t.Errorf("%d acknowledged rows are on no follower", len(acked))
		}
	})
}
