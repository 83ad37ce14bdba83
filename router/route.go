package router

import (
	"math/bits"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// wish is what a hint, a rule and the policy together ask for.
type wish struct {
	target Target
	reason Reason // ReasonHint or ReasonRule, for the target
	node   string
	maxLag time.Duration
	refuse bool
	rule   string
	level  Level
}

// Route decides where a statement goes. It does not allocate. q may be nil where
// there is no text, as for a command other than a query: then no rule with a
// pattern or a digest matches.
//
// A hint goes before a rule, and a rule before the statement's own class; but
// neither can send to a follower what is known to write or what depends on the
// session's home connection, and none overrides an open transaction.
func (p *Policy) Route(v *SessionView, st *Statement, q *Query, snap *topology.Snapshot) Decision {
	w := p.wish(v, st, q)
	d := Decision{Target: TargetLeader, Node: snap.Leader, Rule: w.rule, Level: w.level}
	if d.Reason = sessionReason(v, st); d.Reason != ReasonNone {
		if d.Reason == ReasonReadOnlyTxn {
			d.Target, d.Node = TargetFollower, snap.Node(v.Pinned)
			if d.Node == nil {
				d.Target = TargetRefuse
			}
		}
		return d
	}
	d.Reason = st.Reason
	if st.Class == ClassRead {
		d.Reason = p.readReason(v, st, q)
	}
	if w.target == TargetLeader {
		if d.Reason == ReasonRead {
			d.Reason = w.reason
		}
		return d
	}
	if d.Reason != ReasonRead {
		if w.target != TargetFollower || !d.Reason.widenable() {
			return d
		}
		if w.reason == ReasonRule && p.hasLearned(q) {
			d.Reason = ReasonLearnedWrite // a follower refused it already; a hint asks for another try
			return d
		}
		d.Reason = w.reason
	}
	if st.Hint.Err != "" {
		d.Reason = ReasonBadHint
		return d
	}
	if w.level == LevelStrong {
		d.Reason = ReasonStrong
		return d
	}
	if w.node != "" && snap.Leader != nil && w.node == snap.Leader.Name {
		d.Reason = w.reason
		return d
	}
	n, behind := p.choose(v, &w, snap)
	switch {
	case n != nil:
		d.Target, d.Node = TargetFollower, n
	case behind: // the leader has it, whatever the policy says of other cases
		d.Reason = ReasonFloor
		d.Ask = w.level == LevelGlobal && !v.Asked
	case w.refuse:
		d.Target, d.Node, d.Reason = TargetRefuse, nil, ReasonNoEligibleFollower
	default:
		d.Reason = ReasonNoEligibleFollower
	}
	return d
}

// wish puts together what the hint, the first matching rule and the policy ask.
func (p *Policy) wish(v *SessionView, st *Statement, q *Query) wish {
	w := wish{refuse: p.refuse}
	for i := range p.rules {
		r := &p.rules[i]
		if q == nil && (r.pattern != nil || r.hasDigest) || !r.matches(v, q) {
			continue
		}
		w.target, w.node, w.maxLag, w.rule, w.reason, w.level = r.target, r.node, r.maxLag, r.name, ReasonRule, r.level
		if r.hasRefuse {
			w.refuse = r.refuse
		}
		break
	}
	h := &st.Hint
	w.level = p.level(v, h, w.level)
	if !h.Present || h.Err != "" {
		return w
	}
	if h.Target != TargetNone || h.Node != "" {
		w.target, w.node, w.reason = h.Target, h.Node, ReasonHint
	}
	if h.MaxLag > 0 {
		w.maxLag = h.MaxLag
	}
	if h.Node != "" && h.Target == TargetNone {
		w.target = TargetFollower // a node asked for by name is asked for what it has of its own
	}
	return w
}

// sessionReason says why the session needs everything in one place now.
func sessionReason(v *SessionView, st *Statement) Reason {
	switch {
	case v.InTransaction && v.ReadOnlyTxn && v.Pinned != "":
		return ReasonReadOnlyTxn
	case v.InTransaction:
		return keepOwn(st, ReasonInTransaction)
	case !v.Autocommit:
		return keepOwn(st, ReasonAutocommitOff)
	case v.LockedTables:
		return keepOwn(st, ReasonLockedTables)
	case v.HomeOnly != ReasonNone:
		return keepOwn(st, v.HomeOnly)
	}
	return ReasonNone
}

// keepOwn returns the statement's own reason where it has one, else the session's.
func keepOwn(st *Statement, r Reason) Reason {
	if st.Class == ClassRead {
		return r
	}
	return st.Reason
}

// readReason says why a plain read must go to the leader after all, or ReasonRead.
func (p *Policy) readReason(v *SessionView, st *Statement, q *Query) Reason {
	if st.ReadsTables {
		if v.TempTables {
			return ReasonTempTable
		}
		if containsFold(serverSchemas, v.Schema) {
			return ReasonServerSchema
		}
	}
	if p.hasLearned(q) {
		return ReasonLearnedWrite
	}
	return ReasonRead
}

// hasLearned says whether a follower refused a statement of that form as a write.
func (p *Policy) hasLearned(q *Query) bool {
	return q != nil && p.learned.Len() > 0 && p.learned.Has(q.Digest())
}

// serverSchemas are those whose content is each server's own.
var serverSchemas = []string{"information_schema", "performance_schema", "mysql", "sys"}

// Await chooses the follower that a read is to wait for, where Route found none that
// has what the session must see (ReasonFloor): of those that are otherwise eligible the
// one that is expected to have it first, if that is within limit. The session's own
// goes before others as long as it is. risen is when the session's floor rose. ask
// says that the leader's position must be the floor first: what the session must see is
// not known yet, or was read on another follower. nil: nobody is worth the wait.
func (p *Policy) Await(v *SessionView, st *Statement, q *Query, snap *topology.Snapshot, risen, now time.Time, limit time.Duration) (best *topology.Node, ask bool) {
	w := p.wish(v, st, q)
	unknown := v.FloorOpen || w.level == LevelGlobal && !v.Asked
	least := limit
	for _, n := range snap.Nodes {
		if w.node != "" && n.Name != w.node || w.node == "" && n.Weight <= 0 || !p.eligible(n, v, &w) {
			continue
		}
		from := risen
		elsewhere := v.Stay && n.Name != v.Pinned
		if unknown || elsewhere {
			from = now
		}
		in := n.Forecast(from, now)
		if in > limit {
			continue
		}
		if own := n.Name == v.Pinned && (p.pin || v.Stay); own {
			return n, unknown
		}
		if best == nil || in < least || in == least && p.zone != "" && n.Zone == p.zone && best.Zone != p.zone {
			best, least, ask = n, in, unknown || elsewhere
		}
	}
	return best, ask
}

// choose picks the follower, or nil. behind says that there would be one, were it
// not for what the session must be able to see.
func (p *Policy) choose(v *SessionView, w *wish, snap *topology.Snapshot) (_ *topology.Node, behind bool) {
	if w.node != "" {
		n := snap.Node(w.node)
		if n == nil || !p.eligible(n, v, w) {
			return nil, false
		}
		if !w.reached(n, v) {
			return nil, true
		}
		return n, false
	}
	if v.Stay && v.Pinned != "" && w.level > LevelEventual {
		if n := snap.Node(v.Pinned); n != nil && n.Weight > 0 && p.eligible(n, v, w) && w.reached(n, v) {
			return n, false
		}
		return nil, true
	}
	zone := false
	if p.zone != "" {
		for _, n := range snap.Nodes {
			zone = zone || n.Zone == p.zone && n.Weight > 0 && p.eligible(n, v, w) && w.reached(n, v)
		}
	}
	var best *topology.Node
	var load, total uint64 // of best; the weights of all that are as good
	for i, n := range snap.Nodes {
		if n.Weight <= 0 || !p.eligible(n, v, w) || zone && n.Zone != p.zone {
			continue
		}
		if !w.reached(n, v) {
			behind = true
			continue
		}
		if p.pin && n.Name == v.Pinned {
			return n, false
		}
		l := outstanding(n)
		if p.byLatency {
			l = (l + 1) * latencySteps(n)
		}
		switch c := lighter(l, n, load, best); {
		case best == nil || c < 0:
			best, load, total = n, l, uint64(n.Weight)
		case c == 0:
			// Among equals each is taken with the probability of its weight.
			total += uint64(n.Weight)
			if mix(v.Seed+uint64(i)*0x9e3779b97f4a7c15)%total < uint64(n.Weight) {
				best = n
			}
		}
	}
	return best, behind && best == nil
}

// reached says whether a follower has what the session must be able to see.
func (w *wish) reached(n *topology.Node, v *SessionView) bool {
	switch {
	case w.level == LevelEventual:
		return true
	case w.level == LevelGlobal && !v.Asked, v.FloorOpen:
		return false
	}
	return n.Position.Contains(v.Floor)
}

// lighter compares the load of two nodes in proportion to their weights.
func lighter(l uint64, n *topology.Node, load uint64, best *topology.Node) int {
	if best == nil {
		return -1
	}
	ah, al := bits.Mul64(l, uint64(best.Weight))
	bh, bl := bits.Mul64(load, uint64(n.Weight))
	switch {
	case ah < bh || ah == bh && al < bl:
		return -1
	case ah == bh && al == bl:
		return 0
	}
	return 1
}

func outstanding(n *topology.Node) uint64 {
	if n.Load == nil {
		return 0
	}
	if o := n.Load.Outstanding.Load(); o > 0 {
		return uint64(o)
	}
	return 0
}

// latencyStep is the difference in latency that counts: less than that is chance.
const latencyStep = 500 * time.Microsecond

// latencySteps is how long a node takes to answer, at least 1: one that takes twice as long
// gets a read when it has half as many under way.
func latencySteps(n *topology.Node) uint64 {
	if n.Load == nil {
		return 1
	}
	return 1 + uint64(max(n.Load.Latency.Load(), 0))/uint64(latencyStep)
}

// eligible says whether a node may serve the read. The lag monitor judges by
// the policy's limit; a limit of the statement's own is judged here, with the
// age of the measurement added to the lag where the session gives the time.
func (p *Policy) eligible(n *topology.Node, v *SessionView, w *wish) bool {
	if n.Role != topology.RoleFollower || n.State != topology.StateUp {
		return false
	}
	if w.maxLag == 0 {
		return n.Eligible
	}
	if !n.Lag.Known || !n.Eligible && w.maxLag <= p.maxLag {
		return false
	}
	lag := n.Lag.Behind
	if !v.Now.IsZero() && !n.Lag.Measured.IsZero() {
		if age := v.Now.Sub(n.Lag.Measured); age > 0 {
			lag += age
		}
	}
	return lag <= w.maxLag
}
