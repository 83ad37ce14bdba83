package operations

import (
	"context"
	"strconv"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// A follower is lost in every way while many clients read. None of them sees an
// error, and the follower serves reads again when it is back.
func TestFollowerLostUnderReads(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		n := f.Node("db2")
		r := f.read(t, 12)
		for _, fault := range []struct {
			name      string
			begin     func() error
			end       func() error
			staysAway bool
		}{
			{"killed", n.Kill, func() error { return startFollower(n) }, true},
			{"reset", func() error { return n.Reset(cluster.Proxy) }, func() error { return nil }, false},
			{"paused", n.Pause, n.Continue, true},
			{"cut", func() error { return n.Cut(cluster.Proxy, cluster.Both) }, n.Heal, true},
			{"answers cut", func() error { return n.Cut(cluster.Proxy, cluster.Out) }, n.Heal, true},
		} {
			r.until(t, n.Name())
			cluster.Must(t, fault.begin())
			if fault.staysAway {
				f.waitEligible(t, n.Name(), false)
			}
			for range 12 { // every reader goes on, also those that were under way there
				r.more(t, 12)
			}
			waitNotBusy(t, f, n.Name())
			cluster.Must(t, fault.end())
			f.waitEligible(t, n.Name(), true)
			if t.Failed() {
				t.Fatalf("failed when the follower was %s", fault.name)
			}
			// Sessions stay where they are; new ones come.
			cluster.Eventually(t, "a new session reads from "+n.Name()+" after it was "+fault.name, func() bool {
				s := f.open(t)
				defer func() { _ = s.Close() }()
				return s.rows(whoami) == n.Name()
			})
		}
	}, "routing: {pin: false, consistency: eventual}")
}

// startFollower starts a killed follower, which does not remember that it is read-only.
func startFollower(n *cluster.Node) error {
	if err := n.Start(); err != nil {
		return err
	}
	_, err := n.DB().Exec("SET GLOBAL read_only = 1")
	return err
}

// waitNotBusy waits until no statement waits for a node any more.
func waitNotBusy(t *testing.T, f *fixture, node string) {
	t.Helper()
	cluster.Eventually(t, "no statement waits for "+node, func() bool { return f.nodes(t)[node].Outstanding == 0 })
}

// Without any follower reads go to the leader, or are refused, as configured.
func TestNoFollower(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t)
		s.onFollower()
		f.Node("db2").StopReplication(t)
		cluster.Must(t, f.Node("db3").Kill())
		for _, n := range f.Followers() {
			f.waitEligible(t, n.Name(), false)
		}
		s.want(leader, whoami)
		fresh := f.open(t)
		if got := fresh.route(whoami); got != "leader no_eligible_follower" {
			t.Errorf("route: %q", got)
		}
		f.reload(t, "routing: {no_follower: error}")
		s = f.open(t)
		if _, err := s.try(whoami); errorNumber(err) == 0 {
			t.Errorf("without a follower: %v, want an error", err)
		}
		s.exec("UPDATE t SET n = n + 1 WHERE id = 3") // writes go on
		f.reload(t, "routing: {no_follower: leader}")
		s.want(leader, whoami)
		f.Node("db2").StartReplication(t)
		f.waitEligible(t, "db2", true)
		f.open(t).settles("db2", whoami)
	})
}

// A follower that lags loses its reads, but a long read there is not killed; it
// comes back when it has caught up; no session that it served goes back in time for that. A
// writable follower gets no reads.
func TestScenario26EjectedFollowers(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		n := f.Node("db2")
		s := f.open(t)
		long := f.open(t)
		done := make(chan error, 1)
		go func() {
			// Between the first and the last row the follower is ejected.
			_, err := long.try("/* bellwether: node=db2 */ SELECT name, SLEEP(0.5) FROM whoami, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6) x WHERE name = 'db2'")
			done <- err
		}()
		cluster.Eventually(t, "the long read runs on db2", func() bool { return f.nodes(t)["db2"].Outstanding > 0 })
		n.StopApplying(t)
		f.waitState(t, "db2", "broken")
		cluster.Must(t, <-done)
		n.StartReplication(t)
		f.waitEligible(t, "db2", true)

		f.reload(t, "routing: {max_lag: 300ms}")
		cluster.Must(t, n.Slow(cluster.Nodes, cluster.Shape{Delay: 1500e6}))
		seen := 0
		cluster.Eventually(t, "db2 lags", func() bool {
			s.exec("UPDATE t SET n = n + 1 WHERE id = 2")
			n, err := strconv.Atoi(s.rows("SELECT n FROM t WHERE id = 2"))
			cluster.Must(t, err)
			if n <= seen {
				t.Errorf("read %d after %d: the session went back in time", n, seen)
			}
			seen = n
			v := f.nodes(t)["db2"]
			return !v.Eligible && v.LagMS != nil && *v.LagMS > 300 && v.State == "up"
		})
		cluster.Must(t, n.Heal())
		f.waitEligible(t, "db2", true)
		f.reload(t, "routing: {max_lag: 1m}")

		set := "SET GLOBAL read_only = "
		n.Exec(t, set+"0")
		f.waitState(t, "db2", "broken")
		cluster.Eventually(t, "a new session reads from db3 only", func() bool {
			s := f.open(t)
			defer func() { _ = s.Close() }()
			return s.onFollower() == "db3"
		})
		n.Exec(t, set+"1")
		f.waitEligible(t, "db2", true)
	})
}

// The leader dies. Reads go on; a write gets a clear error, and works again when
// the leader is back. A session that was at work there is told or closed.
func TestLeaderKilled(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		n := f.Leader()
		fresh := f.open(t)
		fresh.onFollower()
		wrote := f.open(t)
		wrote.exec("UPDATE t SET n = n + 1 WHERE id = 1")
		f.WaitReplicated(t)
		wrote.onFollower()
		inTxn := f.open(t)
		inTxn.exec("BEGIN", "UPDATE t SET n = n + 1 WHERE id = 2")
		atWork := f.open(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		working := make(chan error, 1)
		go func() {
			_, err := atWork.ExecContext(ctx, "INSERT INTO t SELECT 100 + SLEEP(20), 1")
			working <- err
		}()
		cluster.Eventually(t, "the insert runs", func() bool { return f.nodes(t)[leader].Outstanding > 0 })
		cluster.Must(t, n.Kill())
		if err := <-working; err == nil || ctx.Err() != nil {
			t.Errorf("a statement whose leader died: %v", err)
		}
		f.waitState(t, leader, "down")
		for _, s := range []*session{fresh, wrote, f.open(t)} {
			if got := s.rows(whoami); got == leader {
				t.Error("a dead leader answered")
			}
		}
		if got, err := inTxn.try("SELECT n FROM t WHERE id = 2"); err == nil {
			t.Errorf("a transaction whose leader died went on: %q", got)
		}
		if err := wrote.tryExec("UPDATE t SET n = n + 1 WHERE id = 1"); err == nil {
			t.Error("a write succeeded without a leader")
		}
		if err := fresh.tryExec("UPDATE t SET n = n + 1 WHERE id = 1"); errorNumber(err) == 0 {
			t.Errorf("a write without a leader: %v, want an error of the server's kind", err)
		}
		if got := fresh.rows(whoami); got == leader {
			t.Error("a dead leader answered")
		}
		cluster.Must(t, n.Start())
		f.waitState(t, leader, "up")
		// An idle connection to the leader may have died unnoticed: then one write says so.
		if err := fresh.tryExec("UPDATE t SET n = 7 WHERE id = 1"); err != nil {
			if errorNumber(err) == 0 {
				t.Errorf("the first write after the leader's return: %v, want an answer", err)
			}
			fresh = f.open(t)
			fresh.exec("UPDATE t SET n = 7 WHERE id = 1")
		}
		fresh.want("7", "SELECT n FROM t WHERE id = 1")
		fresh.want("2", "SELECT n FROM t WHERE id = 2")
	}, "pool: {wait: 500ms}")
}

// A leader that does not answer hangs nobody for ever: what runs there is told
// that its fate is unknown.
func TestLeaderPaused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t)
		s.exec("UPDATE t SET n = n + 1 WHERE id = 1")
		cluster.Must(t, f.Leader().Pause())
		t.Cleanup(func() { _ = f.Leader().Continue() })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := s.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id = 1"); err == nil || ctx.Err() != nil {
			t.Errorf("a write to a leader that does not answer: %v", err)
		}
		fresh := f.open(t)
		if got := fresh.rows(whoami); got == leader {
			t.Error("a paused leader answered")
		}
		cluster.Must(t, f.Leader().Continue())
		f.waitState(t, leader, "up")
		cluster.Eventually(t, "a new session writes", func() bool { return f.open(t).tryExec("UPDATE t SET n = 9 WHERE id = 3") == nil })
		f.open(t).settles("9", "SELECT n FROM t WHERE id = 3")
	}, "pool: {wait: 500ms}")
}

// Another node is made the leader by somebody else. Sessions that are connected
// to the old one never write there again, whatever their rights are.
func TestLeaderChangedByOthers(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.openAs(t, sandboxAdmin, "")
		s.exec("UPDATE t SET n = 5 WHERE id = 1")
		old, next := f.Leader(), f.Node("db2")
		old.Exec(t, "SET GLOBAL read_only = 1")
		f.WaitReplicated(t)
		next.StopReplication(t)
		resetReplication(t, f, next)
		f.Node("db3").Follow(t, next)
		old.Follow(t, next)
		next.Exec(t, writable(f)...)
		cluster.Eventually(t, "db2 leads", func() bool { return f.nodes(t)["db2"].Role == "leader" && f.nodes(t)["db2"].State == "up" })
		f.waitState(t, leader, "up")
		before := old.Text(t, "SELECT n FROM shop.t WHERE id = 1")
		err := s.tryExec("UPDATE t SET n = 666 WHERE id = 1")
		cluster.Eventually(t, "followers have all", func() bool { return f.nodes(t)[leader].Eligible })
		if err == nil {
			if got := next.Text(t, "SELECT n FROM shop.t WHERE id = 1"); got != "666" {
				t.Errorf("an acknowledged write is not on the leader: %q", got)
			}
		} else if got := old.Text(t, "SELECT n FROM shop.t WHERE id = 1"); got != before {
			t.Errorf("the old leader was written to: %q", got)
		}
		fresh := f.open(t)
		fresh.exec("UPDATE t SET n = 8 WHERE id = 1")
		if got := next.Text(t, "SELECT n FROM shop.t WHERE id = 1"); got != "8" {
			t.Errorf("the new leader has %q, want 8", got)
		}
	})
}
