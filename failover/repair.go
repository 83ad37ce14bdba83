package failover

import (
	"fmt"
	"slices"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// repair does what the coordinator does while no change is under way: stray
// writers are fenced, strayed followers brought back, the leader reopened after a
// restart, and the record kept true to what the servers promise. One action at a time
// for each node, with growing pauses after failures.
func (m *Machine) repair() {
	if !m.held || m.op != nil || m.rec.Change != nil || m.rec.Leader == "" {
		return
	}
	m.tend()
	defer m.compare()
	m.repairs = slices.DeleteFunc(m.repairs, func(r repair) bool {
		return r.id == 0 && !slices.ContainsFunc(m.problems, func(p Problem) bool { return p.Node == r.node && p.Rule.Code == r.code })
	})
	for i := range m.problems {
		p := &m.problems[i]
		a, ok := m.remedy(p)
		if !ok {
			continue
		}
		at := slices.IndexFunc(m.repairs, func(r repair) bool { return r.node == p.Node })
		if at < 0 {
			m.repairs = append(m.repairs, repair{node: p.Node, code: p.Rule.Code})
			at = len(m.repairs) - 1
		}
		if r := &m.repairs[at]; r.id == 0 && !m.now.Before(r.notTil) {
			timeout := m.cfg.StepTimeout
			if a.Kind == RescueAndRejoin {
				timeout = never / 2 // it may copy a whole server; the executor says how it ends
			}
			if a.Leader != "" && m.pointed != nil {
				m.pointed = append(m.pointed, a.Node)
			}
			r.code, r.id = p.Rule.Code, m.do(a, timeout)
		}
	}
}

// remedy is the action against a problem, if there is one.
func (m *Machine) remedy(p *Problem) (Action, bool) {
	a := Action{Node: p.Node, Epoch: m.rec.Reign, Code: p.Rule.Code}
	switch p.Rule.Response {
	case RespondFence:
		a.Kind = Fence
	case RespondOpen:
		a.Kind, a.Acks = Open, m.rec.Acks
	case RespondRepoint:
		if v := m.view(m.now); v.node(p.Node).Fork != "" && v.leaderStartedAnew() {
			return a, false // it is the leader that forked: nothing of it is to be had
		}
		if m.waiting(Publish, "") {
			return a, false // who the members are is being decided
		}
		if !slices.Contains(m.rec.Members, p.Node) {
			// It must count before it can acknowledge.
			m.publishIdle(func(next *topology.Record) { next.Members = m.withMember(p.Node) })
			return a, false
		}
		a.Kind, a.Leader = m.wayBack(p.Node), m.rec.Leader
		if r := m.reignOf(p.Node); a.Kind == RescueAndRejoin && r != nil {
			a.Text = r.Until
		}
	default:
		return a, false
	}
	return a, true
}

// wayBack says how a node returns. One whose transactions the leader all holds, and
// that never led, only has to be pointed at it; a leader of the past is compared, and so is who
// turned out to hold more when it was to be pointed at the leader: MariaDB's positions do not
// tell, and who follows a leader of the past may have had more from it since it was seen.
func (m *Machine) wayBack(node string) ActionKind {
	v := m.view(m.now)
	n := v.node(node)
	own := slices.ContainsFunc(m.repairs, func(r repair) bool { return r.node == node && r.own })
	if !own && m.reignOf(node) == nil && n.Fork == "" && n.Best.Errant.IsEmpty() && v.Leader.Best.Executed.Contains(n.Best.Executed) {
		return Repoint
	}
	return RescueAndRejoin
}

// reignOf is the latest reign of a node before the present one, or nil.
func (m *Machine) reignOf(node string) *topology.Reign {
	for i := len(m.rec.Past) - 1; i >= 0; i-- {
		if m.rec.Past[i].Leader == node {
			return &m.rec.Past[i]
		}
	}
	return nil
}

// uncompared reports whether a node led once and has followed nobody since: what it holds of
// its own nobody has looked at yet.
func (m *Machine) uncompared(n *NodeView) bool {
	return n.Up() && n.Best.Link == nil && m.reignOf(n.Name) != nil
}

// beyondReign is what a node holds behind the end of its latest reign: what it did not give
// to its successor, or what it has had from later leaders.
func (m *Machine) beyondReign(node string, holds gtid.Set) gtid.Set {
	until, err := gtid.Parse(holds.Flavor(), m.reignOf(node).Until)
	if err != nil {
		return holds
	}
	return holds.Subtract(until)
}

func (m *Machine) withMember(node string) []string {
	members := append(slices.Clone(m.rec.Members), node)
	slices.Sort(members)
	return slices.Compact(members)
}

func (m *Machine) repaired(r *repair, a Action, d Done) {
	r.id = 0
	r.tries++
	r.notTil = m.now.Add(m.cfg.StepTimeout * (1 << min(r.tries, 6)) / 4)
	if !d.Own.IsEmpty() {
		r.own, r.notTil = true, m.now
	}
	event, text := "repaired", a.Kind.String()
	if d.Err != "" {
		event, text = "failed", a.Kind.String()+": "+d.Err
	}
	m.report(Action{Event: event, Node: a.Node, Code: r.code, Epoch: a.Epoch, Text: text})
}

// publishIdle replaces the record while no change is under way.
func (m *Machine) publishIdle(change func(next *topology.Record)) {
	if m.waiting(Publish, "") {
		return
	}
	next := m.rec.Clone()
	change(&next)
	m.do(Action{Kind: Publish, Epoch: next.Epoch, Record: next}, m.cfg.StepTimeout)
}

// tend keeps what the record promises at or below what the leader does. Fewer
// acknowledgements are written down before the leader asks for fewer; more of them
// only after a write has had them, for then all writes before it have too.
func (m *Machine) tend() {
	l := m.view(m.now).Leader
	if l == nil || !l.Up() || l.Best.ReadOnly {
		return
	}
	if m.admit() {
		return
	}
	proven := l.Best.Writes == WritesWork && l.Best.Acks >= m.cfg.Acks && l.Best.Epoch == m.rec.Reign
	switch {
	case m.cfg.Acks < m.rec.Acks:
		m.publishIdle(func(next *topology.Record) { next.Acks = m.cfg.Acks })
	case l.Best.Acks >= 0 && l.Best.Acks != m.cfg.Acks:
		if !m.waiting(RequireAcks, "") && m.now.Sub(m.acksAt) >= m.cfg.StepTimeout {
			m.acksAt = m.now
			m.do(Action{Kind: RequireAcks, Node: l.Name, Epoch: m.rec.Reign, Acks: m.cfg.Acks}, m.cfg.StepTimeout)
		}
	case m.cfg.Acks > 0 && proven && (m.rec.Acks < m.cfg.Acks || !m.rec.Settled):
		m.publishIdle(func(next *topology.Record) {
			next.Acks, next.Settled = m.cfg.Acks, true
			if m.pointed != nil {
				// Only those that were pointed at this leader can have acknowledged to it.
				next.Members = append(slices.Clone(m.pointed), m.rec.Leader)
				slices.Sort(next.Members)
				next.Members = slices.Compact(next.Members)
			}
		})
	}
}

// admit lets those count that follow the leader, by whatever means they came to: with an
// engine they do so by themselves. Nobody counts whom the record, as it is or as it is about to
// be written, does not name as a member. It reports whether it replaces the record.
func (m *Machine) admit() bool {
	v := m.view(m.now)
	for _, f := range v.followers() {
		member := slices.Contains(m.rec.Members, f.Name)
		counts := member && (m.pointed == nil || slices.Contains(m.pointed, f.Name))
		if counts || !v.linked(f) || f.Best.Copying || !f.Best.Errant.IsEmpty() {
			continue
		}
		if m.waiting(Publish, "") {
			return true
		}
		if m.pointed != nil && !slices.Contains(m.pointed, f.Name) {
			m.pointed = append(m.pointed, f.Name)
		}
		if !member {
			m.publishIdle(func(next *topology.Record) { next.Members = m.withMember(f.Name) })
			return true
		}
	}
	return false
}

// answerRequests carries out or refuses what people ask for.
func (m *Machine) answerRequests() {
	if !m.met {
		return
	}
	for _, r := range m.requests {
		if r.Kind == AskUnblock {
			m.unblocked, m.blockedBy = m.now, ""
			m.tell(Action{Kind: Answer, Request: r.ID})
			continue
		}
		stopped := m.stopped(r)
		var reasons []string
		if stopped == nil {
			reasons = m.refusals(r)
		} else if r.To != "" {
			reasons = m.unfit(m.view(m.now), r.To)
		}
		if len(reasons) > 0 || r.DryRun {
			a := Action{Kind: Answer, Request: r.ID, Reasons: reasons}
			if len(reasons) > 0 {
				a.Err = "refused: " + reasons[0]
			}
			m.tell(a)
			continue
		}
		if stopped != nil {
			stopped.goOn(m, r)
			continue
		}
		o := &operation{kind: topology.KindSwitchover, from: m.rec.Leader, wanted: r.To, request: r.ID, asked: true, force: r.Force, why: "asked for"}
		if r.Kind == AskFailover {
			o.kind = topology.KindFailover
		}
		m.begin(o)
	}
	m.requests = nil
}

// stopped is a failover that has not got the followers that it must have, and which a request tells
// to go on without them; nil where it is none.
func (m *Machine) stopped(r Request) *operation {
	o := m.op
	if r.Kind != AskFailover || !r.Force || o == nil || !o.stopped() {
		return nil
	}
	return o
}

func (o *operation) stopped() bool {
	return o.kind == topology.KindFailover && o.step == stepRevoke && o.failed > 0
}

// goOn makes a failover one by force. Who asked for it before without gets an answer.
func (o *operation) goOn(m *Machine, r Request) {
	if o.asked {
		m.tell(Action{Kind: Answer, Request: o.request, Err: "taken over by a forced failover"})
	}
	o.force, o.wanted, o.asked, o.request = true, r.To, true, r.ID
	o.entered, o.notTil = false, m.now
	m.report(Action{Event: "forced", Node: o.from, Epoch: o.epoch, Text: "goes on without those that cannot be had"})
}

// refusals says everything that speaks against a request.
func (m *Machine) refusals(r Request) []string {
	var why []string
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	v := m.view(m.now)
	switch {
	case !m.held:
		add("this proxy does not coordinate")
	case m.op != nil && m.op.stopped():
		add("a failover is under way, and does not get the followers that it must have; by force it goes on without them")
	case m.op != nil || m.rec.Change != nil:
		add("another change is under way")
	case v.Leader == nil:
		add("there is no leader yet")
	}
	if len(why) > 0 {
		return why
	}
	if r.To == m.rec.Leader {
		add("%s leads already", r.To)
	}
	if n, need := m.revocable(v), m.quorum(); n < need && !r.Force {
		add("%d followers can be reached and %d must be", n, need)
	}
	if r.To != "" && r.To != m.rec.Leader {
		why = append(why, m.unfit(v, r.To)...)
	}
	if r.Kind != AskSwitchover {
		return why
	}
	if r.To != "" && r.To != m.rec.Leader {
		why = append(why, m.behind(v, r.To)...)
	}
	if p := m.leaderProblem(); p != nil {
		add("the leader has a problem: %s, %s", p.Rule.Code, p.Text)
	}
	if r.To == "" && len(why) == 0 && !slices.ContainsFunc(m.acceptors(), func(n string) bool { return len(m.unfit(v, n)) == 0 && len(m.behind(v, n)) == 0 }) {
		add("no follower is fit to be promoted")
	}
	return why
}

// unfit says what speaks against a candidate, whatever the leader does.
func (m *Machine) unfit(v *View, name string) []string {
	n := v.node(name)
	if n == nil {
		return []string{fmt.Sprintf("there is no node %q", name)}
	}
	if n.Mine == nil || !n.Mine.answered() {
		return []string{name + " does not answer"}
	}
	var why []string
	if i := slices.IndexFunc(m.cfg.Nodes, func(c NodeConfig) bool { return c.Name == name }); m.cfg.Nodes[i].Promotion == PromoteNever {
		why = append(why, name+" is configured never to be promoted")
	}
	if !slices.Contains(m.rec.Members, name) {
		why = append(why, name+" is no member yet")
	}
	if n.Best.Copying {
		why = append(why, name+" holds half a copy")
	}
	if !n.Best.Errant.IsEmpty() {
		why = append(why, name+" has transactions of its own: "+n.Best.Errant.String())
	}
	return why
}

// behind says why a candidate for a switchover would not have all of a leader that lives, in time.
func (m *Machine) behind(v *View, name string) []string {
	switch n := v.node(name); {
	case n == nil || n.Best == nil:
		return nil // unfit says so
	case !v.linked(n) || !n.Best.Link.Applying:
		return []string{name + " does not replicate from the leader"}
	case n.Best.Lag > m.cfg.FenceTimeout/2:
		return []string{fmt.Sprintf("%s is %v behind: it could not catch up in time", name, n.Best.Lag)}
	default:
		return nil
	}
}
