package failover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Machine is the failover state of one proxy. Only [Machine.Step] changes it.
type Machine struct {
	cfg Config
	now time.Time // of the present step

	stepped time.Time // of the last step; a long gap means that we did not look
	met     bool      // Coordination has come once
	held    bool
	noLease bool
	rec     topology.Record

	sights   []Sight              // the newest by observer and node, sorted so
	aliveAt  map[string]time.Time // by node
	bootSeen time.Time            // when the leader had been started, seen while it took writes in this reign
	rebooted bool                 // the leader has started anew since
	closed   bool                 // it is read-only: nobody has received anything new from it
	blind    bool                 // it was not us who saw it before, so that floor is of after it only
	floor    gtid.Set             // what followers had received before that

	lineage   map[string]compared // what came of comparing those who follow with this leader
	startedAt time.Time           // when the leader had been started, as it was first seen in this reign
	anew      bool                // it has been started anew since

	problems  []Problem
	unblocked time.Time // failovers before it do not count
	blockedBy string    // why the last wish for a failover was not followed, told once

	op       *operation
	pointed  []string  // whom this machine pointed at the leader that it opened; nil when it opened none
	requests []Request // that came and have not been looked at

	route    writes
	pending  []pending
	repairs  []repair
	acksAt   time.Time // when the leader was last told how many acknowledgements to wait for
	nextID   uint64
	produced []Action
}

// writes is what the proxy was last told about statements that write.
type writes struct {
	told  bool
	held  bool
	node  string
	epoch uint64
}

// pending is an action whose result is awaited.
type pending struct {
	action   Action
	deadline time.Time // after it the result counts as an error
}

// repair is work on one node beside any change of leader.
type repair struct {
	node   string
	code   string
	id     uint64 // of the action under way; 0 when none is
	own    bool   // the node was found to hold what the leader does not
	tries  int
	notTil time.Time
}

// New returns a machine that knows nothing yet.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg, aliveAt: make(map[string]time.Time)}
}

// Reconfigure replaces the policy. A change that is under way goes on with the new one.
func (m *Machine) Reconfigure(cfg Config) {
	m.cfg = cfg
	m.sights = slices.DeleteFunc(m.sights, func(s Sight) bool { return !m.configured(s.Node) })
}

// Record is the newest record that the machine knows.
func (m *Machine) Record() topology.Record { return m.rec.Clone() }

// Counting are the nodes whose commits may count for an acknowledgement: members of the
// record, and, as long as it is not settled who of them follows this leader, among those that
// this machine has pointed at it.
func (m *Machine) Counting() []string {
	if m.pointed == nil {
		return slices.Clone(m.rec.Members)
	}
	return slices.DeleteFunc(slices.Clone(m.rec.Members), func(n string) bool { return n != m.rec.Leader && !slices.Contains(m.pointed, n) })
}

// Problems are those that hold now, for people. The first is the leader's, if any.
func (m *Machine) Problems() []Problem { return slices.Clone(m.problems) }

// Changing says which step of a change this machine drives; "" for none.
func (m *Machine) Changing() string {
	if m.op == nil {
		return ""
	}
	return m.op.step.String()
}

// Step takes an event at a time, and returns what is to be done now.
func (m *Machine) Step(ev Event, now time.Time) []Action {
	m.now, m.produced = now, nil
	if !m.stepped.IsZero() && now.Sub(m.stepped) > m.cfg.Pause {
		m.overslept()
	}
	m.stepped = now
	m.take(ev)
	m.expire()
	m.judge()
	for m.advance() {
	}
	m.answerRequests()
	for m.advance() {
	}
	m.repair()
	m.tellWrites()
	return m.produced
}

// overslept forgets what was seen: nobody looked for so long that silence proves nothing.
func (m *Machine) overslept() {
	m.sights = nil
	m.problems = nil
	for n := range m.aliveAt {
		m.aliveAt[n] = m.now
	}
}

// Forget drops what was seen until now: somebody else has changed the nodes since.
func (m *Machine) Forget(now time.Time) {
	m.now = now
	m.overslept()
}

func (m *Machine) take(ev Event) {
	switch ev := ev.(type) {
	case Tick:
	case Seen:
		m.see(ev.Sight)
	case Coordination:
		m.coordinate(ev)
	case Request:
		m.requests = append(m.requests, ev)
	case Done:
		m.done(ev)
	}
}

func (m *Machine) see(s Sight) {
	if !m.configured(s.Node) {
		return
	}
	at, found := slices.BinarySearchFunc(m.sights, s, func(a, b Sight) int {
		return cmp.Or(cmp.Compare(a.Observer, b.Observer), cmp.Compare(a.Node, b.Node))
	})
	switch {
	case !found:
		m.sights = slices.Insert(m.sights, at, s)
	case s.At.Before(m.sights[at].At):
		return // it was overtaken
	default:
		m.sights[at] = s
	}
	if s.alive() {
		m.lives(s.Node, s.At)
	}
	if l := s.Link; l != nil && s.answered() && l.Receiving {
		if heard := l.Heard; heard.IsZero() {
			m.lives(l.Source, s.At)
		} else {
			m.lives(l.Source, heard)
		}
	}
	if s.answered() && s.Node == m.rec.Leader && s.Observer == m.cfg.Self && !s.Booted.IsZero() {
		m.anew = m.anew || !m.startedAt.IsZero() && s.Booted.After(m.startedAt)
		m.startedAt = s.Booted
	}
	switch {
	case !s.answered() || m.op != nil:
	case s.Node != m.rec.Leader:
		if (!m.rebooted || m.closed) && !s.Copying {
			has := s.Executed
			if s.Link != nil && s.Link.Source == m.rec.Leader {
				has = has.Union(s.Received) // it may have acknowledged what it has not applied
			}
			m.floor = m.floor.Union(has.Subtract(s.Errant))
		}
	case m.bootSeen.IsZero():
		m.closed = s.ReadOnly
		switch {
		case !s.ReadOnly:
			m.bootSeen = s.Booted
		case s.Restarted && s.Epoch == m.rec.Reign:
			// It was opened in this reign, and started anew before we looked.
			m.bootSeen, m.rebooted, m.blind = s.Booted.Add(-time.Second), true, true
		}
	case s.Booted.After(m.bootSeen):
		m.rebooted, m.closed = true, s.ReadOnly
		if !s.ReadOnly && s.Executed.Contains(m.floor) {
			m.bootSeen, m.rebooted, m.blind = s.Booted, false, false // it lost nothing and goes on
		}
	}
}

func (m *Machine) lives(node string, at time.Time) {
	if at.After(m.aliveAt[node]) {
		m.aliveAt[node] = at
	}
}

// coordinate takes in who coordinates and what the record says.
func (m *Machine) coordinate(ev Coordination) {
	was := m.held
	m.met, m.held, m.noLease = true, ev.Held, ev.NoLease
	if ev.Record.Revision >= m.rec.Revision {
		m.setRecord(ev.Record)
	}
	if !m.held {
		m.repairs = nil
		m.dropOperation("coordination was lost: a successor finishes or undoes it")
	}
	if m.held && !was {
		m.report(Action{Event: "coordination", Text: "this proxy coordinates"})
	}
}

// setRecord takes a newer record. A change that another one made ends ours.
func (m *Machine) setRecord(r topology.Record) {
	if r.Leader != m.rec.Leader || r.Reign != m.rec.Reign {
		m.problems, m.pointed = nil, nil
		m.forgetLineage()
		m.forgetBoot()
	}
	m.rec = r.Clone()
	if o := m.op; o != nil && o.claimed && (r.Epoch != o.epoch || r.Change == nil && o.step < stepFinish) {
		m.dropOperation(fmt.Sprintf("another coordinator took epoch %d", r.Epoch))
	}
}

// forgetBoot begins anew to know when the leader was started.
func (m *Machine) forgetBoot() {
	m.bootSeen, m.rebooted, m.closed, m.blind, m.floor = time.Time{}, false, false, false, gtid.Set{}
}

func (m *Machine) configured(node string) bool {
	return slices.ContainsFunc(m.cfg.Nodes, func(n NodeConfig) bool { return n.Name == node })
}

// do gives an action a number and waits for its result.
func (m *Machine) do(a Action, timeout time.Duration) uint64 {
	m.nextID++
	a.ID = m.nextID
	m.produced = append(m.produced, a)
	m.pending = append(m.pending, pending{a, m.now.Add(timeout)})
	return a.ID
}

// tell is an action that has no result.
func (m *Machine) tell(a Action) {
	m.nextID++
	a.ID = m.nextID
	m.produced = append(m.produced, a)
}

func (m *Machine) report(a Action) {
	a.Kind = Report
	m.tell(a)
}

// waiting reports whether a result of that kind is awaited; of that node unless "".
func (m *Machine) waiting(kind ActionKind, node string) bool {
	return slices.ContainsFunc(m.pending, func(p pending) bool {
		return p.action.Kind == kind && (node == "" || p.action.Node == node)
	})
}

// expire turns results that did not come into errors.
func (m *Machine) expire() {
	for {
		i := slices.IndexFunc(m.pending, func(p pending) bool { return !m.now.Before(p.deadline) })
		if i < 0 {
			return
		}
		m.done(Done{ID: m.pending[i].action.ID, Err: "no result in time"})
	}
}

// done takes a result. One that nobody waits for any more changes nothing, but
// for a record, which is true in any case.
func (m *Machine) done(d Done) {
	if d.Record.Revision > m.rec.Revision {
		defer m.learn(d)
	}
	i := slices.IndexFunc(m.pending, func(p pending) bool { return p.action.ID == d.ID })
	if i < 0 {
		return
	}
	a := m.pending[i].action
	m.pending = slices.Delete(m.pending, i, i+1)
	m.lineageTold(&a, &d)
	for j := range m.repairs {
		if m.repairs[j].id == d.ID {
			m.repaired(&m.repairs[j], a, d)
			return
		}
	}
	if m.op != nil {
		m.op.result(m, a, d)
	}
}

func (m *Machine) learn(d Done) {
	if d.Record.Revision > m.rec.Revision {
		m.setRecord(d.Record)
	}
}

// judge finds the problems, and keeps since when each has held.
func (m *Machine) judge() {
	if !m.met {
		return
	}
	found := match(m.view(m.now))
	for i := range found {
		p := &found[i]
		j := slices.IndexFunc(m.problems, func(o Problem) bool { return o.Rule == p.Rule && o.Node == p.Node })
		if j >= 0 {
			p.Since = m.problems[j].Since
			continue
		}
		m.report(Action{Event: "problem", Node: p.Node, Code: p.Rule.Code, Text: p.Text})
	}
	for i := range m.problems {
		p := &m.problems[i]
		if !slices.ContainsFunc(found, func(o Problem) bool { return o.Rule == p.Rule && o.Node == p.Node }) {
			m.report(Action{Event: "problem-over", Node: p.Node, Code: p.Rule.Code})
		}
	}
	m.problems = found
}

// ripe returns the problem of that response that has held for long enough.
func (m *Machine) ripe(response Response, node string) *Problem {
	for i := range m.problems {
		p := &m.problems[i]
		hold := time.Duration(0)
		if p.Rule.Hold != nil {
			hold = p.Rule.Hold(&m.cfg)
		}
		if p.Rule.Response == response && (node == "" || p.Node == node) && m.now.Sub(p.Since) >= hold {
			return p
		}
	}
	return nil
}

// leaderProblem is the problem of the leader, or nil.
func (m *Machine) leaderProblem() *Problem {
	if len(m.problems) > 0 && m.problems[0].Rule.Leader {
		return &m.problems[0]
	}
	return nil
}

// tellWrites holds and releases statements that write: while a change is under
// way, and while nobody listens at the leader's address.
func (m *Machine) tellWrites() {
	if !m.met {
		return
	}
	want := writes{told: true}
	want.node, want.epoch = m.rec.Writable()
	if o := m.op; o != nil {
		want.node, want.epoch = "", 0
		if o.released {
			want.node, want.epoch = m.rec.Leader, m.rec.Reign
		}
	}
	p := m.leaderProblem()
	if m.noLease || p != nil && p.Rule.Code == "leader-gone" && m.op == nil && m.cfg.Automatic && m.blockedBy == "" {
		want.node, want.epoch = "", 0
	}
	want.held = want.node == ""
	if want == m.route {
		return
	}
	m.route = want
	if want.held {
		m.tell(Action{Kind: HoldWrites})
		return
	}
	m.tell(Action{Kind: ReleaseWrites, Node: want.node, Epoch: want.epoch})
}
