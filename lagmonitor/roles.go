package lagmonitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// chooseLeader finds the node that takes writes. It never leaves a leader that
// still takes them for another, never chooses between two, and holds on to a
// leader that cannot be reached until another node provably took its place.
func (j *judge) chooseLeader() {
	if j.appointed.leader != "" {
		j.obey()
		return
	}
	present := j.member(j.leader)
	if configured := j.configuredLeader(); configured != nil {
		if !configured.tried {
			return
		}
		j.conflict = j.writersBeside(configured)
		switch {
		case configured == present:
		case configured.writable():
			j.become(configured)
		default:
			j.conflict = fmt.Sprintf("%s is configured as leader, but %s", configured.cfg.Name, configured.whyNotWritable())
		}
		return
	}
	if present != nil && present.writable() {
		j.conflict = j.writersBeside(present)
		return
	}
	if present == nil && slices.ContainsFunc(j.members, func(m *member) bool { return !m.tried }) {
		return // who has not been asked yet could be a leader too
	}
	var writers []*member
	for _, m := range j.members {
		if m.writable() && m != present {
			writers = append(writers, m)
		}
	}
	switch {
	case len(writers) == 0:
		j.conflict = ""
		if present == nil {
			j.conflict = "no node takes writes"
		}
	case len(writers) > 1:
		j.conflict = "more than one node takes writes: " + memberNames(writers)
	default:
		if why := j.whyNotLeader(writers[0], present); why != "" {
			j.conflict = why
			return
		}
		j.conflict = ""
		j.become(writers[0])
	}
}

// appointment is a leader by the topology record, and the epoch since which it reigns.
type appointment struct {
	leader string
	epoch  uint64
}

// obey takes the leader of the record, whatever the nodes show of themselves: one
// that returns and takes writes is none for that.
func (j *judge) obey() {
	m := j.member(j.appointed.leader)
	if m == nil {
		j.leader, j.conflict = "", "the record names "+j.appointed.leader+" as the leader, which is not configured"
		return
	}
	if j.leader != j.appointed.leader {
		j.become(m)
	}
	j.epoch = j.appointed.epoch
	j.conflict = j.writersBeside(m)
}

// become is the only way in which the leader changes.
func (j *judge) become(m *member) {
	j.leader = m.cfg.Name
	j.epoch++
	for _, o := range j.members {
		o.followed, o.quietSince = false, time.Time{}
		o.hasServed = false // whoever follows the new leader serves at once: nothing was wrong with it
	}
	j.clock = leaderClock{}
	j.past.add(m.obs.Committed, m.obs.Sent, m.obs.Received)
}

func (j *judge) configuredLeader() *member {
	for _, m := range j.members {
		if m.cfg.Role == topology.RoleLeader {
			return m
		}
	}
	return nil
}

// whyNotLeader says why the only node that takes writes must not be published
// as the leader; empty when it may. present is the leader until now, if any.
func (j *judge) whyNotLeader(c, present *member) string {
	votes, elsewhere := 0, ""
	for _, m := range j.members {
		if m == c || !m.answers() {
			continue
		}
		for i := range m.obs.Channels {
			switch ch := &m.obs.Channels[i]; {
			case comesFrom(ch, c):
				votes++
			case ch.running() && elsewhere == "":
				elsewhere = fmt.Sprintf("%s takes writes, but %s replicates from %s", c.cfg.Name, m.cfg.Name, ch.Source)
			}
		}
	}
	switch {
	case c.cfg.Role == topology.RoleFollower:
		return c.cfg.Name + " takes writes, but is configured as a follower"
	case votes > 0:
		return ""
	case elsewhere != "":
		return elsewhere
	case len(c.obs.Channels) > 0:
		return c.cfg.Name + " takes writes, but it is a follower whose replication was stopped"
	case present != nil && !c.followed:
		return fmt.Sprintf("%s takes writes, but was never seen to follow %s", c.cfg.Name, present.cfg.Name)
	default:
		return ""
	}
}

// writersBeside names the nodes that take writes and should not.
func (j *judge) writersBeside(leader *member) string {
	var others []*member
	for _, m := range j.members {
		if m != leader && m.writable() {
			others = append(others, m)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "beside " + leader.cfg.Name + " these take writes too, and get none: " + memberNames(others)
}

func (m *member) whyNotWritable() string {
	switch {
	case !m.answers():
		return "it does not answer"
	case m.obs.ReadOnly:
		return "it is read-only"
	default:
		return "it replicates from " + m.obs.Channels[0].Source
	}
}

// comesFrom reports whether a channel's source is that node.
func comesFrom(ch *Channel, m *member) bool {
	switch {
	case ch.SourceUUID != "" && m.seen && m.obs.UUID != "":
		return ch.SourceUUID == m.obs.UUID
	case ch.SourceID != 0 && m.seen:
		return ch.SourceID == m.obs.ServerID
	default:
		return ch.Source == m.cfg.Address // as a last resort: names need not be the same everywhere
	}
}

func memberNames(ms []*member) string {
	names := make([]string, 0, len(ms))
	for _, m := range ms {
		names = append(names, m.cfg.Name)
	}
	return strings.Join(names, ", ")
}
