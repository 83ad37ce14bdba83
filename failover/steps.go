package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// act gives the actions with which a step begins.
func (o *operation) act(m *Machine) {
	switch o.step {
	case stepClaim:
		o.publish(m, o.claim(m))
	case stepFence:
		m.do(Action{Kind: Fence, Node: o.from, Epoch: o.epoch}, m.cfg.FenceTimeout)
	case stepRevoke:
		o.actRevoke(m)
	case stepDrain:
		o.actDrain(m)
	case stepPublish:
		if m.now.Before(o.leasesEnd(m)) {
			o.entered = false
			o.notTil = o.leasesEnd(m)
			return
		}
		o.publish(m, o.publication(m))
	case stepOpen:
		m.do(Action{Kind: Open, Node: o.choice.Node, Epoch: o.epoch, Acks: m.rec.Acks}, m.cfg.StepTimeout)
	case stepRepoint:
		o.actRepoint(m)
	case stepFinish:
		next := m.rec.Clone()
		next.Change = nil
		o.publish(m, next)
	}
}

func (o *operation) publish(m *Machine, next topology.Record) {
	m.do(Action{Kind: Publish, Epoch: next.Epoch, Record: next}, m.cfg.StepTimeout)
}

// claim is the record with a new epoch and the change that begins.
func (o *operation) claim(m *Machine) topology.Record {
	next := m.rec.Clone()
	next.Epoch = m.rec.Epoch + 1
	o.epoch = next.Epoch
	next.Change = &topology.Change{
		Kind: o.kind, Phase: topology.PhaseClaimed, From: o.from, To: o.wanted, Owner: m.cfg.Self, Began: o.began.Round(0).UTC(),
	}
	if o.kind == topology.KindAdopt {
		next.Members = m.cfg.Names()
		if l := m.view(m.now).node(o.from); l != nil && l.Up() {
			next.Acks = max(0, min(m.cfg.Acks, l.Best.Acks))
		}
	}
	return next
}

// publication is the record in which the chosen one reigns. Until K followers are
// known to hold what it was opened with, all nodes count (see quorum).
func (o *operation) publication(m *Machine) topology.Record {
	next := m.rec.Clone()
	next.Epoch = o.epoch
	if o.kind == topology.KindAdopt {
		next.Reign, next.Leader = o.epoch, o.choice.Node
		next.Change.Phase, next.Change.To = topology.PhasePublished, o.choice.Node
		return next
	}
	if !o.undo {
		next.Acks = m.cfg.Acks
		next.Bury(o.drained.String())
		if o.automatic {
			next.Failovers = append(next.Failovers, m.now.Round(0).UTC())
			next.Failovers = next.Failovers[max(0, len(next.Failovers)-mostFailovers):]
		}
	}
	next.Publish(o.choice.Node, m.cfg.Names())
	return next
}

// mostFailovers is how many times of failovers the record keeps.
const mostFailovers = 16

// leasesEnd is until when another proxy may route writes to the old leader: never
// past now once that one is fenced, or cannot acknowledge anything to anybody.
func (o *operation) leasesEnd(m *Machine) time.Time {
	if o.fenced || o.undo || m.acksInForce() > 0 && !o.force {
		return time.Time{}
	}
	return o.claimedAt.Add(m.cfg.LeaseTTL)
}

func (o *operation) actRevoke(m *Machine) {
	for _, n := range m.acceptors() {
		if !o.isRevoked(n) && !m.waiting(Revoke, n) {
			m.do(Action{Kind: Revoke, Node: n, Epoch: o.epoch}, m.cfg.StepTimeout)
		}
	}
	if o.kind != topology.KindSwitchover && !o.fenced && !m.waiting(Fence, o.from) {
		m.do(Action{Kind: Fence, Node: o.from, Epoch: o.epoch}, m.cfg.FenceTimeout)
		m.do(Action{Kind: RunHook, Node: o.from, Epoch: o.epoch, Event: "fence"}, m.cfg.FenceTimeout)
	}
}

// actDrain brings the candidate to all that is durable on those that were revoked,
// and to all that the old leader has where that one is fenced and can be read. Where writes are
// acknowledged by followers nobody was told of what the old leader alone has: one that cannot give
// it at once, as its disk is full, is not waited for.
func (o *operation) actDrain(m *Machine) {
	a := Action{Kind: Drain, Node: o.choice.Node, From: o.choice.From, Epoch: o.epoch, Until: o.choice.Until}
	if o.fenced && !o.pulled && !a.Until.Contains(o.fencePos) {
		a.From, a.Until = o.from, a.Until.Union(o.fencePos)
		a.Brief = o.kind == topology.KindFailover && m.acksInForce() > 0
	}
	m.do(a, m.cfg.TimeFor(&a))
}

// actRepoint lets the others follow the new leader, but for one that led before and nobody has
// compared since: it is a stray, which repair brings back.
func (o *operation) actRepoint(m *Machine) {
	if o.kind == topology.KindAdopt {
		return
	}
	v := m.view(m.now)
	for _, n := range v.Nodes {
		handedOver := o.kind == topology.KindSwitchover && o.fenced && n.Name == o.from && o.drained.Contains(o.fencePos)
		joins := o.isRevoked(n.Name) || (o.undo || o.names == nil) && n.Up() && n.Name != o.from
		if n.Name != o.choice.Node && (handedOver || joins && !m.uncompared(n)) {
			m.do(Action{Kind: Repoint, Node: n.Name, Leader: o.choice.Node, Epoch: o.epoch}, m.cfg.StepTimeout)
			o.pointed = append(o.pointed, n.Name)
		}
	}
}

// check moves on when the step has what it needs.
func (o *operation) check(m *Machine) {
	switch o.step {
	case stepRevoke:
		o.checkRevoke(m)
	case stepRepoint:
		busy := m.waiting(Repoint, "")
		if !o.released && (!busy || o.repoints >= max(1, m.rec.Acks)) {
			o.released = true
		}
		if o.released {
			o.enter(m, stepFinish)
		}
	default:
	}
}

func (o *operation) checkRevoke(m *Machine) {
	have, need := len(o.names), m.quorum()
	if m.waiting(Revoke, "") && m.anyExpected() && m.now.Sub(o.since) < m.cfg.StepTimeout {
		return
	}
	if o.kind != topology.KindSwitchover && m.acksInForce() == 0 && m.waiting(Fence, "") && m.expected(o.from) {
		return // without acknowledgements the old leader alone may hold the newest writes
	}
	if have < need && (!o.force || have == 0) {
		if m.waiting(Revoke, "") {
			return
		}
		o.short(m, fmt.Sprintf("%d of %d acceptors were revoked, %d must be", have, len(m.acceptors()), need))
		return
	}
	choice, err := Choose(o.candidates(m), m.zoneOf(o.from), o.wanted, o.force)
	if err != nil {
		o.short(m, err.Error())
		return
	}
	o.choice = choice
	text := "holds everything that the others hold"
	if have < need {
		text = fmt.Sprintf("by force: whatever %s and %s have beyond it may have been acknowledged, and is lost", o.from, strings.Join(o.missing(m), ", "))
	}
	if !choice.Lost.IsEmpty() {
		text += "; these are lost for sure: " + choice.Lost.String()
	}
	m.report(Action{Event: "chosen", Node: choice.Node, From: choice.From, Epoch: o.epoch, Until: choice.Until, Text: text})
	o.enter(m, stepDrain)
}

// missing names the acceptors that were not revoked.
func (o *operation) missing(m *Machine) []string {
	return slices.DeleteFunc(m.acceptors(), o.isRevoked)
}

// short is when the step cannot be done for now: it is undone where the old
// leader is well, else tried again.
func (o *operation) short(m *Machine, why string) {
	if o.goBack(m, why) {
		return
	}
	o.failed++
	if o.failed == 1 {
		m.report(Action{Event: "blocked", Node: o.from, Epoch: o.epoch, Text: why})
	}
	o.entered = false
	o.notTil = m.now.Add(m.cfg.StepTimeout / 4)
}

// goBack turns the change into one back to the old leader, if that one answers.
// Nobody else can have been opened in this epoch before publish.
func (o *operation) goBack(m *Machine, why string) bool {
	f := m.view(m.now).node(o.from)
	well := f != nil && f.Mine != nil && f.Mine.answered() && !f.Rebooted && f.Mine.Writes != WritesHang && f.Mine.Writes != WritesDiskFull
	if !well || o.step >= stepPublish || o.undo {
		return false
	}
	o.undo, o.choice, o.why = true, Choice{Node: o.from}, why
	m.pending = nil
	m.report(Action{Event: "undo", Node: o.from, Epoch: o.epoch, Text: why})
	o.enter(m, stepPublish)
	return true
}

// expected reports whether we have seen the node answer lately.
func (m *Machine) expected(node string) bool {
	n := m.view(m.now).node(node)
	return n != nil && n.Mine != nil && n.Mine.answered()
}

func (m *Machine) anyExpected() bool {
	return slices.ContainsFunc(m.pending, func(p pending) bool {
		return p.action.Kind == Revoke && m.expected(p.action.Node)
	})
}

func (m *Machine) zoneOf(node string) string {
	for i := range m.cfg.Nodes {
		if m.cfg.Nodes[i].Name == node {
			return m.cfg.Nodes[i].Zone
		}
	}
	return ""
}

// candidates are the revoked ones with what they hold.
func (o *operation) candidates(m *Machine) []Candidate {
	var cs []Candidate
	v := m.view(m.now)
	for i := range m.cfg.Nodes {
		n := &m.cfg.Nodes[i]
		at := slices.Index(o.names, n.Name)
		if at < 0 {
			continue
		}
		c := Candidate{
			Name: n.Name, Executed: o.revoked[at].Executed, Received: o.revoked[at].Received.Union(o.revoked[at].Executed),
			Promotion: n.Promotion, Zone: n.Zone, Order: i,
		}
		if s := v.node(n.Name); s != nil && s.Best != nil {
			c.Errant, c.Version, c.Lag = s.Best.Errant, s.Best.Version, s.Best.Lag
			if c.Errant.IsEmpty() && m.uncompared(s) {
				c.Doubtful = m.beyondReign(n.Name, c.holds())
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// result takes the result of an action of this change.
func (o *operation) result(m *Machine, a Action, d Done) {
	if d.Mark > o.epoch {
		m.dropOperation(fmt.Sprintf("%s holds epoch %d already", a.Node, d.Mark))
		return
	}
	switch a.Kind {
	case Publish:
		o.published(m, a, d)
	case Fence:
		o.fencing(m, d)
	case RunHook:
		o.fenced = o.fenced || d.Err == ""
	case Revoke:
		if d.Err == "" {
			o.names, o.revoked = append(o.names, a.Node), append(o.revoked, d)
		} else {
			m.report(Action{Event: "failed", Node: a.Node, Epoch: o.epoch, Text: "revoke: " + d.Err})
		}
	case Drain:
		o.draining(m, a, d)
	case Open:
		o.opened(m, a, d)
	case Repoint:
		if d.Err == "" {
			o.repoints++
		} else {
			m.report(Action{Event: "failed", Node: a.Node, Epoch: o.epoch, Text: "repoint: " + d.Err})
		}
	default:
	}
}

// same reports whether the stored record is what was to be stored: an attempt whose
// answer was lost had succeeded.
func same(a, b *topology.Record) bool {
	if a.Epoch != b.Epoch || a.Leader != b.Leader || a.Reign != b.Reign || (a.Change == nil) != (b.Change == nil) {
		return false
	}
	return a.Change == nil || a.Change.Owner == b.Change.Owner && a.Change.Phase == b.Change.Phase &&
		a.Change.Kind == b.Change.Kind && a.Change.Began.Equal(b.Change.Began)
}

func (o *operation) published(m *Machine, a Action, d Done) {
	if d.Err != "" && !d.Conflict || d.Conflict && d.Record.Revision == 0 {
		// It may or may not have been stored. The same again will tell.
		o.hurt(m, a, d)
		o.entered = false
		if o.step == stepClaim {
			// The same epoch and time, for same to recognise.
			o.epoch = a.Record.Epoch
		}
		return
	}
	if d.Conflict && !same(&a.Record, &d.Record) {
		m.dropOperation("another coordinator replaced the record")
		return
	}
	m.rec = d.Record.Clone()
	switch o.step {
	case stepClaim:
		o.claimed, o.claimedAt = true, m.now
		switch {
		case o.undo:
			o.choice = Choice{Node: o.from}
			o.enter(m, stepPublish)
		case o.kind == topology.KindSwitchover:
			o.enter(m, stepFence)
		default:
			o.enter(m, stepRevoke)
		}
	case stepPublish:
		m.problems = nil
		m.forgetBoot()
		if m.rec.Leader != o.from {
			m.forgetLineage()
		}
		o.enter(m, stepOpen)
	case stepFinish:
		o.finish(m)
	default:
	}
}

func (o *operation) fencing(m *Machine, d Done) {
	o.fenced = o.fenced || d.Err == ""
	if d.Err == "" {
		o.fencePos = d.Executed
	}
	if o.step != stepFence {
		return
	}
	switch {
	case d.Err == "":
		o.enter(m, stepRevoke)
	case !o.goBack(m, "the leader could not be made read-only in time: "+d.Err):
		// It died on the way.
		o.kind = topology.KindFailover
		o.enter(m, stepRevoke)
	}
}

func (o *operation) draining(m *Machine, a Action, d Done) {
	switch {
	case d.Err == "" && d.Executed.Contains(a.Until):
		o.drained = d.Executed
		o.enter(m, stepPublish)
	case o.kind == topology.KindSwitchover && o.goBack(m, "the candidate did not catch up: "+d.Err):
	case a.From == o.from && !o.pulled:
		o.pulled, o.entered = true, false // without what only the old leader has
	default:
		o.hurt(m, a, d)
		if o.entered = false; o.failed >= 2 && len(o.names) > 1 {
			// Another one may do: ask all again what they hold.
			o.names, o.revoked = nil, nil
			o.enter(m, stepRevoke)
		}
	}
}

func (o *operation) opened(m *Machine, a Action, d Done) {
	if d.Err == "" {
		o.enter(m, stepRepoint)
		return
	}
	o.hurt(m, a, d)
	o.entered = false
	if o.failed >= 3 && m.ripe(RespondFailover, a.Node) != nil && m.revocable(m.view(m.now)) >= m.quorum() {
		m.dropOperation("the new leader is gone before it was opened for sure")
	}
}

func (o *operation) finish(m *Machine) {
	m.op, m.pending = nil, nil
	text := fmt.Sprintf("%s leads in epoch %d after %v", m.rec.Leader, m.rec.Reign, m.now.Sub(o.began))
	err := ""
	if o.undo && o.kind != topology.KindAdopt {
		text, err = "undone: "+o.why, "undone: "+o.why
	}
	m.pointed = nil
	if !o.undo && o.names != nil {
		m.pointed = append([]string{}, o.pointed...)
	}
	m.report(Action{Event: "finished", Node: m.rec.Leader, Epoch: o.epoch, Until: o.drained, Text: text})
	m.tell(Action{Kind: RunHook, Node: m.rec.Leader, From: o.from, Epoch: o.epoch, Event: "finished"})
	if o.asked {
		m.tell(Action{Kind: Answer, Request: o.request, Node: m.rec.Leader, Epoch: o.epoch, Text: text, Err: err})
	}
}
