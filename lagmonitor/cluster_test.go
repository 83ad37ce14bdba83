package lagmonitor

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flavors are the servers that the tests use: BELLWETHER_FLAVORS, or MariaDB 10.11.
func flavors() []string {
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"mariadb-10.11"}
}

// rig is a real cluster under a running Monitor.
type rig struct {
	*testing.T
	*sandbox.Cluster
	ctx    context.Context
	flavor gtid.Flavor
	store  *topology.Store
	mon    *Monitor
	cfg    Config
	reg    *prometheus.Registry
}

func eachCluster(t *testing.T, followers int, change func(i int, o *sandbox.NodeOptions), f func(r *rig)) {
	for _, flavor := range flavors() {
		t.Run(flavor, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			t.Cleanup(cancel)
			server, err := sandbox.Find(ctx, flavor)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("", "bw-lag-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			c, err := sandbox.NewCluster(sandbox.ClusterOptions{Server: server, Dir: dir, Followers: followers, Node: change})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			if err := c.Start(ctx); err != nil {
				t.Fatal(err)
			}
			r := &rig{T: t, Cluster: c, ctx: ctx, flavor: server.Flavor, store: topology.NewStore(nil), reg: prometheus.NewRegistry()}
			r.cfg = DefaultConfig()
			r.cfg.User, r.cfg.Password = sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password
			r.cfg.Interval = 50 * time.Millisecond
			r.cfg.Heartbeat.Interval = 200 * time.Millisecond
			for i, n := range c.Nodes() {
				r.cfg.Nodes = append(r.cfg.Nodes, NodeConfig{Name: fmt.Sprintf("db%d", i+1), Address: n.Addr(), Weight: 100})
			}
			f(r)
		})
	}
}

// start runs a Monitor until the test ends.
func (r *rig) start() {
	r.Helper()
	log := slog.New(slog.NewTextHandler(r.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	m, err := New(r.cfg, r.store, log, r.reg)
	if err != nil {
		r.Fatal(err)
	}
	r.mon = m
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	r.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("Run: %v", err)
		}
	})
}

// until waits for a snapshot that has it.
func (r *rig) until(what string, has func(s *topology.Snapshot) bool) *topology.Snapshot {
	r.Helper()
	deadline := time.After(60 * time.Second)
	for {
		s, changed := r.store.Changed()
		if has(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			r.Fatalf("%s: it did not come to that; %s", what, describe(s))
		}
	}
}

// always checks n further snapshots.
func (r *rig) always(n int, what string, holds func(s *topology.Snapshot) bool) {
	r.Helper()
	for range n {
		s, changed := r.store.Changed()
		if !holds(s) {
			r.Fatalf("%s: not always; %s", what, describe(s))
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			r.Fatal(r.ctx.Err())
		}
	}
}

func describe(s *topology.Snapshot) string {
	var b strings.Builder
	for _, n := range s.Nodes {
		fmt.Fprintf(&b, "\n%s: %v %v eligible=%v lag=%+v at %s (%s)", n.Name, n.Role, n.State, n.Eligible, n.Lag, n.Position, n.Why)
	}
	return b.String()
}

func (r *rig) exec(n *sandbox.Node, statements ...string) {
	r.Helper()
	for _, s := range statements {
		if _, err := n.DB().ExecContext(r.ctx, s); err != nil {
			r.Fatalf("%s: %v", s, err)
		}
	}
}

func (r *rig) must(f func(ctx context.Context, db *sql.DB, fl gtid.Flavor) error, n *sandbox.Node) {
	r.Helper()
	if err := f(r.ctx, n.DB(), r.flavor); err != nil {
		r.Fatal(err)
	}
}

// word puts the flavour's word for a follower's threads into a statement.
func (r *rig) word(s string) string {
	if r.flavor == gtid.MariaDB {
		return strings.ReplaceAll(s, "REPLICA", "SLAVE")
	}
	return s
}

func (r *rig) untilServing(names ...string) *topology.Snapshot {
	r.Helper()
	return r.until("followers serve", func(s *topology.Snapshot) bool {
		for _, name := range names {
			if n := s.Node(name); n == nil || !n.Eligible {
				return false
			}
		}
		return s.Leader != nil && s.Leader.State == topology.StateUp
	})
}

// SCENARIO 22: an idle leader is no lag.
func TestScenario22IdleLeader(t *testing.T) {
	for _, heartbeat := range []bool{true, false} {
		t.Run(fmt.Sprintf("heartbeat=%v", heartbeat), func(t *testing.T) {
			eachCluster(t, 2, nil, func(r *rig) {
				r.cfg.Heartbeat.Enabled = heartbeat
				r.start()
				s := r.untilServing("db2", "db3")
				if s.Leader.Name != "db1" || s.Epoch != 1 || s.Flavor != r.flavor {
					t.Errorf("leader %v, epoch %d, flavour %v", s.Leader.Name, s.Epoch, s.Flavor)
				}
				r.always(50, "lag 0, tx 0, eligible", func(s *topology.Snapshot) bool {
					for _, name := range []string{"db2", "db3"} {
						n := s.Node(name)
						if !n.Eligible || !n.Lag.Known || n.Lag.Behind > r.cfg.MaxLag/2 || !heartbeat && (n.Lag.Behind != 0 || n.Lag.Tx != 0) {
							return false
						}
					}
					return true
				})
			})
		})
	}
}

func TestApplierStopped(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		r.start()
		r.untilServing("db2")
		r.must(sandbox.StopApplying, r.Followers[0])
		s := r.until("ejected", func(s *topology.Snapshot) bool { return !s.Node("db2").Eligible })
		if n := s.Node("db2"); n.State != topology.StateBroken || !strings.Contains(n.Why, "apply") {
			t.Errorf("state %v, why %q", n.State, n.Why)
		}
		r.must(sandbox.StartReplication, r.Followers[0])
		r.untilServing("db2")
	})
}

// SCENARIO 23: the receiver is cut while the applier has drained.
func TestScenario23ReceiverStopped(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		r.cfg.Heartbeat.Enabled = false // nothing is written at all
		r.start()
		r.untilServing("db2")
		r.exec(r.Followers[0], r.word("STOP REPLICA IO_THREAD"))
		s := r.until("ejected", func(s *topology.Snapshot) bool { return !s.Node("db2").Eligible })
		if n := s.Node("db2"); n.Lag.Known || n.State != topology.StateBroken {
			t.Errorf("lag %+v, state %v, why %q", n.Lag, n.State, n.Why)
		}
	})
}

// SCENARIO 23 too: the receiver's silence is not noticed by the follower itself,
// which says Yes, but the leader's position moves on.
func TestLockedFollowerLags(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		r.start()
		r.untilServing("db2")
		conn, err := r.Followers[0].DB().Conn(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(r.ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
			t.Fatal(err)
		}
		s := r.until("ejected for lag", func(s *topology.Snapshot) bool { return !s.Node("db2").Eligible })
		if n := s.Node("db2"); n.State != topology.StateUp || !n.Lag.Known || n.Lag.Behind <= r.cfg.MaxLag || n.Lag.Tx == 0 {
			t.Errorf("state %v, lag %+v, why %q", n.State, n.Lag, n.Why)
		}
		if _, err := conn.ExecContext(r.ctx, "UNLOCK TABLES"); err != nil {
			t.Fatal(err)
		}
		r.untilServing("db2")
	})
}

func TestDelayedFollower(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		change := "CHANGE MASTER TO MASTER_DELAY=3"
		if r.flavor == gtid.MySQL {
			change = "CHANGE REPLICATION SOURCE TO SOURCE_DELAY=3"
		}
		r.exec(r.Followers[0], r.word("STOP REPLICA"), change, r.word("START REPLICA"))
		r.start()
		r.until("the delay shows", func(s *topology.Snapshot) bool {
			n := s.Node("db2")
			if n == nil {
				return false
			}
			if n.Eligible && n.Lag.Behind > r.cfg.MaxLag {
				t.Fatalf("serves reads: %s", describe(s))
			}
			return n.Lag.Known && n.Lag.Behind > 2500*time.Millisecond && n.Lag.Behind < 5*time.Second && n.Lag.Tx > 0
		})
		r.cfg.MaxLag = 10 * time.Second
		if err := r.mon.Reconfigure(r.cfg); err != nil {
			t.Fatal(err)
		}
		r.untilServing("db2")
	})
}

func TestFollowerKilledAndBack(t *testing.T) {
	eachCluster(t, 2, nil, func(r *rig) {
		r.start()
		r.untilServing("db2", "db3")
		if err := r.Followers[0].Kill(); err != nil {
			t.Fatal(err)
		}
		s := r.until("down", func(s *topology.Snapshot) bool { return s.Node("db2").State == topology.StateDown })
		if !s.Node("db3").Eligible || s.Node("db2").Eligible {
			t.Error(describe(s))
		}
		if err := r.Followers[0].Start(r.ctx); err != nil {
			t.Fatal(err)
		}
		r.exec(r.Followers[0], "SET GLOBAL read_only=1")
		r.untilServing("db2", "db3")
	})
}

// FIELD 7: a follower that takes writes, as a returned old leader does, gets no traffic.
func TestWritableFollowerIsBroken(t *testing.T) {
	eachCluster(t, 2, nil, func(r *rig) {
		r.start()
		r.untilServing("db2", "db3")
		off := "SET GLOBAL read_only=0"
		r.exec(r.Followers[0], off)
		s := r.until("broken", func(s *topology.Snapshot) bool { return s.Node("db2").State == topology.StateBroken })
		if n := s.Node("db2"); n.Eligible || !strings.Contains(n.Why, "read_only") || s.Leader.Name != "db1" {
			t.Error(describe(s))
		}
		// Now it does not even replicate any more: two nodes that take writes.
		r.exec(r.Followers[0], r.word("STOP REPLICA"), r.word("RESET REPLICA ALL"))
		r.always(30, "the leader stays", func(s *topology.Snapshot) bool {
			return s.Leader != nil && s.Leader.Name == "db1" && s.Epoch == 1 && !s.Node("db2").Eligible
		})
	})
}

func TestTwoWritersAtStart(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		r.exec(r.Followers[0], r.word("STOP REPLICA"), r.word("RESET REPLICA ALL"), "SET GLOBAL read_only=0")
		r.start()
		s := r.until("both asked", func(s *topology.Snapshot) bool {
			return s.Node("db1").State == topology.StateBroken && s.Node("db2").State == topology.StateBroken
		})
		if s.Leader != nil {
			t.Errorf("a leader is published: %s", s.Leader.Name)
		}
		r.always(20, "no leader", func(s *topology.Snapshot) bool { return s.Leader == nil && s.Epoch == 0 })
		r.cfg.Nodes[0].Role = topology.RoleLeader // the operator says which
		if err := r.mon.Reconfigure(r.cfg); err != nil {
			t.Fatal(err)
		}
		r.until("the configured one", func(s *topology.Snapshot) bool {
			return s.Leader != nil && s.Leader.Name == "db1" && s.Leader.State == topology.StateUp && s.Node("db2").State == topology.StateBroken
		})
	})
}

func TestLeaderKilled(t *testing.T) {
	eachCluster(t, 2, nil, func(r *rig) {
		r.start()
		r.untilServing("db2", "db3")
		if err := r.Leader.Kill(); err != nil {
			t.Fatal(err)
		}
		eligible := func(s *topology.Snapshot) bool {
			return s.Node("db2").Eligible || s.Node("db3").Eligible
		}
		r.until("down", func(s *topology.Snapshot) bool {
			if !eligible(s) {
				t.Fatalf("reads stopped: %s", describe(s))
			}
			return s.Leader.State == topology.StateDown
		})
		r.always(60, "reads go on, and the leader stays published", func(s *topology.Snapshot) bool {
			return eligible(s) && s.Leader != nil && s.Leader.Name == "db1" && s.Epoch == 1
		})
		// Somebody promotes a follower, and repoints the other one.
		r.exec(r.Followers[0], r.word("STOP REPLICA"), r.word("RESET REPLICA ALL"), "SET GLOBAL read_only=0")
		r.must(sandbox.StopReplication, r.Followers[1])
		if err := sandbox.Replicate(r.ctx, r.Followers[1].DB(), r.flavor, r.Followers[0].Addr()); err != nil {
			t.Fatal(err)
		}
		r.until("the new leader", func(s *topology.Snapshot) bool {
			return s.Leader.Name == "db2" && s.Epoch == 2 && s.Node("db3").Eligible
		})
		// The old one comes back, writable: it gets nothing.
		if err := r.Leader.Start(r.ctx); err != nil {
			t.Fatal(err)
		}
		s := r.until("the old leader is back", func(s *topology.Snapshot) bool { return s.Node("db1").State == topology.StateBroken })
		if s.Leader.Name != "db2" || s.Node("db1").Eligible {
			t.Error(describe(s))
		}
	})
}

func TestNodesComeAndGo(t *testing.T) {
	eachCluster(t, 2, nil, func(r *rig) {
		all := r.cfg.Nodes
		r.cfg.Nodes = all[:2]
		r.start()
		s := r.untilServing("db2")
		load := s.Node("db2").Load
		load.Outstanding.Add(1)
		r.cfg.Nodes = []NodeConfig{all[0], all[2]}
		r.cfg.Nodes[1].Weight = 7
		if err := r.mon.Reconfigure(r.cfg); err != nil {
			t.Fatal(err)
		}
		s = r.untilServing("db3")
		if n := s.Node("db2"); n == nil || n.State != topology.StateDraining || n.Eligible || n.Load != load || s.Node("db3").Weight != 7 {
			t.Error(describe(s))
		}
		load.Outstanding.Add(-1)
		r.until("gone", func(s *topology.Snapshot) bool { return s.Node("db2") == nil })
		if families, err := r.reg.Gather(); err != nil {
			t.Error(err)
		} else if text := fmt.Sprint(families); strings.Contains(text, "db2") || !strings.Contains(text, "db3") {
			t.Error("series of the removed node are still there")
		}
		r.cfg.Nodes[1].Drain = true
		if err := r.mon.Reconfigure(r.cfg); err != nil {
			t.Fatal(err)
		}
		r.until("drained", func(s *topology.Snapshot) bool { return s.Node("db3").State == topology.StateDraining })
	})
}

// The heartbeat must never make a transaction of a follower's own.
func TestHeartbeatIsWrittenOnTheLeaderOnly(t *testing.T) {
	eachCluster(t, 1, nil, func(r *rig) {
		r.start()
		r.untilServing("db2")
		var rows, servers int
		q := "SELECT COUNT(*), COUNT(DISTINCT server_id) FROM bellwether.heartbeat WHERE written > UTC_TIMESTAMP() - INTERVAL 1 MINUTE"
		r.until("heartbeats arrive", func(s *topology.Snapshot) bool {
			return r.Followers[0].DB().QueryRowContext(r.ctx, q).Scan(&rows, &servers) == nil && rows > 0
		})
		if rows != 1 || servers != 1 {
			t.Errorf("%d rows of %d servers", rows, servers)
		}
		pos, err := sandbox.Position(r.ctx, r.Followers[0].DB(), r.flavor)
		if err != nil {
			t.Fatal(err)
		}
		leader, err := sandbox.Position(r.ctx, r.Leader.DB(), r.flavor)
		if err != nil {
			t.Fatal(err)
		}
		a, b := parsed(t, r.flavor, leader), parsed(t, r.flavor, pos)
		if !a.Contains(b) {
			t.Errorf("the follower has %s, the leader %s", pos, leader)
		}
	})
}

func parsed(t *testing.T, f gtid.Flavor, s string) gtid.Set {
	t.Helper()
	set, err := gtid.Parse(f, s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
