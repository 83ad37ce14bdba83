package executor

import (
	"context"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// fakeEngine remembers what it is told.
type fakeEngine struct {
	links map[string]EngineLink
	told  []string
}

func (e *fakeEngine) User() string { return "engine" }
func (e *fakeEngine) Lead(leader string, _ uint64, _ []string, own bool) <-chan struct{} {
	if !own {
		leader += " of another"
	}
	e.told = append(e.told, leader)
	return nil
}
func (e *fakeEngine) Link(node string) (EngineLink, bool) { l, ok := e.links[node]; return l, ok }
func (e *fakeEngine) Pull(context.Context, string, string, gtid.Set, uint64) error {
	return nil
}
func (e *fakeEngine) Retry(string)        {}
func (e *fakeEngine) Repair(string) error { return nil }
func (e *fakeEngine) InSync() int         { return 2 }

// TestReignFollows: the engine replicates in the record's reign, not during a failover, and
// from the old leader until a switchover has written the new one down.
func TestReignFollows(t *testing.T) {
	e := &fakeEngine{}
	r := &reign{engine: e}
	rec := topology.Record{Leader: "db1", Reign: 1}
	r.follow(&rec, rec.Members, true)
	r.follow(&rec, rec.Members, true) // told once
	rec.Change = &topology.Change{Kind: topology.KindSwitchover, Phase: topology.PhaseClaimed}
	r.follow(&rec, rec.Members, true)
	rec.Change = &topology.Change{Kind: topology.KindFailover, Phase: topology.PhaseClaimed}
	r.follow(&rec, rec.Members, true)
	rec.Leader, rec.Reign, rec.Change.Phase = "db2", 2, topology.PhasePublished
	r.follow(&rec, rec.Members, true)
	r.follow(&rec, rec.Members, false)
	want := []string{"db1", "", "db2", "db2 of another"}
	if len(e.told) != len(want) {
		t.Fatalf("told %q, want %q", e.told, want)
	}
	for i := range want {
		if e.told[i] != want[i] {
			t.Errorf("told %q, want %q", e.told, want)
		}
	}
	(&reign{}).follow(&rec, nil, true) // the servers replicate
}

// TestLookAt: what the machine sees of nodes to which the engine replicates.
func TestLookAt(t *testing.T) {
	now := time.Now()
	e := &fakeEngine{links: map[string]EngineLink{
		"streams": {Leader: "db1", Receiving: true, Heard: now},
		"copied":  {Leader: "db1", Copying: true},
		"foreign": {Leader: "db1", Foreign: true},
	}}
	rec := topology.Record{Leader: "db1"}
	see := func(node string, acks int, held bool, waits int) failover.Sight {
		s := failover.Sight{Node: node, New: failover.ReachAnswers, Acks: waits}
		lookAt(e, &s, &rec, held, acks)
		return s
	}
	if s := see("db1", 2, true, 1); s.Acks != 2 || s.Ackers != 2 || s.Link != nil {
		t.Errorf("the leader waits for the engine, which waits for 2: %+v", s)
	}
	if s := see("db1", 2, true, 0); s.Acks != -1 {
		t.Errorf("the leader does not wait yet: %+v", s)
	}
	if s := see("db1", 0, true, 1); s.Acks != 0 {
		t.Errorf("nothing is promised: %+v", s)
	}
	if s := see("streams", 1, true, 0); s.Link == nil || s.Link.Source != "db1" || !s.Link.Receiving || !s.Link.Heard.Equal(now) {
		t.Errorf("one that follows: %+v", s.Link)
	}
	if s := see("copied", 1, true, 0); !s.Copying || s.Link == nil || s.Link.Receiving {
		t.Errorf("one that is copied: %+v", s)
	}
	if s := see("foreign", 1, true, 0); s.Link != nil {
		t.Errorf("one with transactions of its own is to be looked at: %+v", s.Link)
	}
	if s := see("unknown", 1, true, 0); s.Link == nil || s.Link.Receiving {
		t.Errorf("one that nothing is known of: %+v", s.Link)
	}
	if s := see("unknown", 1, false, 0); s.Link == nil || !s.Link.Receiving || now.Sub(s.Link.Heard) < time.Hour {
		t.Errorf("another proxy replicates, and hears for itself: %+v", s.Link)
	}
}
