package lagmonitor

import (
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// judgeNode says what a node is now, apart from hysteresis.
func (j *judge) judgeNode(m *member, now time.Time) verdict {
	isLeader := m.cfg.Name == j.leader
	v := verdict{}
	if isLeader {
		v.Role = topology.RoleLeader
	} else if m.seen && (m.obs.ReadOnly || len(m.obs.Channels) > 0) {
		v.Role = topology.RoleFollower
	}
	switch {
	case m.down && m.refused:
		v.State, v.Why = topology.StateBroken, "cannot be asked: "+mysqlconn.Describe(m.err)
		if isLeader {
			// It is alive, and sessions that it has already may well work.
			v.State = topology.StateUp
		}
	case m.down:
		v.State, v.Why = topology.StateDown, mysqlconn.Describe(m.err)
	case !m.seen:
		v.State, v.Why = topology.StateUnknown, "not asked yet"
		if m.err != nil {
			v.Why = mysqlconn.Describe(m.err)
		}
	case isLeader:
		j.judgeLeader(m, &v)
	default:
		j.judgeFollower(m, now, &v)
	}
	if m.cfg.Drain && !isLeader {
		v.State, v.Why = topology.StateDraining, "drained by configuration"
	}
	return v
}

func (j *judge) judgeLeader(m *member, v *verdict) {
	v.State, v.Why = topology.StateUp, "is the leader"
	v.Lag = topology.Lag{Known: true, Measured: m.obs.Sent}
	switch {
	case m.obs.ReadOnly:
		v.State, v.Why = topology.StateBroken, "is the leader, but read-only"
	case m.cfg.Role != topology.RoleLeader && m.obs.replicating():
		v.State, v.Why = topology.StateBroken, "is the leader, but replicates from "+m.obs.Channels[0].Source
	}
}

func (j *judge) judgeFollower(m *member, now time.Time, v *verdict) {
	leader := j.member(j.leader)
	broken := func(format string, args ...any) {
		v.State, v.Why = topology.StateBroken, fmt.Sprintf(format, args...)
	}
	if !m.obs.ReadOnly && leader == nil && j.conflict == "" {
		v.State, v.Why = topology.StateUnknown, "takes writes; the others have not been asked yet"
		return
	}
	if !m.obs.ReadOnly {
		if broken("takes writes (read_only is off), but is not the leader"); leader == nil {
			v.Why = "takes writes, but is not published as the leader: " + j.conflict
		}
		return
	}
	if leader == nil {
		v.State, v.Why = topology.StateUnknown, "there is no leader to compare with"
		return
	}
	ch := channelFrom(m, leader)
	switch {
	case len(m.obs.Channels) == 0:
		broken("does not replicate")
		return
	case ch == nil:
		broken("replicates from %s, not from %s", m.obs.Channels[0].Source, leader.cfg.Name)
		return
	case ch.Applying != threadRunning:
		broken("does not apply what it receives%s", because(ch.ApplyError))
		return
	}
	if quiet := j.receiverQuiet(m, leader, ch); quiet {
		broken("does not receive from %s (%s)%s", leader.cfg.Name, ch.Receiving, because(ch.ReceiveError))
		return
	}
	v.State = topology.StateUp
	v.Errant = errant(m, &j.past)
	m.followed = true
	j.measureLag(m, leader, now, v)
}

func because(err string) string {
	if err == "" {
		return ""
	}
	const most = 200
	if len(err) > most {
		err = err[:most] + "..."
	}
	return ": " + err
}

func channelFrom(m, leader *member) *Channel {
	for i := range m.obs.Channels {
		if comesFrom(&m.obs.Channels[i], leader) {
			return &m.obs.Channels[i]
		}
	}
	return nil
}

// receiverQuiet reports whether the receiver's silence is the follower's own
// fault: the leader answered a probe that was sent after the silence was seen.
// While the leader is gone every receiver is quiet, and reads must go on.
func (j *judge) receiverQuiet(m, leader *member, ch *Channel) bool {
	if ch.Receiving == threadRunning {
		m.quietSince = time.Time{}
		return false
	}
	if m.quietSince.IsZero() {
		m.quietSince = m.obs.Received
	}
	return leader.answers() && leader.failures == 0 && leader.obs.Sent.After(m.quietSince)
}

// measureLag fills in the lag of a follower that is up.
func (j *judge) measureLag(m, leader *member, now time.Time, v *verdict) {
	if age := now.Sub(m.obs.Received); age > j.patience() {
		v.Why = fmt.Sprintf("was last asked %v ago", age.Round(time.Millisecond))
		return
	}
	if _, ok := j.past.newest(); !ok || !leader.obs.GTID || !m.obs.GTID {
		v.Why = "lag cannot be measured: GTIDs are off"
		return
	}
	got := j.past.measure(m.obs.Applied, m.obs.Received)
	v.Lag = topology.Lag{Known: got.known, Behind: got.behind, Tx: got.tx, Measured: got.asOf}
	if got.known {
		return
	}
	// It was behind before the history began. Only the heartbeat knows.
	if written, ok := m.obs.Beats[leader.obs.ServerID]; ok {
		if age, ok := j.clock.age(written, m.obs.Received); ok {
			v.Lag.Known, v.Lag.Behind, v.Lag.Measured = true, max(age, got.span), m.obs.Received
			return
		}
	}
	v.Why = fmt.Sprintf("behind by %d transactions, for longer than has been watched (%v)", got.tx, got.span.Round(time.Millisecond))
}

// patience is for how long an answer of a node stands for its present. A follower
// that was not asked in time has an unknown lag.
func (j *judge) patience() time.Duration {
	return max(j.cfg.MaxLag, 2*j.cfg.Interval+j.cfg.Timeout)
}

// errant counts the transactions that a follower made itself and the leader
// lacks. On MariaDB, whose positions are single numbers, they show only until
// the leader has passed that number; and not at all where the engine replicates, which
// looks for them itself.
func errant(m *member, past *history) uint64 {
	newest, ok := past.newest()
	if !ok || m.obs.Flavor == gtid.MariaDB && m.obs.Following != nil {
		return 0
	}
	own := m.obs.Committed.Subtract(m.obs.Applied) // MariaDB: gtid_current_pos is ahead by own transactions only
	if m.obs.Flavor == gtid.MySQL {
		own = m.obs.Applied.OfSource(m.obs.UUID)
	}
	return own.Subtract(newest.position).Count()
}
