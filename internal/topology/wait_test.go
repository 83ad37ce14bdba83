package topology

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func set(t *testing.T, f gtid.Flavor, text string) gtid.Set {
	t.Helper()
	s, err := gtid.Parse(f, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// follower is a store with one follower, and a function that publishes its position.
func follower(f gtid.Flavor) (*Store, func(position gtid.Set, at time.Time)) {
	st := NewStore(&Snapshot{Flavor: f, Nodes: []*Node{{Name: "db2", Load: new(Load)}}})
	return st, func(position gtid.Set, at time.Time) {
		st.Update(func(next *Snapshot) *Snapshot {
			next.Nodes[0].Position, next.At = position, at
			return next
		})
	}
}

func reached(w *Wait) bool {
	select {
	case <-w.Reached:
		return true
	default:
		return false
	}
}

// A wait ends with the first position that contains its floor, and with no other.
func TestAwait(t *testing.T) {
	const u, v = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	at := time.Unix(1000, 0)
	for name, make := range map[string]struct {
		flavor gtid.Flavor
		text   func(a, b int) string
	}{
		"mariadb": {gtid.MariaDB, func(a, b int) string { return fmt.Sprintf("0-1-%d,1-1-%d", a, b) }},
		"mysql":   {gtid.MySQL, func(a, b int) string { return fmt.Sprintf("%s:1-%d,%s:1-%d", u, a, v, b) }},
	} {
		t.Run(name, func(t *testing.T) {
			st, publish := follower(make.flavor)
			waits, floors := []*Wait{}, []gtid.Set{}
			a, b := 1, 1
			for range 400 {
				position := set(t, make.flavor, make.text(a, b))
				publish(position, at)
				for i, w := range waits {
					if w != nil && reached(w) != position.Contains(floors[i]) {
						t.Fatalf("%s: the wait for %s: %v", position, floors[i], reached(w))
					}
					if w != nil && rand.N(10) == 0 {
						w.Done()
						waits[i] = nil
					}
				}
				floor := set(t, make.flavor, make.text(a+rand.N(9), b+rand.N(9)))
				waits, floors = append(waits, st.Await("db2", floor, at)), append(floors, floor)
				a, b = a+rand.N(3), b+rand.N(3)
			}
			for _, w := range waits {
				if w != nil {
					w.Done()
				}
			}
			publish(set(t, make.flavor, make.text(1000, 1000)), at)
			if n, learning := st.Waiting("db2"); n != 0 || !learning.IsZero() || len(st.lines["db2"].heaps) != 0 {
				t.Errorf("at the end %d wait, and %d heaps are left", n, len(st.lines["db2"].heaps))
			}
		})
	}
}

// What is expected of a follower is what was seen of it: its delay, and for how long
// it has lacked what a session gave up waiting for.
func TestForecast(t *testing.T) {
	at := time.Unix(1000, 0)
	st, publish := follower(gtid.MariaDB)
	publish(set(t, gtid.MariaDB, "0-1-1"), at)
	node := func() *Node { return st.Load().Nodes[0] }
	if d := node().Forecast(at, at); d != 0 {
		t.Errorf("a follower of which nothing is known: %v", d)
	}
	w := st.Await("db2", set(t, gtid.MariaDB, "0-1-2"), at)
	w.Done() // it gave up
	now := at.Add(time.Second)
	if d := node().Forecast(now, now); d != time.Second {
		t.Errorf("a follower that has lacked something for a second: %v", d)
	}
	publish(set(t, gtid.MariaDB, "0-1-2"), now)
	if d := node().Forecast(now, now); d != time.Second/2 {
		t.Errorf("a follower that was late by a second once: %v", d)
	}
	for i := range 10 { // and is in time since
		floor := set(t, gtid.MariaDB, fmt.Sprintf("0-1-%d", 3+i))
		st.Note("db2", floor, now)
		publish(floor, now)
	}
	if d := node().Forecast(now, now); d > time.Millisecond {
		t.Errorf("a follower that was in time ten times: %v", d)
	}
	// What was lost with a leader is not waited for, and does not count against it.
	st.Note("db2", set(t, gtid.MariaDB, "0-1-1000"), now)
	st.Update(func(next *Snapshot) *Snapshot { next.Epoch++; return next })
	if d := node().Forecast(now, now.Add(time.Hour)); d != 0 {
		t.Errorf("under another leader: %v", d)
	}
	if len(st.lines["db2"].heaps) != 0 {
		t.Error("what was lost is still waited for")
	}
	w = st.Await("db1", set(t, gtid.MariaDB, "0-1-1000"), now)
	if !reached(w) {
		t.Error("a node that is not there is waited for")
	}
	w.Done()
}
