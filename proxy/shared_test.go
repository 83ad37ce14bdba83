package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func position(t *testing.T, text string) gtid.Set {
	t.Helper()
	s, err := gtid.Parse(gtid.MariaDB, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a session of a key wrote or read binds the others, and itself no more than it
// was bound before.
func TestSharedFloors(t *testing.T) {
	var sf sharedFloors
	at := time.Unix(1000, 0)
	tick := func() time.Time { at = at.Add(time.Millisecond); return at }
	known := func(f *floor) { f.open = time.Time{} } // as after asking the leader
	var a, b floor

	x, v := sf.enter("u", 1, 1, &a, tick())
	if a.open.IsZero() {
		t.Error("a new key is not read at the leader's position")
	}
	known(&a)
	a.at = position(t, "0-1-5")
	sf.leave(x, v, 1, &a, false, tick())

	x, v = sf.enter("u", 2, 1, &b, tick())
	if !b.at.Contains(a.at) || !b.open.IsZero() {
		t.Errorf("after a write of another session: %s, open %v", b.at, !b.open.IsZero())
	}
	sf.leave(x, v, 2, &b, true, tick()) // it read on a follower

	x, v = sf.enter("u", 2, 1, &b, tick())
	if !b.open.IsZero() {
		t.Error("what the session itself reads on its follower binds it")
	}
	sf.leave(x, v, 2, &b, true, tick())
	x, v = sf.enter("u", 1, 1, &a, tick())
	if a.open.IsZero() {
		t.Error("what another session read on a follower does not bind")
	}
	// While that runs, the other reads too: neither knows what the other saw.
	y, w := sf.enter("u", 2, 1, &b, tick())
	if b.open.IsZero() {
		t.Error("what runs on another session does not bind")
	}
	known(&a)
	sf.leave(x, v, 1, &a, true, tick())
	known(&b)
	sf.leave(y, w, 2, &b, false, tick())
	if _, _ = sf.enter("u", 2, 1, &b, tick()); b.open.IsZero() {
		t.Error("what the other read meanwhile does not bind")
	}
}

func TestSharedFloorsAreBounded(t *testing.T) {
	var sf sharedFloors
	at := time.Unix(1000, 0)
	for i := range maxSharedFloors + 10 {
		var f floor
		x, v := sf.enter(fmt.Sprint(i), 1, 1, &f, at)
		f.open = time.Time{}
		sf.leave(x, v, 1, &f, false, at)
	}
	if len(sf.byKey) != maxSharedFloors || sf.order.Len() != maxSharedFloors || sf.count() != 10 {
		t.Errorf("%d keys, %d in order, %d forgotten", len(sf.byKey), sf.order.Len(), sf.count())
	}
	var f floor
	if sf.enter("0", 1, 1, &f, at); f.open.IsZero() {
		t.Error("a key that was forgotten is not read at the leader's position")
	}
	f = floor{}
	if sf.enter("100", 1, 1, &f, at); !f.open.IsZero() {
		t.Error("a key that is remembered is")
	}
}
