package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// step is where a change stands.
type step uint8

const (
	stepClaim step = iota
	stepFence      // switchover: the old leader lets its transactions end and becomes read-only
	stepRevoke
	stepDrain
	stepPublish
	stepOpen
	stepRepoint
	stepFinish
)

func (s step) String() string {
	return [...]string{"claim", "fence", "revoke", "drain", "publish", "open", "repoint", "finish"}[s]
}

// operation is a change of leader that this machine drives.
type operation struct {
	kind      topology.ChangeKind
	step      step
	entered   bool // the actions of the step were given
	epoch     uint64
	claimed   bool
	claimedAt time.Time
	began     time.Time
	since     time.Time // of the step
	from      string
	wanted    string // "" for the best
	automatic bool
	force     bool
	undo      bool // back to from
	why       string
	request   uint64
	asked     bool // by a request, which is answered at the end

	revoked  []Done // by node: see revokedNames
	names    []string
	fenced   bool // from refuses writes for sure
	fencePos gtid.Set
	choice   Choice
	drained  gtid.Set
	pulled   bool // draining from the old leader was given up
	released bool
	failed   int
	notTil   time.Time
	pointed  []string // who was told to follow the new leader, whether or not it did
	repoints int      // that succeeded
}

// enter is the only way in which a change moves on.
func (o *operation) enter(m *Machine, s step) {
	o.step, o.entered, o.since, o.failed, o.notTil = s, false, m.now, 0, time.Time{}
	m.report(Action{Event: "step", Node: o.choice.Node, Epoch: o.epoch, Text: s.String()})
}

// begin starts a change. Its first step claims an epoch.
func (m *Machine) begin(o *operation) {
	o.began, o.since = m.now, m.now
	o.epoch = m.rec.Epoch + 1
	m.op = o
	m.blockedBy = ""
	m.repairs = nil
	m.pending = nil
	m.report(Action{Event: string(o.kind), Node: o.from, Epoch: o.epoch, Text: o.why})
}

// dropOperation leaves a change to whoever coordinates.
func (m *Machine) dropOperation(why string) {
	o := m.op
	if o == nil {
		return
	}
	m.op, m.pending = nil, nil
	m.report(Action{Event: "dropped", Node: o.from, Epoch: o.epoch, Text: why})
	if o.asked {
		m.tell(Action{Kind: Answer, Request: o.request, Err: why})
	}
}

// advance starts what should be started and moves a change on by one step; it
// returns whether there may be more to do.
func (m *Machine) advance() bool {
	if !m.met || !m.held {
		return false
	}
	if m.op == nil {
		return m.start()
	}
	o := m.op
	at := o.step
	if m.now.Before(o.notTil) {
		return false
	}
	if !o.entered && o.step == stepClaim && o.overtaken(m) {
		m.dropOperation("another coordinator changed the leader before this one claimed it")
		return true
	}
	if !o.entered {
		o.entered = true
		o.act(m)
	}
	o.check(m)
	return m.op != o || o.step != at
}

// overtaken says that the leader to be replaced is not the record's any more: a claim
// whose answer was lost is made again, and the record may be another one by then.
func (o *operation) overtaken(m *Machine) bool {
	if o.kind == topology.KindAdopt {
		return m.rec.Leader != ""
	}
	return m.rec.Leader != o.from
}

// start decides whether a change begins: a predecessor's, the first leader's, or
// one that a problem calls for.
func (m *Machine) start() bool {
	switch {
	case m.rec.Change != nil:
		return m.succeed()
	case m.rec.Leader == "":
		return m.adopt()
	}
	p := m.ripe(RespondFailover, "")
	if p == nil || !m.cfg.Automatic {
		return false
	}
	if why := m.forbidden(); why != "" {
		if m.blockedBy != why {
			m.blockedBy = why
			m.report(Action{Event: "blocked", Node: p.Node, Code: p.Rule.Code, Text: why})
		}
		return false
	}
	m.begin(&operation{
		kind: topology.KindFailover, from: m.rec.Leader, automatic: true, why: p.Rule.Code + ": " + p.Text,
		// What it has written since stands on another ground than what the others have.
		pulled: p.Rule == lostData,
	})
	return true
}

// succeed takes up a predecessor's change. After publish the new leader may be
// open: the very same epoch is finished. Before it nobody new is, so it begins
// again in an epoch of its own; a switchover whose leader lives is undone.
func (m *Machine) succeed() bool {
	ch := m.rec.Change
	v := m.view(m.now)
	o := &operation{kind: ch.Kind, from: ch.From, wanted: ch.To}
	if ch.Phase == topology.PhasePublished {
		if p := m.ripe(RespondFailover, ""); p != nil && m.cfg.Automatic {
			o.kind, o.from, o.wanted, o.why = topology.KindFailover, m.rec.Leader, "", "the new leader is gone before it was opened for sure"
			m.begin(o)
			return true
		}
		o.why = "finish what " + ch.Owner + " began"
		m.begin(o)
		o.epoch, o.claimed, o.began = m.rec.Epoch, true, ch.Began
		o.choice = Choice{Node: m.rec.Leader}
		o.undo = m.rec.Leader == ch.From
		o.enter(m, stepOpen)
		return true
	}
	from := v.node(ch.From)
	switch {
	case from != nil && from.Up() && ch.Kind == topology.KindSwitchover:
		o.undo, o.why = true, "undo the switchover that "+ch.Owner+" began"
	case from != nil && from.Up() && from.Best.alive() && m.leaderProblem() == nil:
		o.undo, o.why = true, "the leader is well again: undo the failover that "+ch.Owner+" began"
	case m.revocable(v) < m.quorum():
		return false // more followers must be seen first
	default:
		o.kind, o.wanted, o.why = topology.KindFailover, "", "begin again what "+ch.Owner+" began"
	}
	m.begin(o)
	return true
}

// adopt writes down the first leader.
func (m *Machine) adopt() bool {
	if m.ripe(RespondAdopt, "") == nil {
		return false
	}
	w := m.view(m.now).first()
	if w == nil {
		return false
	}
	m.begin(&operation{kind: topology.KindAdopt, from: w.Name, undo: true, why: "the first leader"})
	m.op.choice = Choice{Node: w.Name}
	return true
}

// forbidden says why an automatic failover must not begin now; "" when it may.
func (m *Machine) forbidden() string {
	v := m.view(m.now)
	if n, need := m.revocable(v), m.quorum(); n < need {
		return fmt.Sprintf("%d followers can be reached and %d must be, to be sure that the old leader can acknowledge nothing", n, need)
	}
	var recent []time.Time
	for _, t := range m.rec.Failovers {
		if t.After(m.unblocked) && m.now.Sub(t) < max(m.cfg.Window, m.cfg.MinInterval) {
			recent = append(recent, t)
		}
	}
	if len(recent) == 0 {
		return ""
	}
	if last := recent[len(recent)-1]; m.now.Sub(last) < m.cfg.MinInterval {
		return "the last failover is not long enough ago"
	}
	recent = slices.DeleteFunc(recent, func(t time.Time) bool { return m.now.Sub(t) >= m.cfg.Window })
	if m.cfg.MaxFailovers > 0 && len(recent) >= m.cfg.MaxFailovers {
		return fmt.Sprintf("there were %d failovers already: a person must look first", len(recent))
	}
	return ""
}

// acceptors are the members but the leader that is left.
func (m *Machine) acceptors() []string {
	from := m.rec.Leader
	if m.op != nil && m.op.from != "" {
		from = m.op.from
	}
	return slices.DeleteFunc(slices.Clone(m.rec.Members), func(n string) bool { return n == from })
}

// quorum is how many acceptors must be revoked: N-K+1, so that fewer than K are
// left. Before the reign is settled, a write of the reign before is sure to be on K-1
// of them only, so one more is needed, or all. Without acknowledgements any one
// will do, for there is nothing that must be kept.
func (m *Machine) quorum() int {
	n, k := len(m.acceptors()), m.acksInForce()
	switch {
	case k == 0:
		return 1
	case !m.rec.Settled:
		return min(n, n-k+2)
	default:
		return n - k + 1
	}
}

// acksInForce is how many acknowledgements each write of this reign has had.
func (m *Machine) acksInForce() int { return m.rec.Acks }

// revocable counts the acceptors that answer us.
func (m *Machine) revocable(v *View) int {
	n := 0
	for _, name := range m.acceptors() {
		if f := v.node(name); f != nil && f.Mine != nil && f.Mine.answered() {
			n++
		}
	}
	return n
}

// hurt reports an action that failed, and says when the step is tried again.
func (o *operation) hurt(m *Machine, a Action, d Done) {
	o.failed++
	o.notTil = m.now.Add(m.cfg.StepTimeout / 8 * time.Duration(min(o.failed, 8)))
	m.report(Action{Event: "failed", Node: a.Node, Epoch: o.epoch, Text: a.Kind.String() + ": " + d.Err})
}

func (o *operation) isRevoked(node string) bool { return slices.Contains(o.names, node) }
