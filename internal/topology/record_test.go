package topology

import (
	"fmt"
	"slices"
	"testing"
)

func TestRecordSuccession(t *testing.T) {
	r := Record{
		Epoch: 7, Reign: 4, Leader: "a", Members: []string{"a", "b"}, Acks: 1, Settled: true,
		Change: &Change{Kind: KindSwitchover, Phase: PhaseClaimed, From: "a"},
	}
	for i := range uint64(mostPast) {
		r.Past = append(r.Past, Reign{Epoch: i})
	}
	before := r.Clone()
	r.Bury("0-1-99")
	r.Publish("c", []string{"a", "b", "c"})
	if err := before.Follows(&r); err != nil {
		t.Error(err)
	}
	if r.Reign != 7 || r.Leader != "c" || r.Change.Phase != PhasePublished || r.Change.To != "c" {
		t.Errorf("published: %+v, %+v", r, r.Change)
	}
	if fmt.Sprint(r.Members) != "[a b c]" || r.Settled {
		t.Errorf("members %v, settled %v: all count until enough are known to hold what it was opened with", r.Members, r.Settled)
	}
	if last := r.Past[len(r.Past)-1]; len(r.Past) != mostPast || last != (Reign{Epoch: 4, Leader: "a", Until: "0-1-99"}) {
		t.Errorf("the past: %v", r.Past)
	}
	if !slices.Equal(before.Members, []string{"a", "b"}) || len(before.Past) != mostPast || before.Past[0] != (Reign{}) {
		t.Errorf("the copy changed: %+v", before)
	}
	r.Acks = 0
	if r.Publish("b", nil); !r.Settled {
		t.Error("without acknowledgements there is nothing to wait for")
	}
}
