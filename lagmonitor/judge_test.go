package lagmonitor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// world is a judge under test and the nodes that it is told of. Each round is
// one probe of every node, in order.
type world struct {
	t     *testing.T
	j     *judge
	now   int // milliseconds
	nodes map[string]*fake
	order []string
}

// fake is what a node would answer.
type fake struct {
	id        uint64
	readOnly  bool
	seq       int // applied; of the leader: committed
	source    uint64
	receiving string
	applying  string
	err       error
	gone      bool
	refused   bool
	clock     time.Duration // how far its clock is off
	beats     map[uint64]time.Time
	noGTID    bool
	uuid      string
	set       string // MySQL: instead of seq
}

// newWorld has a leader a and followers b and c, all at position 100.
func newWorld(t *testing.T, change func(*Config)) *world {
	cfg := DefaultConfig()
	cfg.Interval, cfg.MaxLag, cfg.Recoveries, cfg.Failures = 100*time.Millisecond, time.Second, 3, 3
	w := &world{t: t, nodes: map[string]*fake{}, order: []string{"a", "b", "c"}}
	for i, name := range w.order {
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: name, Address: name + ":3306", Weight: 100})
		w.nodes[name] = &fake{id: uint64(i + 1), readOnly: true, seq: 100, source: 1, receiving: "Yes", applying: "Yes"}
	}
	w.nodes["a"].readOnly, w.nodes["a"].source = false, 0
	if change != nil {
		change(&cfg)
	}
	w.j = newJudge(cfg)
	return w
}

func (w *world) observation(name string) Observation {
	f := w.nodes[name]
	o := Observation{Node: name, Sent: at(w.now), Received: at(w.now + 1), Err: f.err, Gone: f.gone, Refused: f.refused}
	if f.err != nil {
		return o
	}
	o.Flavor, o.ServerID, o.ReadOnly, o.GTID, o.Clock = gtid.MariaDB, f.id, f.readOnly, !f.noGTID, at(w.now).Add(f.clock)
	o.Applied, o.Beats, o.UUID = pos(f.seq), f.beats, f.uuid
	if f.set != "" {
		o.Flavor = gtid.MySQL
		var err error
		if o.Applied, err = gtid.Parse(gtid.MySQL, f.set); err != nil {
			w.t.Fatal(err)
		}
	}
	o.Committed = o.Applied
	if f.source != 0 {
		o.Channels = []Channel{{Source: fmt.Sprintf("10.0.0.%d:3306", f.source), SourceID: f.source, Receiving: f.receiving, Applying: f.applying}}
	}
	return o
}

func (w *world) round(n int) {
	for range n {
		w.now += 100
		for i, name := range w.order {
			o := w.observation(name)
			o.Sent, o.Received = o.Sent.Add(time.Duration(i)*time.Millisecond), o.Received.Add(time.Duration(i)*time.Millisecond)
			w.j.observe(o, o.Received)
		}
	}
}

// shows checks one line for each node that is named: role state eligible.
func (w *world) shows(want ...string) {
	w.t.Helper()
	for _, line := range want {
		name, rest, _ := strings.Cut(line, " ")
		v := w.j.member(name).verdict
		eligible := "out"
		if v.Eligible {
			eligible = "serves"
		}
		if got := fmt.Sprintf("%v %v %s", v.Role, v.State, eligible); got != rest {
			w.t.Errorf("at %d ms: %s is %q, want %q (why: %s, lag %+v)", w.now, name, got, rest, v.Why, v.Lag)
		}
	}
}

func (w *world) leads(name string, epoch uint64) {
	w.t.Helper()
	if w.j.leader != name || w.j.epoch != epoch {
		w.t.Errorf("at %d ms: leader %q in epoch %d, want %q in %d (%s)", w.now, w.j.leader, w.j.epoch, name, epoch, w.j.conflict)
	}
}

var errLost = errors.New("connection lost")

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*Config)
		script func(w *world)
	}{
		{"a healthy cluster", nil, func(w *world) {
			w.round(1)
			w.leads("a", 1)
			w.round(1)
			w.shows("a leader up out", "b follower up serves", "c follower up serves")
		}},
		{"SCENARIO 22: an hour of nothing", nil, func(w *world) {
			w.round(36000)
			w.shows("b follower up serves", "c follower up serves")
			if l := w.j.member("b").verdict.Lag; l.Behind != 0 || l.Tx != 0 || !l.Known {
				w.t.Errorf("lag %+v", l)
			}
		}},
		{"FIELD 16: lag ejects at once and comes back with patience", nil, func(w *world) {
			w.round(2)
			for range 13 {
				w.nodes["a"].seq += 10
				w.nodes["c"].seq += 10
				w.round(1)
			}
			w.shows("b follower up out", "c follower up serves")
			w.nodes["b"].seq = w.nodes["a"].seq
			w.round(2)
			w.shows("b follower up out")
			w.round(1)
			w.shows("b follower up serves")
		}},
		{"FIELD 16: between max_lag and half of it nobody comes back, and nobody goes", nil, func(w *world) {
			w.round(2)
			trail := func(n, by int) {
				for range n {
					w.nodes["a"].seq += 10
					w.nodes["b"].seq = max(w.nodes["b"].seq, w.nodes["a"].seq-10*by)
					w.nodes["c"].seq = w.nodes["a"].seq
					w.round(1)
				}
			}
			trail(20, 7)
			w.shows("b follower up serves")
			trail(12, 12)
			w.shows("b follower up out")
			trail(20, 7)
			w.shows("b follower up out")
			trail(3, 2)
			w.shows("b follower up serves")
		}},
		{"SCENARIO 23: receiver cut, applier drained, leader idle", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].receiving = "Connecting"
			w.round(1)
			w.shows("b follower up serves") // the leader was asked before it
			w.round(1)
			w.shows("b follower broken out")
			if w.j.member("b").verdict.Lag.Known {
				w.t.Error("the lag is still known")
			}
			w.nodes["b"].receiving = "Yes"
			w.round(3)
			w.shows("b follower up serves")
		}},
		{"applier stopped", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].applying = "No"
			w.round(1)
			w.shows("b follower broken out", "c follower up serves")
		}},
		{"a follower that takes writes (FIELD 7)", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].readOnly = false
			w.round(1)
			w.shows("a leader up out", "b follower broken out")
			w.leads("a", 1)
		}},
		{"a second writer beside the present leader", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.round(5)
			w.leads("a", 1)
			w.shows("a leader up out", "b unknown broken out")
			if !strings.Contains(w.j.conflict, "b") {
				w.t.Errorf("conflict %q", w.j.conflict)
			}
		}},
		{"two writers from the start", nil, func(w *world) {
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.round(3)
			w.leads("", 0)
			w.shows("a unknown broken out", "b unknown broken out", "c follower unknown out")
		}},
		{"two writers, one configured", func(c *Config) { c.Nodes[1].Role = topology.RoleLeader }, func(w *world) {
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.nodes["c"].source = 2
			w.round(3)
			w.leads("b", 1)
			w.shows("a unknown broken out", "b leader up out", "c follower up serves")
		}},
		{"the configured leader is a follower", func(c *Config) { c.Nodes[1].Role = topology.RoleLeader }, func(w *world) {
			w.round(3)
			w.leads("", 0)
			if !strings.Contains(w.j.conflict, "b is configured as leader, but it is read-only") {
				w.t.Errorf("conflict %q", w.j.conflict)
			}
		}},
		{"the only writer is configured as a follower", func(c *Config) { c.Nodes[0].Role = topology.RoleFollower }, func(w *world) {
			w.round(3)
			w.leads("", 0)
		}},
		{"nobody is chosen before everybody was asked", nil, func(w *world) {
			w.now = 100
			w.j.observe(w.observation("a"), at(101))
			w.leads("", 0)
		}},
		{"a stranger that takes writes is no leader when the others follow another", nil, func(w *world) {
			w.nodes["a"].err = errLost
			w.nodes["c"].readOnly, w.nodes["c"].source = false, 0
			w.round(5)
			w.leads("", 0)
		}},
		{"a stopped follower that takes writes is no leader", nil, func(w *world) {
			w.nodes["a"].err, w.nodes["b"].err = errLost, errLost
			w.nodes["c"].readOnly, w.nodes["c"].receiving, w.nodes["c"].applying = false, "No", "No"
			w.round(5)
			w.leads("", 0)
		}},
		{"a leader with the remains of its past as a follower", nil, func(w *world) {
			w.nodes["a"].source, w.nodes["a"].receiving, w.nodes["a"].applying = 9, "No", "No"
			w.round(2)
			w.leads("a", 1)
			w.shows("a leader up out", "b follower up serves")
		}},
		{"leader gone: reads go on", nil, func(w *world) {
			w.round(2)
			w.nodes["a"].err, w.nodes["a"].gone = errLost, true
			w.nodes["b"].receiving, w.nodes["c"].receiving = "Connecting", "Connecting"
			for range 100 {
				w.round(1)
				w.shows("a leader down out", "b follower up serves", "c follower up serves")
			}
			w.leads("a", 1)
			l := w.j.member("b").verdict.Lag
			if age := at(w.now).Sub(l.Measured); !l.Known || l.Behind != 0 || age < 9*time.Second {
				w.t.Errorf("the knowledge does not age: %+v", l)
			}
		}},
		{"leader gone: who was behind stays out until it has all that was seen", nil, func(w *world) {
			w.round(2)
			for range 15 {
				w.nodes["a"].seq += 10
				w.nodes["c"].seq += 10
				w.round(1)
			}
			w.nodes["a"].err, w.nodes["a"].gone = errLost, true
			w.nodes["b"].receiving = "Connecting"
			w.round(10)
			w.shows("b follower up out", "c follower up serves")
			w.nodes["b"].seq = w.nodes["a"].seq
			w.round(3)
			w.shows("b follower up serves")
		}},
		{"leader dies between two probes of itself: no flap", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].receiving = "Connecting" // the follower sees it first
			w.now += 50
			w.j.observe(w.observation("b"), at(w.now+1))
			w.shows("b follower up serves")
			w.nodes["a"].err = errLost
			w.round(1)
			w.shows("a leader up out", "b follower up serves") // one failure is not down
			w.round(3)
			w.shows("a leader down out", "b follower up serves")
		}},
		{"one lost probe does not eject a follower", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].err = errLost
			w.round(2)
			w.shows("b follower up serves")
			w.round(1)
			w.shows("b follower down out")
		}},
		{"a refused connection does", nil, func(w *world) {
			w.round(2)
			w.nodes["b"].err, w.nodes["b"].gone = errLost, true
			w.round(1)
			w.shows("b follower down out")
			w.nodes["b"].err = nil
			w.round(2)
			w.shows("b follower up out")
			w.round(1)
			w.shows("b follower up serves")
		}},
		{"SCENARIO 32: too many connections is not death", nil, func(w *world) {
			w.round(2)
			w.nodes["a"].err, w.nodes["a"].refused = errLost, true
			w.nodes["b"].err, w.nodes["b"].refused = errLost, true
			w.round(5)
			w.shows("a leader up out", "b follower broken out")
		}},
		{"a planned switchover by somebody else", nil, func(w *world) {
			w.round(2)
			w.nodes["a"].readOnly = true
			w.round(1)
			w.leads("a", 1)
			w.shows("a leader broken out", "b follower up serves")
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.round(1)
			w.leads("a", 1) // c still follows a
			w.nodes["c"].source = 2
			w.nodes["a"].source = 2
			w.round(2)
			w.leads("b", 2)
			w.shows("b leader up out", "c follower up serves")
			w.round(3)
			w.shows("a follower up serves")
		}},
		{"a failover by somebody else, and the old leader returns", nil, func(w *world) {
			w.round(2)
			w.nodes["a"].err, w.nodes["a"].gone = errLost, true
			w.nodes["b"].receiving, w.nodes["c"].receiving = "Connecting", "Connecting"
			w.round(3)
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.nodes["c"].source, w.nodes["c"].receiving = 2, "Yes"
			w.round(2)
			w.leads("b", 2)
			w.nodes["a"].err = nil
			w.round(5)
			w.leads("b", 2)
			w.shows("a unknown broken out", "b leader up out", "c follower up serves")
		}},
		{"of two nodes the other was promoted", func(c *Config) { c.Nodes = c.Nodes[:2] }, func(w *world) {
			w.order = w.order[:2]
			w.round(2)
			w.nodes["a"].err, w.nodes["a"].gone = errLost, true
			w.nodes["b"].readOnly, w.nodes["b"].source = false, 0
			w.round(2)
			w.leads("b", 2)
		}},
		{"of two nodes the other was only opened and stopped", func(c *Config) { c.Nodes = c.Nodes[:2] }, func(w *world) {
			w.order = w.order[:2]
			w.round(2)
			w.nodes["a"].err, w.nodes["a"].gone = errLost, true
			w.nodes["b"].readOnly, w.nodes["b"].receiving, w.nodes["b"].applying = false, "No", "No"
			w.round(5)
			w.leads("a", 1)
		}},
		{"wrong source", nil, func(w *world) {
			w.nodes["c"].source = 2
			w.round(3)
			w.shows("b follower up serves", "c follower broken out")
			if why := w.j.member("c").verdict.Why; !strings.Contains(why, "10.0.0.2:3306") {
				w.t.Errorf("why %q", why)
			}
		}},
		{"does not replicate at all", nil, func(w *world) {
			w.nodes["c"].source = 0
			w.round(3)
			w.shows("c follower broken out")
		}},
		{"behind since before the proxy began", nil, func(w *world) {
			w.nodes["b"].seq = 50
			w.round(5)
			w.shows("b follower up out")
			if l := w.j.member("b").verdict.Lag; l.Known || l.Tx != 50 {
				w.t.Errorf("lag %+v", l)
			}
		}},
		{"behind since before, and the heartbeat knows", nil, func(w *world) {
			w.nodes["b"].seq = 50
			w.nodes["b"].beats = map[uint64]time.Time{1: t0.Add(-time.Hour)}
			w.round(5)
			w.shows("b follower up out")
			if l := w.j.member("b").verdict.Lag; !l.Known || l.Behind < time.Hour || l.Behind > time.Hour+time.Second {
				w.t.Errorf("lag %+v", l)
			}
		}},
		{"GTIDs off", nil, func(w *world) {
			for _, n := range w.nodes {
				n.noGTID = true
			}
			w.round(3)
			w.shows("a leader up out", "b follower up out")
		}},
		{"drained by configuration", func(c *Config) { c.Nodes[1].Drain = true }, func(w *world) {
			w.round(3)
			w.shows("b follower draining out", "c follower up serves")
		}},
		{"RESET MASTER on the leader", nil, func(w *world) {
			w.round(2)
			w.nodes["a"].seq = 3
			w.nodes["b"].seq, w.nodes["c"].seq = 3, 2
			w.round(3)
			w.shows("b follower up serves", "c follower up out")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.config)
			w.t = t
			c.script(w)
		})
	}
}

// SCENARIO 24: whatever the clocks of the servers do, the lag stays right.
func TestClocksDoNotMatter(t *testing.T) {
	for _, jump := range []time.Duration{5 * time.Minute, -5 * time.Minute, 24 * time.Hour} {
		for _, who := range []string{"a", "b", "both"} {
			t.Run(fmt.Sprintf("%s %v", who, jump), func(t *testing.T) {
				w := newWorld(t, nil)
				w.round(2)
				for i := range 60 {
					if i == 20 {
						for _, n := range []string{"a", "b"} {
							if who == n || who == "both" {
								w.nodes[n].clock += jump
							}
						}
					}
					w.nodes["a"].seq += 10
					w.nodes["c"].seq = w.nodes["a"].seq
					w.nodes["b"].seq = w.nodes["a"].seq - 50
					beat := at(w.now).Add(w.nodes["a"].clock)
					for _, n := range w.nodes {
						n.beats = map[uint64]time.Time{1: beat}
					}
					w.round(1)
					if i < 10 {
						continue
					}
					b, c := w.j.member("b").verdict.Lag, w.j.member("c").verdict.Lag
					// b is five writes of 100 ms behind: the oldest that it lacks is 400 ms
					// old, give or take where in an interval it was committed.
					if !b.Known || b.Behind < 400*time.Millisecond || b.Behind > 510*time.Millisecond || !c.Known || c.Behind != 0 {
						t.Fatalf("round %d: lag of b %+v, of c %+v", i, b, c)
					}
				}
			})
		}
	}
}

func TestHeartbeatIsNotBelievedAfterAClockWasSet(t *testing.T) {
	w := newWorld(t, nil)
	w.nodes["b"].seq = 50
	w.nodes["b"].beats = map[uint64]time.Time{1: t0.Add(-time.Minute)}
	w.round(3)
	if !w.j.member("b").verdict.Lag.Known {
		t.Fatal("not believed at all")
	}
	w.nodes["a"].clock = -10 * time.Minute
	w.round(3)
	if l := w.j.member("b").verdict.Lag; l.Known {
		t.Errorf("lag %+v", l)
	}
}

func TestErrantTransactionsAreCounted(t *testing.T) {
	const a, b = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"
	w := newWorld(t, func(c *Config) { c.Nodes = c.Nodes[:2] })
	w.order = w.order[:2]
	w.nodes["a"].uuid, w.nodes["a"].set = a, a+":1-9,"+b+":1-3"
	w.nodes["b"].uuid, w.nodes["b"].set = b, a+":1-12,"+b+":1-5"
	w.round(2)
	if got := w.j.member("b").verdict.Errant; got != 2 {
		t.Errorf("%d errant transactions, want 2", got)
	}
	w.shows("b follower up serves")
}

func TestErrantTransactionsOfMariaDB(t *testing.T) {
	w := newWorld(t, nil)
	w.round(2)
	w.now += 100
	o := w.observation("b")
	var err error
	if o.Committed, err = gtid.Parse(gtid.MariaDB, "0-2-101"); err != nil { // gtid_current_pos after a write of its own
		t.Fatal(err)
	}
	w.j.observe(o, o.Received)
	if v := w.j.member("b").verdict; v.Errant != 1 || v.Lag.Behind != 0 {
		t.Errorf("%+v", v)
	}
	// The leader writes the same number: the follower, which cannot apply it, must
	// not look as if it had.
	w.nodes["a"].seq = 101
	w.now += 100
	w.j.observe(w.observation("a"), at(w.now+1))
	w.now += 2000
	w.j.observe(w.observation("a"), at(w.now+1))
	o.Sent, o.Received = at(w.now+2), at(w.now+3)
	w.j.observe(o, o.Received)
	w.shows("b follower up out")
}

func TestAnOldAnswerIsNoLag(t *testing.T) {
	w := newWorld(t, nil)
	w.round(2)
	w.order = []string{"a", "c"} // b is not even tried, as when its probe hangs
	w.round(11)
	w.shows("b follower up serves")
	w.round(3)
	w.shows("b follower up out")
	if v := w.j.member("b").verdict; v.Lag.Known || !strings.Contains(v.Why, "last asked") {
		t.Errorf("%+v", v)
	}
}

func TestReconfiguredJudgeKeepsWhatItKnows(t *testing.T) {
	w := newWorld(t, nil)
	w.round(3)
	cfg := w.j.cfg
	cfg.Nodes = append([]NodeConfig{}, cfg.Nodes...)
	cfg.Nodes[1].Weight = 5
	cfg.Nodes[2].Address = "elsewhere:3306"
	w.j.configure(cfg)
	w.leads("a", 1)
	w.shows("b follower up serves")
	if w.j.member("c").seen {
		t.Error("a node at another address counts as known")
	}
	cfg.Nodes = cfg.Nodes[1:]
	w.j.configure(cfg)
	w.leads("", 1)
}
