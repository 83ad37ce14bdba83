package failover

import (
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// View is what the rules look at: the sights that are fresh, by node.
type View struct {
	Now    time.Time
	Config *Config
	Record *topology.Record
	Leader *NodeView // nil while the record names none
	Nodes  []*NodeView
	// Floor is what followers had received before the leader started anew: the leader
	// must have it, for it writes to its binlog before it sends.
	Floor gtid.Set
	// Blind says that Floor is of followers that were seen after the leader started anew
	// only: as many must be seen as for a change of leader.
	Blind bool
	// StartedAnew is set where the leader was seen to be started anew in its reign.
	StartedAnew bool
}

// NodeView is one node as its observers see it.
type NodeView struct {
	Name   string
	Mine   *Sight   // this proxy's; nil when there is none that is fresh
	Others []*Sight // of other proxies
	// Best is the newest sight in which the node answered; nil when in none.
	Best *Sight

	// AliveAt is when there was the last sign of life, from whomever; zero for never.
	AliveAt time.Time
	// Rebooted is set of a leader that was seen to take writes in this reign, and has
	// started anew since.
	Rebooted bool
	// Fork is where its history and the leader's part though the numbers go on alike; empty for
	// nowhere, as far as is known.
	Fork string
}

func (m *Machine) view(now time.Time) *View {
	v := &View{Now: now, Config: &m.cfg, Record: &m.rec, Floor: m.floor, StartedAnew: m.anew}
	for i := range m.cfg.Nodes {
		n := &NodeView{Name: m.cfg.Nodes[i].Name, AliveAt: m.aliveAt[m.cfg.Nodes[i].Name], Fork: m.lineage[m.cfg.Nodes[i].Name].fork}
		for j := range m.sights {
			s := &m.sights[j]
			if s.Node != n.Name || now.Sub(s.At) > m.cfg.Freshness {
				continue
			}
			if s.Observer == m.cfg.Self {
				n.Mine = s
			} else {
				n.Others = append(n.Others, s)
			}
			if s.answered() && (n.Best == nil || s.At.After(n.Best.At)) {
				n.Best = s
			}
		}
		if n.Name == m.rec.Leader {
			v.Leader = n
			n.Rebooted = n.Best != nil && !m.bootSeen.IsZero() && n.Best.Booted.After(m.bootSeen)
		}
		v.Nodes = append(v.Nodes, n)
	}
	v.Blind = m.blind && m.revocable(v) < min(m.quorum(), len(m.acceptors()))
	return v
}

// answered reports whether the node told of itself.
func (s *Sight) answered() bool { return s.New == ReachAnswers || s.Old == ReachAnswers }

// alive reports whether the server lives, by this sight.
func (s *Sight) alive() bool {
	return s.New.Alive() || s.Old.Alive() || s.Stream == ReachAnswers
}

// Up reports whether anybody has seen the node answer.
func (n *NodeView) Up() bool { return n.Best != nil }

// node returns the view of the node of that name, or nil.
func (v *View) node(name string) *NodeView {
	for _, n := range v.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// hears reports whether f still hears its source, which is the leader.
func (v *View) hears(f *NodeView) bool {
	if f.Best == nil || f.Best.Link == nil || f.Best.Link.Source != v.Record.Leader || !f.Best.Link.Receiving {
		return false
	}
	heard := f.Best.Link.Heard
	return heard.IsZero() || v.Now.Sub(heard) < v.Config.HeartbeatTimeout
}

// linked reports whether f's receiver is connected to the leader, however long it
// has heard nothing.
func (v *View) linked(f *NodeView) bool {
	return f.Best != nil && f.Best.Link != nil && f.Best.Link.Source == v.Record.Leader && f.Best.Link.Receiving
}

// followers are the nodes but the leader.
func (v *View) followers() []*NodeView {
	return slices.DeleteFunc(slices.Clone(v.Nodes), func(n *NodeView) bool { return n == v.Leader })
}

// heardByOthers names who has a sign of the leader's life where we have none.
func (v *View) heardByOthers() []string {
	var names []string
	for _, s := range v.Leader.Others {
		if s.alive() {
			names = append(names, "proxy "+s.Observer)
		}
	}
	for _, f := range v.followers() {
		if v.hears(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// unreached reports whether we tried the leader and got no sign of life.
func (v *View) unreached() bool {
	return v.Leader != nil && v.Leader.Mine != nil && v.Leader.Mine.New != ReachUnknown && !v.Leader.Mine.alive()
}

// refused reports whether the leader's machine says that nobody listens, and no
// connection from before lives.
func (v *View) refused() bool { return v.unreached() && v.Leader.Mine.New == ReachRefused }

// alone reports whether we reach nobody at all, though there are others.
func (v *View) alone() bool {
	fs := v.followers()
	for _, f := range fs {
		if f.Mine != nil && f.Mine.alive() {
			return false
		}
	}
	return len(fs) > 0
}

// silentFor is for how long nobody has had a sign of the leader's life.
func (v *View) silentFor() time.Duration {
	if v.Leader == nil || v.Leader.AliveAt.IsZero() {
		return 0
	}
	return v.Now.Sub(v.Leader.AliveAt)
}
