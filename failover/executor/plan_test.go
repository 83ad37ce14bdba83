package executor

import (
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

func serverAt(name string, role topology.Role, state topology.State, behind time.Duration) *topology.Node {
	return &topology.Node{
		Name: name, Address: name + ".example:3306", Role: role, State: state, Why: "for the test",
		Lag: topology.Lag{Known: behind >= 0, Behind: behind},
	}
}

func TestPlan(t *testing.T) {
	up, broken := topology.StateUp, topology.StateBroken
	leader, down := serverAt("db1", topology.RoleLeader, up, 0), serverAt("db1", topology.RoleLeader, topology.StateDown, 0)
	local := serverAt("db4", topology.RoleFollower, up, 0)
	local.Address = "/run/mysqld.sock"
	for _, c := range []struct {
		name   string
		leader *topology.Node
		others []*topology.Node
		to     string
		want   string // who is chosen; empty where it is refused
		reason string
		warns  int
	}{
		{name: "no leader", reason: "there is no leader"},
		{name: "the leader is down", leader: down, others: []*topology.Node{serverAt("db2", topology.RoleFollower, up, 0)}, reason: "needs its help"},
		{name: "the least lag", leader: leader, others: []*topology.Node{serverAt("db2", topology.RoleFollower, up, time.Second), serverAt("db3", topology.RoleFollower, up, time.Millisecond)}, want: "db3"},
		{name: "the first of equals", leader: leader, others: []*topology.Node{serverAt("db2", topology.RoleFollower, up, 0), serverAt("db3", topology.RoleFollower, up, 0)}, want: "db2"},
		{name: "by name, though it lags", leader: leader, to: "db2", others: []*topology.Node{serverAt("db2", topology.RoleFollower, up, time.Second), serverAt("db3", topology.RoleFollower, up, 0)}, want: "db2"},
		{name: "a broken one is left out, and told of", leader: leader, others: []*topology.Node{serverAt("db2", topology.RoleFollower, broken, 0), serverAt("db3", topology.RoleFollower, up, 0)}, want: "db3", warns: 1},
		{name: "unknown lag is not zero", leader: leader, others: []*topology.Node{serverAt("db2", topology.RoleFollower, up, -1)}, reason: "unknown lag"},
		{name: "a broken one by name", leader: leader, to: "db2", others: []*topology.Node{serverAt("db2", topology.RoleFollower, broken, 0)}, reason: "db2 is broken"},
		{name: "a writable one", leader: leader, to: "db2", others: []*topology.Node{serverAt("db2", topology.RoleUnknown, broken, 0)}, reason: "db2 is broken"},
		{name: "nobody else could reach it", leader: leader, to: "db4", others: []*topology.Node{local}, reason: "unix socket"},
		{name: "the leader itself", leader: leader, to: "db1", reason: "the leader already"},
		{name: "nobody", leader: leader, to: "db9", reason: "no node"},
		{name: "alone", leader: leader, reason: "no follower can lead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := &topology.Snapshot{Leader: c.leader, Nodes: c.others}
			if c.leader != nil {
				snap.Nodes = append([]*topology.Node{c.leader}, c.others...)
			}
			p := NewPlan(snap, c.to)
			if c.want != "" && (!p.Possible() || p.To != c.want || len(p.Warnings) != c.warns) {
				t.Errorf("got %+v, want %s with %d warnings", p, c.want, c.warns)
			}
			if c.want == "" && (p.Possible() || !strings.Contains(strings.Join(p.Reasons, "; "), c.reason)) {
				t.Errorf("got %+v, want it refused because of %q", p, c.reason)
			}
		})
	}
}

func TestSettingsAgainst(t *testing.T) {
	good := settings{LogBin: true, LogReplica: true, GTID: true, Channels: 1}
	if why := good.against("db2"); len(why) > 0 {
		t.Errorf("refused: %v", why)
	}
	for name, spoil := range map[string]func(*settings){
		"no binlog":           func(s *settings) { s.LogBin = false },
		"not what it applies": func(s *settings) { s.LogReplica = false },
		"no GTIDs":            func(s *settings) { s.GTID = false },
		"filters":             func(s *settings) { s.Filters = "Replicate_Do_DB=a" },
		"several sources":     func(s *settings) { s.Channels = 2 },
		"a named channel":     func(s *settings) { s.Named = true },
	} {
		s := good
		spoil(&s)
		if why := s.against("db2"); len(why) != 1 {
			t.Errorf("%s: %v", name, why)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := quote(`a'b\c`), `'a''b\\c'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
