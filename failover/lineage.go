package failover

import (
	"slices"
	"time"
)

// A server that lost the end of its binlog numbers anew what it had numbered before, and by
// the numbers all is in order. So who follows is compared with the leader by content, once for
// each start of either, as long as both are up.

// seenByUs reports whether the node answered this proxy: two observers reckon its start
// differently.
func (n *NodeView) seenByUs() bool { return n.Mine != nil && n.Mine.answered() }

// compared is the comparison of a node with the leader.
type compared struct {
	leader, node time.Time // when both had been started
	tried        time.Time
	done         bool
	fork         string // where their histories part, for people; empty: nowhere
}

// forgetLineage begins anew, with another leader.
func (m *Machine) forgetLineage() { m.lineage, m.startedAt, m.anew = nil, time.Time{}, false }

// compare has those compared with the leader that have begun to follow it.
func (m *Machine) compare() {
	v := m.view(m.now)
	if !m.cfg.Compare || v.Leader == nil || !v.Leader.seenByUs() {
		return
	}
	booted := v.Leader.Mine.Booted
	for _, f := range v.followers() {
		// Connected or not: a source may have refused it for what it has, and gone on since.
		if !f.seenByUs() || f.Mine.Link == nil || f.Mine.Link.Source != m.rec.Leader || f.Mine.Copying || m.repairing(f.Name) {
			continue
		}
		c := m.lineage[f.Name]
		if !c.leader.Equal(booted) || !c.node.Equal(f.Mine.Booted) {
			c.done, c.tried, c.leader, c.node = false, time.Time{}, booted, f.Mine.Booted
		}
		if c.done || m.waiting(Compare, f.Name) || m.now.Sub(c.tried) < m.cfg.StepTimeout {
			continue
		}
		c.tried = m.now
		m.keepLineage(f.Name, c)
		m.do(Action{Kind: Compare, Node: f.Name, Leader: m.rec.Leader, Epoch: m.rec.Reign}, m.cfg.StepTimeout)
	}
}

// repairing reports whether something is being done with a node.
func (m *Machine) repairing(node string) bool {
	return slices.ContainsFunc(m.repairs, func(r repair) bool { return r.node == node && r.id != 0 })
}

func (m *Machine) keepLineage(node string, c compared) {
	if m.lineage == nil {
		m.lineage = map[string]compared{}
	}
	m.lineage[node] = c
}

// lineageTold takes in what came of comparing a node with the leader, whichever action did.
func (m *Machine) lineageTold(a *Action, d *Done) {
	c, known := m.lineage[a.Node]
	switch {
	case a.Leader != m.rec.Leader:
	case d.Fork != "":
		c.done, c.fork = true, d.Fork
		m.keepLineage(a.Node, c)
	case d.Err != "" || !known:
	case a.Kind == Compare:
		c.done, c.fork = true, ""
		m.keepLineage(a.Node, c)
	case a.Kind == RescueAndRejoin:
		delete(m.lineage, a.Node) // it is a copy of the leader now, or was found to be one
	}
}

// leaderStartedAnew reports whether the leader has been started anew in its reign, as this
// proxy saw it, or by the clock of the server: then it is the leader that lost something.
func (v *View) leaderStartedAnew() bool {
	l := v.Leader
	return v.StartedAnew || l.Best.Restarted && l.Best.Epoch == v.Record.Reign
}
