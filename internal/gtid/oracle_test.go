package gtid

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// txn is one transaction of the oracle, which keeps sets as plain Go maps of
// every single transaction and so cannot be clever.
type txn struct {
	source string // uuid:tag, or the domain
	n      uint64
}

type dumbSet map[txn]bool

func dumb(t *testing.T, s Set) dumbSet {
	t.Helper()
	out := dumbSet{}
	add := func(source string, first, last uint64) {
		if last-first > 1<<12 {
			t.Skip("too large for the oracle")
		}
		for n := first; n <= last; n++ {
			out[txn{source, n}] = true
		}
	}
	for _, e := range s.uuids {
		for _, iv := range e.ivs {
			add(fmt.Sprintf("%x:%s", e.uuid, e.tag), uint64(iv.first), uint64(iv.last))
		}
	}
	for _, d := range s.doms {
		add(fmt.Sprint(d.domain), d.first, d.last)
	}
	return out
}

func (a dumbSet) contains(b dumbSet) bool {
	for x := range b {
		if !a[x] {
			return false
		}
	}
	return true
}

func (a dumbSet) union(b dumbSet) dumbSet {
	out := dumbSet{}
	for x := range a {
		out[x] = true
	}
	for x := range b {
		out[x] = true
	}
	return out
}

func (a dumbSet) subtract(b dumbSet) dumbSet {
	out := dumbSet{}
	for x := range a {
		if !b[x] {
			out[x] = true
		}
	}
	return out
}

func (a dumbSet) equal(b dumbSet) bool { return a.contains(b) && b.contains(a) }

// checkAgainstOracle runs every operation on two sets and compares. MariaDB sets
// must be positions, all written by one server: for anything else the oracle,
// which does not know who wrote a number, has no opinion.
func checkAgainstOracle(t *testing.T, a, b Set) {
	t.Helper()
	da, db := dumb(t, a), dumb(t, b)
	check := func(what string, ok bool) {
		if !ok {
			t.Errorf("%s is wrong for\na = %s\nb = %s", what, a, b)
		}
	}
	check("Contains", a.Contains(b) == da.contains(db))
	check("Equal", a.Equal(b) == da.equal(db))
	check("Count", a.Count() == uint64(len(da)))
	check("Union", dumb(t, a.Union(b)).equal(da.union(db)))
	check("Subtract", dumb(t, a.Subtract(b)).equal(da.subtract(db)))
	check("Count of Subtract", a.Subtract(b).Count() == uint64(len(da.subtract(db))))
	want := Concurrent
	switch ab, ba := da.contains(db), db.contains(da); {
	case ab && ba:
		want = Equal
	case ab:
		want = After
	case ba:
		want = Before
	}
	check("Compare", Compare(a, b) == want)
	checkLaws(t, a, b)
}

// checkLaws holds for all sets of one flavour, diverged positions included.
func checkLaws(t *testing.T, a, b Set) {
	t.Helper()
	check := func(what string, ok bool) {
		if !ok {
			t.Errorf("%s does not hold for\na = %s\nb = %s", what, a, b)
		}
	}
	check("a contains a", a.Contains(a))
	check("a and b compare the other way round", Compare(a, b) == flip(Compare(b, a)))
	check("subtract is empty exactly when contained", a.Subtract(b).IsEmpty() == b.Contains(a))
	check("union is commutative", a.Union(b).Equal(b.Union(a)))
	if Compare(a, b) != Concurrent || a.Flavor() == MySQL {
		check("union contains both", a.Union(b).Contains(a) && a.Union(b).Contains(b))
	}
	for _, s := range []Set{a, a.Union(b), a.Subtract(b)} {
		again, err := Parse(a.flavor, s.String())
		check("String is read back", err == nil && again.Equal(s) && again.String() == s.String())
	}
}

func flip(o Order) Order {
	switch o {
	case Before:
		return After
	case After:
		return Before
	default:
		return o
	}
}

func randomSet(r *rand.Rand, f Flavor) string {
	var items []string
	for source := range 3 {
		if r.IntN(3) == 0 {
			continue
		}
		if f == MariaDB {
			items = append(items, fmt.Sprintf("%d-1-%d", source, r.IntN(6)))
			continue
		}
		item := fmt.Sprintf("0000000%d-0000-0000-0000-00000000000a", source)
		for _, tag := range []string{"", ":x", ":y"} {
			if n := r.IntN(4); n > 0 {
				item += tag
				for range n {
					first := 1 + r.IntN(12)
					item += fmt.Sprintf(":%d-%d", first, first+r.IntN(4))
				}
			} else if tag == "" {
				item += ":1"
			}
		}
		items = append(items, item)
	}
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return strings.Join(items, ",")
}

func TestAgainstOracle(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, f := range []Flavor{MariaDB, MySQL} {
		for range 1000 {
			a, b := mustParse(t, f, randomSet(r, f)), mustParse(t, f, randomSet(r, f))
			checkAgainstOracle(t, a, b)
			if t.Failed() {
				return
			}
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add(true, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:8:mytag:1-3", "3E11FA47-71CA-11E1-9E33-C80AA9429562:2-9")
	f.Add(true, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:5-7,\n3e11fa47-71ca-11e1-9e33-c80aa9429562:4", "")
	f.Add(true, "3e11fa47-71ca-11e1-9e33-c80aa9429562:t:1:t:2:u:9223372036854775806", ",,")
	f.Add(false, "0-1-100,7-2-3", "0-1-99,8-1-1")
	f.Add(false, "0-1-5", "0-2-5")
	f.Add(false, "0-1-96..100", "4294967295-4294967295-18446744073709551615")
	f.Fuzz(func(t *testing.T, isMySQL bool, x, y string) {
		flavor := MariaDB
		if isMySQL {
			flavor = MySQL
		}
		a, err := Parse(flavor, x)
		if err != nil {
			return
		}
		b, err := Parse(flavor, y)
		if err != nil {
			return
		}
		if a.Count() > 1<<12 || b.Count() > 1<<12 || !plain(a, b) {
			if plain(a, b) || onlyPositions(a, b) {
				checkLaws(t, a, b)
			}
			return
		}
		checkAgainstOracle(t, a, b)
	})
}

// plain: MySQL, or positions that no two servers wrote in.
func plain(a, b Set) bool {
	if !onlyPositions(a, b) {
		return false
	}
	servers := map[uint32]uint32{}
	for _, d := range append(append([]domainEntry{}, a.doms...), b.doms...) {
		if s, ok := servers[d.domain]; ok && s != d.server {
			return false
		}
		servers[d.domain] = d.server
	}
	return true
}

func onlyPositions(sets ...Set) bool {
	for _, s := range sets {
		for _, d := range s.doms {
			if d.first != 1 {
				return false
			}
		}
	}
	return true
}
