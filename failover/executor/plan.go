package executor

import (
	"fmt"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Plan is what a switchover would do.
type Plan struct {
	From, To string
	// Reasons are why it cannot be done; empty when it can.
	Reasons []string
	// Warnings are what it would leave undone.
	Warnings []string
}

// Possible says whether nothing speaks against it.
func (p *Plan) Possible() bool { return len(p.Reasons) == 0 }

// NewPlan decides who comes after the leader of the snapshot: the node that is
// asked for, or, with an empty name, the best follower. Of followers that can all
// lead, it is the one with the least lag, then the first of the configuration:
// whoever it is waits for everything before it leads.
func NewPlan(snap *topology.Snapshot, to string) Plan {
	var p Plan
	l := snap.Leader
	switch {
	case l == nil:
		p.Reasons = append(p.Reasons, "there is no leader")
		return p
	case l.State != topology.StateUp:
		p.Reasons = append(p.Reasons, fmt.Sprintf("the leader %s is %s: a switchover needs its help", l.Name, l.State))
	}
	p.From = l.Name
	if to != "" {
		p.choose(snap, to)
	} else {
		p.chooseBest(snap)
	}
	for _, n := range snap.Nodes {
		if n.Name != p.From && n.Name != p.To && n.State != topology.StateUp {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is %s (%s)", n.Name, n.State, n.Why))
		}
	}
	return p
}

func (p *Plan) choose(snap *topology.Snapshot, to string) {
	n := snap.Node(to)
	switch n {
	case nil:
		p.Reasons = append(p.Reasons, fmt.Sprintf("there is no node %q", to))
	case snap.Leader:
		p.Reasons = append(p.Reasons, to+" is the leader already")
	default:
		if why := unfit(n); why != "" {
			p.Reasons = append(p.Reasons, why)
		}
		p.To = n.Name
	}
}

func (p *Plan) chooseBest(snap *topology.Snapshot) {
	var best *topology.Node
	var why []string
	for _, n := range snap.Nodes {
		if n == snap.Leader {
			continue
		}
		if w := unfit(n); w != "" {
			why = append(why, w)
			continue
		}
		if best == nil || n.Lag.Behind < best.Lag.Behind {
			best = n
		}
	}
	if best == nil {
		p.Reasons = append(p.Reasons, "no follower can lead")
		p.Reasons = append(p.Reasons, why...)
		return
	}
	p.To = best.Name
}

// unfit says why a node cannot lead; empty when it can.
func unfit(n *topology.Node) string {
	switch {
	case n.Role != topology.RoleFollower || n.State != topology.StateUp:
		return fmt.Sprintf("%s is %s %s: %s", n.Name, n.State, n.Role, n.Why)
	case !n.Lag.Known:
		return n.Name + " has an unknown lag: " + n.Why
	case strings.HasPrefix(n.Address, "/"):
		return n.Name + " is known by a unix socket only, where no other node can follow it"
	}
	return ""
}

// settings is what a server says that a future leader, or its follower, must have.
type settings struct {
	LogBin, LogReplica bool // it writes a binlog, and what it applies as well
	GTID               bool
	Filters            string // replication filters; empty for none
	Channels           int    // replication connections, running or not
	Named              bool   // one of them has a name
}

// against says what of a candidate's settings forbids that it leads.
func (s *settings) against(name string) []string {
	var why []string
	if !s.LogBin || !s.LogReplica {
		why = append(why, name+" writes no binlog of what it applies (log_bin, log_slave_updates): nobody could follow it")
	}
	if !s.GTID {
		why = append(why, name+" has no GTIDs (gtid_mode)")
	}
	if s.Filters != "" {
		why = append(why, name+" leaves out some of what the leader writes (replication filters): "+s.Filters)
	}
	if s.Channels > 1 {
		why = append(why, fmt.Sprintf("%s replicates from %d sources", name, s.Channels))
	}
	if s.Named {
		why = append(why, name+" replicates by a channel with a name: Bellwether manages the one without")
	}
	return why
}

// own is what a node holds that a leader who opened at until, or anything after,
// does not. On MariaDB a position tells it only by numbers.
func own(node, leader gtid.Set) gtid.Set { return node.Subtract(leader) }
