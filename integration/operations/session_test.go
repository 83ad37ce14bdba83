package operations

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// checker writes and reads on many sessions, and counts the reads that miss the
// session's own write, and those that are older than what it has read before.
type checker struct {
	stale, back, reads, onFollowers atomic.Int64
	stop                            chan struct{}
	wg                              sync.WaitGroup
}

func check(t *testing.T, f *fixture, sessions int) *checker {
	t.Helper()
	c := &checker{stop: make(chan struct{})}
	for i := range sessions {
		s := f.openAs(t, sandbox.AppAccount, fmt.Sprintf("interpolateParams=%v", i%2 == 0))
		id := 1000 + i
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 0)", id))
		c.wg.Go(func() {
			seen := 0 // of the row that all sessions increment
			for n := 1; ; n++ {
				select {
				case <-c.stop:
					return
				default:
				}
				if i%3 != 0 || n == 1 { // a third of them only read
					if err := s.tryExec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = %d", n, id)); err != nil {
						t.Errorf("session %d: %v", i, err)
						return
					}
					if err := s.tryExec("UPDATE t SET n = n + 1 WHERE id = 1"); err != nil {
						t.Errorf("session %d: %v", i, err)
						return
					}
				}
				got, err := s.try("SELECT IFNULL((SELECT n FROM t WHERE id = ?), 0), (SELECT n FROM t WHERE id = 1), (SELECT name FROM whoami)", id)
				if err != nil {
					t.Errorf("session %d: %v", i, err)
					return
				}
				var own, all int
				var name string
				if _, err := fmt.Sscanf(splitBars(got), "%d %d %s", &own, &all, &name); err != nil {
					t.Errorf("session %d: %q: %v", i, got, err)
					return
				}
				c.reads.Add(1)
				if name != leader {
					c.onFollowers.Add(1)
				}
				if i%3 != 0 && own != n {
					c.stale.Add(1)
				}
				if all < seen {
					c.back.Add(1)
				}
				seen = max(seen, all)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func splitBars(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '|' {
			b[i] = ' '
		}
	}
	return string(b)
}

func (c *checker) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.wg.Wait()
}

func (c *checker) more(t *testing.T, n int64) {
	t.Helper()
	until := c.reads.Load() + n
	cluster.Eventually(t, "the sessions go on", func() bool { return t.Failed() || c.reads.Load() >= until })
}

// Under a constant stream of writes, with followers that are late, stop, are
// ejected and return, no session misses its own write or goes back in time.
func TestSessionGuarantees(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cluster.Must(t, f.Node("db2").Slow(cluster.Nodes, cluster.Shape{Delay: 50 * time.Millisecond}))
		c := check(t, f, 12)
		c.more(t, 300)
		for range 2 {
			f.Node("db3").StopApplying(t)
			f.waitEligible(t, "db3", false)
			c.more(t, 200)
			f.Node("db3").StartReplication(t)
			f.waitEligible(t, "db3", true)
			c.more(t, 200)
			cluster.Must(t, f.Node("db2").Reset(cluster.Proxy))
			c.more(t, 100)
		}
		c.end()
		t.Logf("%d reads, %d on followers", c.reads.Load(), c.onFollowers.Load())
		if c.stale.Load() > 0 || c.back.Load() > 0 {
			t.Errorf("%d stale reads, %d reads that went back in time, of %d", c.stale.Load(), c.back.Load(), c.reads.Load())
		}
		if c.onFollowers.Load() == 0 {
			t.Error("no read ran on a follower: nothing was tested")
		}
	})
}

// The same check finds stale reads where they are allowed, so it can fail.
func TestEventualIsStale(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for _, n := range f.Followers() {
			cluster.Must(t, n.Slow(cluster.Nodes, cluster.Shape{Delay: 100 * time.Millisecond}))
		}
		c := check(t, f, 6)
		cluster.Eventually(t, "a stale read, as consistency is eventual", func() bool { return c.stale.Load() > 0 })
		f.reload(t, "routing: {consistency: session}")
		f.WaitReplicated(t)
		c.end()
		c = checkFrom(t, f)
		c.more(t, 200)
		c.end()
		if c.stale.Load() > 0 {
			t.Errorf("%d stale reads after consistency became session", c.stale.Load())
		}
	}, "routing: {consistency: eventual, pin: false}")
}

// checkFrom starts over on rows of its own.
func checkFrom(t *testing.T, f *fixture) *checker {
	t.Helper()
	f.Exec(t, "DELETE FROM shop.t WHERE id >= "+strconv.Itoa(1000))
	return check(t, f, 6)
}

// With balance: latency reads go to the follower that is near. At the other levels a session
// stays where it read first.
func TestNearFollower(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cluster.Must(t, f.Node("db2").Slow(cluster.Proxy, cluster.Shape{Delay: 100 * time.Millisecond}))
		s := f.open(t)
		cluster.Eventually(t, "twenty reads in a row run on the near follower", func() bool {
			for range 20 {
				if got := s.rows(whoami); got != "db3" {
					return false
				}
			}
			return true
		})
	}, "routing: {balance: latency, consistency: eventual, pin: false}\nmonitor: {interval: 50ms}")
}
