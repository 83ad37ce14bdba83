package lagmonitor

import (
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// judge turns observations into roles, lag and eligibility. It is pure: it is
// told the time, does no I/O and writes no log. One goroutine owns it.
type judge struct {
	cfg     Config
	members []*member // in the order of the configuration
	leader  string    // name of the leader; empty before the first is known
	epoch   uint64
	// appointed is who leads by decision; empty where the nodes show it.
	appointed appointment
	past      history // of the leader's positions
	clock     leaderClock
	// conflict says, for people, why there is no leader or why some node that
	// takes writes is not it; empty when all is well.
	conflict string
}

// member is one node, and what is remembered of it.
type member struct {
	cfg NodeConfig

	tried    bool        // probed at least once, with whatever result
	seen     bool        // answered at least once
	obs      Observation // the last answer
	peek     peek        // the last position that was asked for alone
	failures int         // failed probes since then
	err      error       // of the last one
	refused  bool        // the last failure was the server's own refusal
	down     bool

	// quietSince is when the receiver was first seen not running, in a row.
	quietSince time.Time
	followed   bool // was once a verified follower of the present leader

	hasServed bool // was eligible once
	eligible  bool
	streak    int // good probes in a row while not eligible

	verdict verdict
}

// verdict is what is published of a node.
type verdict struct {
	Role     topology.Role
	State    topology.State
	Eligible bool
	Why      string
	Lag      topology.Lag
	Errant   uint64 // the node's own transactions that the leader lacks; MySQL only
}

func newJudge(cfg Config) *judge {
	j := &judge{}
	j.configure(cfg)
	return j
}

// configure takes a new configuration over; what is known of nodes that stay at
// their address is kept.
func (j *judge) configure(cfg Config) {
	members := make([]*member, 0, len(cfg.Nodes))
	for _, n := range cfg.Nodes {
		m := j.member(n.Name)
		if m == nil || m.cfg.Address != n.Address {
			m = &member{}
		}
		m.cfg = n
		members = append(members, m)
	}
	j.cfg, j.members = cfg, members
	if j.member(j.leader) == nil {
		j.leader = ""
		j.past = history{}
	}
}

func (j *judge) member(name string) *member {
	for _, m := range j.members {
		if m.cfg.Name == name {
			return m
		}
	}
	return nil
}

// observe takes one probe's result and judges everything anew.
func (j *judge) observe(o Observation, now time.Time) {
	m := j.member(o.Node)
	if m == nil {
		return // removed meanwhile
	}
	if o.Following != nil {
		if l := j.member(o.Following.Leader); l != nil {
			o.overlay(l.cfg)
		}
	}
	m.take(o, j.cfg.Failures)
	j.chooseLeader()
	if l := j.member(j.leader); l == m && o.Err == nil {
		j.past.add(o.Committed, o.Sent, o.Received)
		j.clock.observe(&o)
	}
	j.judgeAll(now, m)
}

// take is the transition of a member by one probe.
func (m *member) take(o Observation, failures int) {
	m.tried = true
	if o.Err != nil {
		m.failures++
		m.err, m.refused = o.Err, o.Refused
		if o.Gone || m.failures >= failures {
			m.down = true
		}
		return
	}
	m.seen, m.obs = true, o
	m.failures, m.err, m.refused, m.down = 0, nil, false, false
}

// answers reports whether what was last seen of a node can be taken for its present.
func (m *member) answers() bool { return m.seen && !m.down }

// writable reports whether a client could write there and nothing else does.
func (m *member) writable() bool {
	return m.answers() && !m.obs.ReadOnly && (m.cfg.Role == topology.RoleLeader || !m.obs.replicating())
}

// judgeAll gives every node its verdict. probed is the node whose observation
// has just been taken: only its streak of good probes grows.
func (j *judge) judgeAll(now time.Time, probed *member) {
	for _, m := range j.members {
		v := j.judgeNode(m, now)
		ok := v.Role == topology.RoleFollower && v.State == topology.StateUp && v.Lag.Known && v.Lag.Behind <= j.cfg.MaxLag
		if v.Why == "" && !ok && v.Role == topology.RoleFollower && v.Lag.Known {
			v.Why = "lag of " + v.Lag.Behind.Round(time.Millisecond).String() + " is over max_lag"
		}
		m.serve(ok, v.Lag.Behind <= j.cfg.MaxLag/2, m == probed && m.failures == 0, j.cfg.Recoveries)
		v.Eligible = m.eligible
		if ok && !v.Eligible {
			v.Why = "waits for good probes in a row before it serves reads again"
		}
		m.verdict = v
	}
}

// serve is the hysteresis: out at once, back after good probes in a row. The
// first time needs no patience.
func (m *member) serve(ok, comfortable, probed bool, recoveries int) {
	switch {
	case !ok:
		m.eligible, m.streak = false, 0
	case m.eligible:
	case !m.hasServed:
		m.eligible, m.hasServed = true, true
	case probed && !comfortable:
		m.streak = 0
	case probed:
		if m.streak++; m.streak >= recoveries {
			m.eligible, m.streak = true, 0
		}
	}
}

// leaderClock watches the clock of the leader against ours. It serves the
// heartbeat alone, which is asked only about times before the history begins.
type leaderClock struct {
	server uint64
	latest Observation
	jumped bool
}

const clockTolerance = 500 * time.Millisecond

func (c *leaderClock) observe(o *Observation) {
	if c.server != o.ServerID {
		*c = leaderClock{server: o.ServerID, latest: *o}
		return
	}
	drift := o.Clock.Sub(c.latest.Clock) - o.Received.Sub(c.latest.Received)
	// What the round trips themselves leave uncertain is no jump.
	slack := clockTolerance + o.Received.Sub(o.Sent) + c.latest.Received.Sub(c.latest.Sent)
	if drift > slack || drift < -slack {
		c.jumped = true
	}
	c.latest = *o
}

// age returns how old a heartbeat is that a probe saw, whose answer came at
// received. Both ends are the leader's clock; false when that clock was set
// meanwhile and they cannot be compared.
func (c *leaderClock) age(written, received time.Time) (time.Duration, bool) {
	if c.jumped || c.server == 0 {
		return 0, false
	}
	now := c.latest.Clock.Add(received.Sub(c.latest.Sent))
	age := now.Sub(written)
	return age, age >= 0
}

// flavor is what the nodes are; the leader's word counts most.
func (j *judge) flavor() gtid.Flavor {
	if l := j.member(j.leader); l != nil && l.seen {
		return l.obs.Flavor
	}
	for _, m := range j.members {
		if m.seen {
			return m.obs.Flavor
		}
	}
	return j.cfg.Flavor
}
