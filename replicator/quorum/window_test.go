package quorum

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func at(t *testing.T, n int) gtid.Set {
	t.Helper()
	s, err := gtid.Parse(gtid.MariaDB, fmt.Sprintf("0-1-%d", n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func txn(t *testing.T, n int) Transaction {
	return Transaction{GTIDs: at(t, n), File: "binlog.000001", End: uint64(100 * n)}
}

// wantAck checks what is acknowledged next; 0 for nothing.
func wantAck(t *testing.T, w *Window, end uint64) {
	t.Helper()
	got, ok, _ := w.Acknowledge()
	if ok != (end > 0) || got.End != end {
		t.Errorf("acknowledged %d (%v), want %d", got.End, ok, end)
	}
}

func TestWindow(t *testing.T) {
	start := time.Unix(1000, 0)
	w := New(Policy{Acks: 1}, []string{"a", "b"})
	w.Join("a", at(t, 10))
	if in, _ := w.Tick(start); !slices.Equal(in, []string{"a"}) {
		t.Errorf("entered: %v", in)
	}
	w.Add(txn(t, 11), start)
	w.Add(txn(t, 12), start)
	wantAck(t, w, 0)
	w.Committed("a", at(t, 11))
	wantAck(t, w, 1100)
	wantAck(t, w, 0)
	w.Committed("a", at(t, 14)) // ahead of what was read of the leader
	wantAck(t, w, 1200)
	w.Add(txn(t, 13), start)
	wantAck(t, w, 1300)
	if len(w.entries) != 0 || w.Waiting() != 0 {
		t.Errorf("%d are kept, %d wait", len(w.entries), w.Waiting())
	}
	// One that comes late has what was dropped, or has not.
	w.Join("b", at(t, 12))
	w.Add(txn(t, 14), start)
	w.Committed("b", at(t, 12))
	if m := w.members["b"]; m.upTo != 0 {
		t.Errorf("it lacks 13, and is said to have up to number %d", m.upTo)
	}
	w.Committed("b", at(t, 13))
	if m := w.members["b"]; m.upTo != 3 {
		t.Errorf("it has up to 13, and is said to have up to number %d", m.upTo)
	}
	// A new stream from the leader, which waits for 14.
	w.Restart()
	w.Add(txn(t, 14), start)
	wantAck(t, w, 1400)
	// A follower that was put back does not have what it had.
	w.Join("a", at(t, 13))
	w.Leave("a", start)
	w.Add(txn(t, 15), start)
	w.Committed("b", at(t, 13))
	wantAck(t, w, 0)
	w.Committed("a", at(t, 15)) // what it committed counts, though it has left
	wantAck(t, w, 1500)
}

func TestInSyncSet(t *testing.T) {
	now := time.Unix(1000, 0)
	pass := func(d time.Duration) time.Time { now = now.Add(d); return now }
	w := New(Policy{Acks: All, MaxLag: 4 * time.Second}, []string{"a", "b"})
	w.Join("a", at(t, 1))
	w.Join("b", at(t, 1))
	w.Tick(now)
	w.Add(txn(t, 2), now)
	w.Committed("a", at(t, 2))
	wantAck(t, w, 0)
	if _, left := w.Tick(pass(4 * time.Second)); len(left) != 0 {
		t.Errorf("left too early: %v", left)
	}
	if _, left := w.Tick(pass(time.Millisecond)); !slices.Equal(left, []string{"b"}) {
		t.Errorf("left: %v", left)
	}
	wantAck(t, w, 200) // all that are in sync have it
	w.Add(txn(t, 3), now)
	w.Committed("a", at(t, 3))
	wantAck(t, w, 300)
	w.Committed("b", at(t, 3))
	for i, want := range []int{0, 0, 1} { // it must be well for a second
		if in, _ := w.Tick(pass(time.Duration(i) * 500 * time.Millisecond)); len(in) != want {
			t.Errorf("tick %d: entered %v", i, in)
		}
	}
	// Without a connection it is in sync for a while, and then is not.
	w.Leave("b", now)
	if _, left := w.Tick(pass(5 * time.Second)); !slices.Equal(left, []string{"b"}) || !slices.Equal(w.InSync(), []string{"a"}) {
		t.Errorf("left: %v, in sync: %v", left, w.InSync())
	}
}

// The window says what a count over the whole history says.
func TestWindowAgainstHistory(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	names := []string{"a", "b", "c"}
	for range 200 {
		k := 1 + rng.IntN(3)
		w := New(Policy{Acks: k}, names)
		has := map[string]int{}
		for _, n := range names {
			w.Join(n, gtid.Set{})
		}
		read, acked := 0, 0
		for range 100 {
			if rng.IntN(2) == 0 {
				read++
				w.Add(txn(t, read), time.Time{})
			} else {
				n := names[rng.IntN(3)]
				has[n] += rng.IntN(3)
				if has[n] > 0 {
					w.Committed(n, at(t, has[n]))
				}
			}
			w.Tick(time.Time{})
			counts := []int{has["a"], has["b"], has["c"]}
			slices.Sort(counts)
			want := min(counts[3-k], read)
			if got, ok, _ := w.Acknowledge(); ok {
				acked = int(got.End / 100)
			}
			if acked != want {
				t.Fatalf("seed %d: acknowledged %d, want %d of %v", seed, acked, want, has)
			}
		}
	}
}

// Only the commits of those count who are to, whoever follows.
func TestCount(t *testing.T) {
	now := time.Now()
	w := New(Policy{Acks: 1}, []string{"a", "b"})
	set := func(n int) gtid.Set {
		s, err := gtid.Parse(gtid.MariaDB, fmt.Sprintf("0-1-%d", n))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.Join("a", set(0))
	w.Join("b", set(0))
	w.Count([]string{"b", "leader"})
	w.Add(Transaction{GTIDs: set(1), File: "f", End: 10}, now)
	w.Committed("a", set(1))
	w.Tick(now)
	if _, ok, _ := w.Acknowledge(); ok {
		t.Error("acknowledged by one that does not count")
	}
	if got := w.InSync(); len(got) != 1 || got[0] != "b" {
		t.Errorf("in sync: %v", got)
	}
	w.Count([]string{"a", "b"})
	if got, ok, _ := w.Acknowledge(); !ok || got.End != 10 {
		t.Errorf("not acknowledged by one that counts now: %+v", got)
	}
	w.Tick(now)
	w.Count([]string{"b"})
	w.Tick(now)
	if got := w.InSync(); len(got) != 1 || got[0] != "b" {
		t.Errorf("in sync without a: %v", got)
	}
}
