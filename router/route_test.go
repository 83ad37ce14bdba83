package router

import (
	"net/netip"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

func follower(name string, weight int, behind time.Duration) *topology.Node {
	return &topology.Node{
		Name: name, Weight: weight, Role: topology.RoleFollower, State: topology.StateUp, Eligible: behind <= time.Second,
		Lag: topology.Lag{Known: true, Behind: behind}, Load: &topology.Load{},
	}
}

// cluster is a leader, two fresh followers, one that lags, one of unknown lag,
// one that is down, and one that takes no reads.
func cluster() *topology.Snapshot {
	leader := &topology.Node{Name: "leader", Role: topology.RoleLeader, State: topology.StateUp, Weight: 100, Load: &topology.Load{}}
	unknown := follower("unknown", 100, 0)
	unknown.Lag, unknown.Eligible = topology.Lag{}, false
	down := follower("down", 100, 0)
	down.State = topology.StateDown
	return &topology.Snapshot{Leader: leader, Nodes: []*topology.Node{
		leader, follower("f1", 100, 0), follower("f2", 100, 500*time.Millisecond), follower("late", 100, 5*time.Second),
		unknown, down, follower("zero", 0, 0),
	}}
}

func TestRoute(t *testing.T) {
	learned := NewLearned(16)
	learned.Add(Digest64([]byte("SELECT a FROM refused WHERE id = 1"), Mode{}))
	spec := PolicySpec{MaxLag: time.Second, Pin: true, Learned: learned, Rules: []RuleSpec{
		{Name: "reports", Users: []string{"report"}, Target: "leader"},
		{Name: "archive", Schemas: []string{"Archive"}, Target: "follower"},
		{Name: "office", Clients: []string{"10.1.0.0/16", "192.168.1.7"}, NoFollower: "error", MaxLag: new(time.Millisecond)},
		{Name: "tight", Pattern: `(?i)from\s+orders\b`, MaxLag: new(100 * time.Millisecond)},
		{Name: "loose", Pattern: `from history`, MaxLag: new(10 * time.Second), Node: "late"},
		{Name: "digest", Digest: FormatDigest(Digest64([]byte("select x from y where z = 5"), Mode{})), Target: "leader"},
		{Name: "func", Pattern: `my_func`, Target: "follower", Node: "f2"},
	}}
	auto := SessionView{Autocommit: true, Seed: 1}
	with := func(f func(*SessionView)) SessionView { v := auto; f(&v); return v }
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name, sql string
		view      SessionView
		target    Target
		node      string // empty: any
		reason    Reason
		rule      string
	}{
		{name: "a read", sql: "SELECT 1", view: auto, target: TargetFollower, reason: ReasonRead},
		{name: "FIELD complaint 3: a session stays on its follower", sql: "SELECT 1", view: with(func(v *SessionView) { v.Pinned = "f2" }), target: TargetFollower, node: "f2", reason: ReasonRead},
		{name: "a pinned follower that lags is left", sql: "SELECT 1", view: with(func(v *SessionView) { v.Pinned = "late" }), target: TargetFollower, reason: ReasonRead},
		{name: "a write", sql: "UPDATE t SET a=1", view: auto, target: TargetLeader, node: "leader", reason: ReasonWrite},
		{name: "FIELD complaint 1: autocommit=0, a first SELECT", sql: "SELECT 1", view: SessionView{}, target: TargetLeader, reason: ReasonAutocommitOff},
		{name: "FIELD complaint 1: autocommit=0, FOR UPDATE", sql: "SELECT 1 FOR UPDATE", view: SessionView{}, target: TargetLeader, reason: ReasonForUpdate},
		{name: "FIELD trap 6: SELECT after BEGIN", sql: "SELECT 1", view: with(func(v *SessionView) { v.InTransaction = true }), target: TargetLeader, reason: ReasonInTransaction},
		{name: "a hint does not leave a transaction", sql: "/* bellwether: target=follower */ SELECT 1", view: with(func(v *SessionView) { v.InTransaction = true }), target: TargetLeader, reason: ReasonInTransaction},
		{name: "LOCK TABLES in force", sql: "SELECT 1", view: with(func(v *SessionView) { v.LockedTables = true }), target: TargetLeader, reason: ReasonLockedTables},
		{name: "home only", sql: "SELECT 1", view: with(func(v *SessionView) { v.HomeOnly = ReasonOpenCursor }), target: TargetLeader, reason: ReasonOpenCursor},
		{name: "read-only transaction on a follower", sql: "SELECT 1", view: with(func(v *SessionView) { v.InTransaction, v.ReadOnlyTxn, v.Pinned = true, true, "f1" }), target: TargetFollower, node: "f1", reason: ReasonReadOnlyTxn},
		{name: "read-only transaction on a follower that is gone", sql: "SELECT 1", view: with(func(v *SessionView) { v.InTransaction, v.ReadOnlyTxn, v.Pinned = true, true, "gone" }), target: TargetRefuse, reason: ReasonReadOnlyTxn},
		{name: "FIELD trap 9: temporary tables, a statement with tables", sql: "SELECT * FROM t", view: with(func(v *SessionView) { v.TempTables = true }), target: TargetLeader, reason: ReasonTempTable},
		{name: "FIELD trap 9: temporary tables, a statement without", sql: "SELECT 1", view: with(func(v *SessionView) { v.TempTables = true }), target: TargetFollower, reason: ReasonRead},
		{name: "temporary tables are not widened by a hint", sql: "/* bellwether: target=follower */ SELECT * FROM t", view: with(func(v *SessionView) { v.TempTables = true }), target: TargetLeader, reason: ReasonTempTable},
		{name: "default schema of the server's own", sql: "SELECT * FROM processlist", view: with(func(v *SessionView) { v.Schema = "Information_Schema" }), target: TargetLeader, reason: ReasonServerSchema},
		{name: "learned write", sql: "select a from refused where id = 99", view: auto, target: TargetLeader, reason: ReasonLearnedWrite},
		{name: "hint: leader", sql: "/* bellwether: target=leader */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonHint},
		{name: "hint: a node", sql: "/* bellwether: node=f2 */ SELECT 1", view: auto, target: TargetFollower, node: "f2", reason: ReasonRead},
		{name: "hint: a node that takes no other reads", sql: "/* bellwether: node=zero */ SELECT 1", view: auto, target: TargetFollower, node: "zero", reason: ReasonRead},
		{name: "hint: the leader by name", sql: "/* bellwether: node=leader */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonHint},
		{name: "hint: a node that is not eligible", sql: "/* bellwether: node=late */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonNoEligibleFollower},
		{name: "hint: a node that is down", sql: "/* bellwether: node=down max_lag=1h */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonNoEligibleFollower},
		{name: "hint: unknown lag is never within a limit", sql: "/* bellwether: node=unknown max_lag=1h */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonNoEligibleFollower},
		{name: "hint: a node that is not there", sql: "/* bellwether: node=x */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonNoEligibleFollower},
		{name: "hint: a wider limit", sql: "/* bellwether: node=late max_lag=10s */ SELECT 1", view: auto, target: TargetFollower, node: "late", reason: ReasonRead},
		{name: "hint: a narrower limit", sql: "/* bellwether: max_lag=100ms */ SELECT 1", view: auto, target: TargetFollower, node: "f1", reason: ReasonRead},
		{name: "hint: a narrower limit moves a pinned session", sql: "/* bellwether: max_lag=100ms */ SELECT 1", view: with(func(v *SessionView) { v.Pinned = "f2" }), target: TargetFollower, node: "f1", reason: ReasonRead},
		{name: "hint: a write stays a write", sql: "/* bellwether: target=follower node=f1 */ DELETE FROM t", view: auto, target: TargetLeader, reason: ReasonWrite},
		{name: "hint: an unknown function", sql: "/* bellwether: target=follower */ SELECT f(1)", view: auto, target: TargetFollower, reason: ReasonHint},
		{name: "hint: a server's own variable", sql: "/* bellwether: node=f2 */ SELECT @@server_id", view: auto, target: TargetFollower, node: "f2", reason: ReasonHint},
		{name: "hint: a user variable stays home", sql: "/* bellwether: target=follower */ SELECT @a", view: auto, target: TargetLeader, reason: ReasonUserVariable},
		{name: "hint: an unknown function and a user variable", sql: "/* bellwether: target=follower */ SELECT f(@a)", view: auto, target: TargetLeader, reason: ReasonUserVariable},
		{name: "hint: FOR UPDATE", sql: "/* bellwether: target=follower */ SELECT 1 FOR UPDATE", view: auto, target: TargetLeader, reason: ReasonForUpdate},
		{name: "hint: not understood", sql: "/* bellwether: target=x */ SELECT 1", view: auto, target: TargetLeader, reason: ReasonBadHint},
		{name: "hint: a learned write again", sql: "/* bellwether: target=follower */ select a from refused where id=1", view: auto, target: TargetFollower, reason: ReasonHint},
		{name: "rule: user", sql: "SELECT 1", view: with(func(v *SessionView) { v.User = "report" }), target: TargetLeader, reason: ReasonRule, rule: "reports"},
		{name: "rule: a hint goes before it", sql: "/* bellwether: target=follower */ SELECT 1", view: with(func(v *SessionView) { v.User = "report" }), target: TargetFollower, reason: ReasonRead, rule: "reports"},
		{name: "rule: schema widens", sql: "SELECT f()", view: with(func(v *SessionView) { v.Schema = "archive" }), target: TargetFollower, reason: ReasonRule, rule: "archive"},
		{name: "rule: schema does not widen a write", sql: "INSERT INTO t VALUES (1)", view: with(func(v *SessionView) { v.Schema = "archive" }), target: TargetLeader, reason: ReasonWrite, rule: "archive"},
		{name: "rule: client network", sql: "SELECT 1", view: with(func(v *SessionView) { v.ClientAddr = netip.MustParseAddr("::ffff:10.1.2.3") }), target: TargetFollower, node: "f1", reason: ReasonRead, rule: "office"},
		{name: "rule: client address, none fresh enough, by age", sql: "SELECT 1", view: with(func(v *SessionView) { v.ClientAddr, v.Now = netip.MustParseAddr("192.168.1.7"), now }), target: TargetRefuse, reason: ReasonNoEligibleFollower, rule: "office"},
		{name: "rule: pattern over lines", sql: "SELECT a\nFROM\n\torders", view: auto, target: TargetFollower, node: "f1", reason: ReasonRead, rule: "tight"},
		{name: "rule: node and wider limit", sql: "SELECT a from history", view: auto, target: TargetFollower, node: "late", reason: ReasonRead, rule: "loose"},
		{name: "rule: digest", sql: "SELECT x FROM y WHERE z = 'other'", view: auto, target: TargetLeader, reason: ReasonRule, rule: "digest"},
		{name: "rule: a function to one node", sql: "SELECT my_func(3)", view: auto, target: TargetFollower, node: "f2", reason: ReasonRule, rule: "func"},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := cluster()
			for _, n := range snap.Nodes {
				n.Lag.Measured = now.Add(-time.Second)
			}
			p, err := NewPolicy(spec)
			if err != nil {
				t.Fatal(err)
			}
			st := Classify([]byte(c.sql), Mode{}, nil)
			d := p.Route(&c.view, &st, &Query{SQL: []byte(c.sql)}, snap)
			if d.Target != c.target || d.Reason != c.reason || d.Rule != c.rule {
				t.Errorf("%v because of %v by rule %q, want %v because of %v by %q", d.Target, d.Reason, d.Rule, c.target, c.reason, c.rule)
			}
			if c.node != "" && (d.Node == nil || d.Node.Name != c.node) {
				t.Errorf("node %v, want %s", d.Node, c.node)
			}
			if d.Target == TargetFollower && (d.Node == nil || d.Node == snap.Leader) {
				t.Errorf("a follower is to answer, and the node is %v", d.Node)
			}
		})
	}
}

func TestRouteWithoutNodes(t *testing.T) {
	v := SessionView{Autocommit: true}
	st := Classify([]byte("SELECT 1"), Mode{}, nil)
	for _, c := range []struct {
		name, policy string
		snap         *topology.Snapshot
		target       Target
	}{
		{"no node at all", "leader", &topology.Snapshot{}, TargetLeader},
		{"no node, and the leader forbidden", "error", &topology.Snapshot{}, TargetRefuse},
		{"followers, and no leader", "leader", &topology.Snapshot{Nodes: []*topology.Node{follower("f", 1, 0)}}, TargetFollower},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewPolicy(PolicySpec{NoFollower: c.policy})
			if err != nil {
				t.Fatal(err)
			}
			if d := p.Route(&v, &st, nil, c.snap); d.Target != c.target || d.Node == nil != (c.target != TargetFollower) {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestBalance(t *testing.T) {
	p, err := NewPolicy(PolicySpec{Zone: "here"})
	if err != nil {
		t.Fatal(err)
	}
	st := Classify([]byte("SELECT 1"), Mode{}, nil)
	count := func(snap *topology.Snapshot) map[string]int {
		got := map[string]int{}
		for seed := range uint64(4000) {
			v := SessionView{Autocommit: true, Seed: seed}
			got[p.Route(&v, &st, nil, snap).Node.Name]++
		}
		return got
	}
	a, b, c := follower("a", 100, 0), follower("b", 300, 0), follower("c", 100, 0)
	snap := &topology.Snapshot{Nodes: []*topology.Node{a, b, c}}
	if got := count(snap); got["a"] < 600 || got["a"] > 1000 || got["b"] < 2100 || got["b"] > 2700 {
		t.Errorf("idle followers of weights 100, 300, 100: %v", got)
	}
	a.Load.Outstanding.Store(1)
	b.Load.Outstanding.Store(2)
	c.Load.Outstanding.Store(1)
	if got := count(snap); got["b"] != 4000 {
		t.Errorf("the lightest in proportion to its weight: %v", got)
	}
	c.Zone = "here"
	if got := count(snap); got["c"] != 4000 {
		t.Errorf("the one in the proxy's zone: %v", got)
	}
	c.Eligible = false
	if got := count(snap); got["b"] != 4000 {
		t.Errorf("none eligible in the zone: %v", got)
	}
}

func TestPolicyErrors(t *testing.T) {
	for want, s := range map[string]PolicySpec{
		`no_follower: "x" is not known, want leader or error`:           {NoFollower: "x"},
		`rule #1: target: "x" is not known, want leader or follower`:    {Rules: []RuleSpec{{Target: "x"}}},
		"rule a: pattern: error parsing regexp: missing closing ): `(`": {Rules: []RuleSpec{{Name: "a", Pattern: "("}}},
		`rule b: digest: "zz" is not a number of 16 hexadecimal digits`: {Rules: []RuleSpec{{Name: "a"}, {Name: "b", Digest: "zz"}}},
		`rule #1: max_lag: 0s is not over zero`:                         {Rules: []RuleSpec{{MaxLag: new(time.Duration(0))}}},
		`rule #1: clients: ParseAddr("x"): unable to parse IP`:          {Rules: []RuleSpec{{Clients: []string{"x"}}}},
		`rule #1: no_follower: "x" is not known, want leader or error`:  {Rules: []RuleSpec{{NoFollower: "x"}}},
	} {
		if _, err := NewPolicy(s); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestRouteDoesNotAllocate(t *testing.T) {
	learned := NewLearned(16)
	learned.Add(1)
	p, err := NewPolicy(PolicySpec{Pin: true, Learned: learned, Rules: []RuleSpec{
		{Users: []string{"x"}, Schemas: []string{"s"}, Clients: []string{"10.0.0.0/8"}}, {Digest: "1"}, {Pattern: "zz+y"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	sql, snap := []byte("SELECT c FROM sbtest1 WHERE id=12345"), cluster()
	v := SessionView{Autocommit: true, User: "x", Schema: "S", ClientAddr: netip.MustParseAddr("10.2.3.4")}
	st := Classify(sql, Mode{}, nil)
	if n := testing.AllocsPerRun(100, func() {
		q := Query{SQL: sql}
		if p.Route(&v, &st, &q, snap).Node == nil {
			t.Error("no node")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// With ByLatency a follower that answers slower gets a read when it has fewer under way in
// that proportion; differences below a step are none.
func TestBalanceByLatency(t *testing.T) {
	near, far := follower("near", 100, 0), follower("far", 100, 0)
	snap := &topology.Snapshot{Nodes: []*topology.Node{far, near}}
	st := Classify([]byte("SELECT 1"), Mode{}, nil)
	count := func(byLatency bool) (onFar int) {
		p, err := NewPolicy(PolicySpec{ByLatency: byLatency})
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(1000) {
			v := SessionView{Autocommit: true, Seed: seed}
			if p.Route(&v, &st, nil, snap).Node == far {
				onFar++
			}
		}
		return onFar
	}
	for _, c := range []struct {
		near, far   time.Duration
		outstanding int64 // on the near one
		byLatency   bool
		least, most int
	}{
		{200 * time.Microsecond, 20 * time.Millisecond, 0, true, 0, 0},
		{200 * time.Microsecond, 20 * time.Millisecond, 0, false, 400, 600},
		{200 * time.Microsecond, 400 * time.Microsecond, 0, true, 400, 600}, // the same step
		{200 * time.Microsecond, 1700 * time.Microsecond, 2, true, 0, 0},    // 3 to 4
		{200 * time.Microsecond, 1700 * time.Microsecond, 4, true, 1000, 1000},
		{0, 0, 0, true, 400, 600}, // not known
	} {
		near.Load.Latency.Store(int64(c.near))
		far.Load.Latency.Store(int64(c.far))
		near.Load.Outstanding.Store(c.outstanding)
		if got := count(c.byLatency); got < c.least || got > c.most {
			t.Errorf("%+v: %d of 1000 on the far one", c, got)
		}
	}
}
