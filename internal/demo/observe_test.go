package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

func TestTally(t *testing.T) {
	var total tally
	steps := []struct {
		name      string
		now, want nodeCounts
	}{
		{"what was there before does not count", nodeCounts{true, 100, 10}, nodeCounts{true, 0, 0}},
		{"it grows", nodeCounts{true, 150, 12}, nodeCounts{true, 50, 2}},
		{"no answer", nodeCounts{}, nodeCounts{false, 50, 2}},
		{"restarted, it counts from zero", nodeCounts{true, 7, 0}, nodeCounts{true, 57, 2}},
		{"and grows again", nodeCounts{true, 10, 1}, nodeCounts{true, 60, 3}},
	}
	for _, s := range steps {
		if got := total.add(map[string]nodeCounts{"db1": s.now})["db1"]; got != s.want {
			t.Errorf("%s: %+v, want %+v", s.name, got, s.want)
		}
	}
}

func TestCountRoutes(t *testing.T) {
	reg := prometheus.NewRegistry()
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bellwether_statements_total"}, []string{"target", "reason"})
	reg.MustRegister(vec, prometheus.NewCounter(prometheus.CounterOpts{Name: "other_total"}))
	vec.WithLabelValues("leader", "write").Add(3)
	vec.WithLabelValues("follower", "read").Add(5)
	want := map[routeKey]uint64{{"leader", "write"}: 3, {"follower", "read"}: 5}
	if diff := cmp.Diff(want, countRoutes(reg)); diff != "" {
		t.Error(diff)
	}
}

func TestChanges(t *testing.T) {
	follower := func(state topology.State, eligible bool, why string) *topology.Snapshot {
		return &topology.Snapshot{Nodes: []*topology.Node{
			{Name: "db2", Role: topology.RoleFollower, State: state, Eligible: eligible, Why: why},
		}}
	}
	up, behind := follower(topology.StateUp, true, ""), follower(topology.StateUp, false, "2 s behind")
	tests := []struct {
		name      string
		old, next *topology.Snapshot
		want      []string
	}{
		{"nothing", up, up, nil},
		{"ejected", up, behind, []string{"db2 gets no reads: 2 s behind"}},
		{"back", behind, up, []string{"db2 gets reads"}},
		{"down", up, follower(topology.StateDown, false, "no answer"), []string{"db2 is down: no answer"}},
		{"stays down", follower(topology.StateDown, false, "a"), follower(topology.StateDown, false, "b"), nil},
		{"a new node", &topology.Snapshot{}, up, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, changes(tt.old, tt.next)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	for i := range numBuckets {
		if lower(i) >= time.Microsecond && i >= 24 && bucket(lower(i)) != i {
			t.Errorf("bucket(%s) = %d, want %d", lower(i), bucket(lower(i)), i)
		}
	}
	for d := time.Microsecond; d < 10*time.Second; d = d*9/8 + 1 {
		b := bucket(d)
		if b > 24 && (lower(b) > d || lower(b+1) <= d.Truncate(time.Microsecond)) {
			t.Errorf("%s is in the bucket from %s to %s", d, lower(b), lower(b+1))
		}
	}
	var h histogram
	if _, ok := quantile(h.counts(), 0.5); ok {
		t.Error("a quantile of nothing")
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.95: 950 * time.Millisecond} {
		got, ok := quantile(h.counts(), q)
		if !ok || got < want || got > want*9/8 {
			t.Errorf("quantile %v: %s, want %s to an eighth more", q, got, want)
		}
	}
	h.add(time.Hour) // too long for any bucket but the last
}
