package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

const (
	uuidA = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
	uuidB = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
)

func mysqlSet(t *testing.T, s string) gtid.Set {
	t.Helper()
	set, err := gtid.Parse(gtid.MySQL, strings.NewReplacer("A:", uuidA+":", "B:", uuidB+":").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// permutations calls f with each order of cs.
func permutations(cs []Candidate, f func([]Candidate)) {
	var rec func(k int)
	rec = func(k int) {
		if k == len(cs) {
			f(cs)
			return
		}
		for i := k; i < len(cs); i++ {
			cs[k], cs[i] = cs[i], cs[k]
			rec(k + 1)
			cs[k], cs[i] = cs[i], cs[k]
		}
	}
	rec(0)
}

func TestChooseInEveryOrder(t *testing.T) {
	set := func(s string) gtid.Set { return mysqlSet(t, s) }
	tests := []struct {
		name       string
		cs         []Candidate
		wanted     string
		force      bool
		node, from string
		lost, err  string
	}{
		{name: "nobody", err: "no follower can be had"},
		{name: "the most advanced", cs: []Candidate{
			{Name: "x", Executed: set("A:1-9")}, {Name: "y", Executed: set("A:1-10"), Order: 1}, {Name: "z", Executed: set("A:1-3"), Order: 2},
		}, node: "y"},
		{name: "best received, not best executed", cs: []Candidate{
			{Name: "x", Executed: set("A:1-9")}, {Name: "y", Executed: set("A:1-3"), Received: set("A:1-10"), Order: 1},
		}, node: "y"},
		{name: "a longer set that does not contain the shorter one", cs: []Candidate{
			{Name: "x", Executed: set("A:1-100")}, {Name: "y", Executed: set("A:1-5:101"), Order: 1},
		}, err: "hold different transactions"},
		{name: "by force, with the loss told", force: true, cs: []Candidate{
			{Name: "x", Executed: set("A:1-100")}, {Name: "y", Executed: set("A:1-5:101"), Order: 1},
		}, node: "x", lost: uuidA + ":101"},
		{name: "a lesser one between two that differ", cs: []Candidate{
			{Name: "x", Executed: set("A:1-5,B:1")}, {Name: "y", Executed: set("A:1-5"), Order: 1}, {Name: "z", Executed: set("A:1-6"), Order: 2},
		}, err: "hold different transactions"},
		{name: "errant transactions do not count, and exclude", cs: []Candidate{
			{Name: "x", Executed: set("A:1-10,B:1"), Errant: set("B:1")}, {Name: "y", Executed: set("A:1-10"), Order: 1},
		}, node: "y"},
		{name: "the one who holds most may not be promoted: it gives", cs: []Candidate{
			{Name: "x", Executed: set("A:1-10"), Promotion: PromoteNever}, {Name: "y", Executed: set("A:1-8"), Order: 1}, {Name: "z", Executed: set("A:1-7"), Order: 2, Promotion: PromotePrefer},
		}, node: "z", from: "x"},
		{name: "promotion rule before zone", cs: []Candidate{
			{Name: "x", Executed: set("A:1"), Zone: "here"}, {Name: "y", Executed: set("A:1"), Zone: "there", Promotion: PromotePrefer, Order: 1},
		}, node: "y"},
		{name: "avoided only if there is another", cs: []Candidate{
			{Name: "x", Executed: set("A:1"), Promotion: PromoteAvoid}, {Name: "y", Executed: set("A:1"), Lag: time.Hour, Order: 1},
		}, node: "y"},
		{name: "zone before version", cs: []Candidate{
			{Name: "x", Executed: set("A:1"), Zone: "there", Version: "8.0.30"}, {Name: "y", Executed: set("A:1"), Zone: "here", Version: "8.4.2", Order: 1},
		}, node: "y"},
		{name: "older version, as a number", cs: []Candidate{
			{Name: "x", Executed: set("A:1"), Version: "10.11.19-MariaDB"}, {Name: "y", Executed: set("A:1"), Version: "10.6.20-MariaDB", Order: 1},
		}, node: "y"},
		{name: "lag, then what is left to apply, then order", cs: []Candidate{
			{Name: "v", Executed: set("A:1-9"), Received: set("A:1-10"), Order: 3},
			{Name: "w", Executed: set("A:1-10"), Lag: time.Second, Order: 0},
			{Name: "x", Executed: set("A:1-10"), Order: 2},
			{Name: "y", Executed: set("A:1-10"), Order: 1},
		}, node: "y"},
		{name: "wanted, behind: it takes from the other", wanted: "y", cs: []Candidate{
			{Name: "x", Executed: set("A:1-10")}, {Name: "y", Executed: set("A:1-8"), Order: 1},
		}, node: "y", from: "x"},
		{name: "wanted, not there", wanted: "q", cs: []Candidate{{Name: "x", Executed: set("A:1-10")}}, err: "q cannot be promoted"},
		{name: "none may", cs: []Candidate{{Name: "x", Executed: set("A:1"), Promotion: PromoteNever}}, err: "none of the followers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			permutations(tt.cs, func(cs []Candidate) {
				got, err := Choose(cs, "here", tt.wanted, tt.force)
				switch {
				case tt.err != "":
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Fatalf("got %+v, error %v, want error %q", got, err, tt.err)
					}
				case err != nil || got.Node != tt.node || got.From != tt.from || got.Lost.String() != tt.lost:
					t.Fatalf("got node %q from %q lost %q, error %v; want %q %q %q", got.Node, got.From, got.Lost, err, tt.node, tt.from, tt.lost)
				}
			})
		})
	}
}

// Against a dumb oracle: every subset of four transactions on three followers, on
// every order. The chosen one ends with everything that any of them holds, or nobody
// is chosen because no set holds all.
func TestChooseHoldsEverything(t *testing.T) {
	sets := make([]gtid.Set, 16)
	for bits := range sets {
		var items []string
		for i, item := range []string{"A:1", "A:2", "A:3", "B:1"} {
			if bits&(1<<i) != 0 {
				items = append(items, item)
			}
		}
		sets[bits] = mysqlSet(t, strings.Join(items, ","))
	}
	for a := range sets {
		for b := range sets {
			for c := range sets {
				all := a | b | c
				could := all == a || all == b || all == c
				first := ""
				permutations([]Candidate{{Name: "x", Executed: sets[a]}, {Name: "y", Executed: sets[b], Order: 1}, {Name: "z", Received: sets[c], Order: 2}}, func(cs []Candidate) {
					got, err := Choose(cs, "", "", false)
					if (err == nil) != could {
						t.Fatalf("%v %v %v: error %v, but one holds all: %v", sets[a], sets[b], sets[c], err, could)
					}
					if err == nil && !got.Until.Equal(sets[all]) {
						t.Fatalf("%v %v %v: opened with %v", sets[a], sets[b], sets[c], got.Until)
					}
					if first == "" {
						first = got.Node
					}
					if got.Node != first {
						t.Fatalf("%v %v %v: %s or %s, by order", sets[a], sets[b], sets[c], first, got.Node)
					}
				})
			}
		}
	}
}
