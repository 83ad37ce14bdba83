package executor

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/coord"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// A planned change is written down as the machine would: from its publication all nodes
// count, whichever were members before, with as many acknowledgements as it is opened with.
func TestSuccessionWritesTheRecord(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	keeper, err := coord.OpenLocal(filepath.Join(t.TempDir(), "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- keeper.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ran, keeper.Close()); err != nil {
			t.Error(err)
		}
	}()
	first, err := keeper.Swap(ctx, topology.Record{Epoch: 3, Reign: 3, Leader: "a", Members: []string{"a", "b"}, Acks: 2, Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	appointed := ""
	s := &Succession{
		coord: keeper, record: first, self: "p", acks: 1, members: []string{"a", "b", "c"},
		appoint: func(leader string, epoch uint64) { appointed = leader },
	}
	if err := s.claim(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if r := s.record; r.Epoch != 4 || r.Reign != 3 || r.Leader != "a" || r.Change == nil || r.Change.Phase != topology.PhaseClaimed {
		t.Errorf("claimed: %+v %+v", r, r.Change)
	}
	if err := s.publish(ctx, "b", "0-1-5"); err != nil {
		t.Fatal(err)
	}
	if r := s.record; r.Reign != 4 || r.Leader != "b" || r.Acks != 1 || r.Settled || !slices.Equal(r.Members, s.members) {
		t.Errorf("published: %+v", r)
	}
	if err := s.finish(ctx); err != nil {
		t.Fatal(err)
	}
	stored := keeper.Status().Record
	if leader, epoch := stored.Writable(); leader != "b" || epoch != 4 || appointed != "b" {
		t.Errorf("in the end %s leads in epoch %d, and %q was appointed", leader, epoch, appointed)
	}
	if past := stored.Past; len(past) != 1 || past[0] != (topology.Reign{Epoch: 3, Leader: "a", Until: "0-1-5"}) {
		t.Errorf("the past: %v", past)
	}
}
