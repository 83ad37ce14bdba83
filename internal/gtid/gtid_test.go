package gtid

import (
	"errors"
	"strings"
	"testing"
)

const (
	uA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func mustParse(t *testing.T, f Flavor, s string) Set {
	t.Helper()
	out, err := Parse(f, s)
	if err != nil {
		t.Fatalf("Parse(%v, %q): %v", f, s, err)
	}
	return out
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name   string
		flavor Flavor
		in     string
		want   string // "!" for an error
		count  uint64
	}{
		{"mysql empty", MySQL, "", "", 0},
		{"mysql one", MySQL, uA + ":5", uA + ":5", 1},
		{"mysql range of one", MySQL, uA + ":5-5", uA + ":5", 1},
		{"mysql as the server wraps it", MySQL, uB + ":1-5:7,\n" + uA + ":1-3", uA + ":1-3," + uB + ":1-5:7", 9},
		{"mysql upper case", MySQL, strings.ToUpper(uA) + ":1", uA + ":1", 1},
		{"mysql adjacent and overlapping", MySQL, uA + ":4-6:1-3:5-9", uA + ":1-9", 9},
		{"mysql same uuid twice", MySQL, uA + ":1-3," + uA + ":2-5", uA + ":1-5", 5},
		{"mysql tags", MySQL, uA + ":1-1752:mytag:1", uA + ":1-1752:mytag:1", 1753},
		{"mysql tags sorted, case folded", MySQL, uA + ":Zz:3:aa:1:2:1-4", uA + ":aa:1-4:zz:3", 5},
		{"mysql spaces", MySQL, " " + uA + " : 1 - 3 , ", uA + ":1-3", 3},
		{"mysql greatest", MySQL, uA + ":1-9223372036854775806", uA + ":1-9223372036854775806", 1<<63 - 2},
		{"mysql too great", MySQL, uA + ":9223372036854775807", "!", 0},
		{"mysql zero", MySQL, uA + ":0", "!", 0},
		{"mysql backwards", MySQL, uA + ":5-3", "!", 0},
		{"mysql negative", MySQL, uA + ":-3", "!", 0},
		{"mysql no interval", MySQL, uA, "!", 0},
		{"mysql colon only", MySQL, uA + ":", "!", 0},
		{"mysql tag without interval", MySQL, uA + ":tag", "!", 0},
		{"mysql two tags, one interval", MySQL, uA + ":tag:other:1", "!", 0},
		{"mysql bad uuid", MySQL, "3e11fa47:1", "!", 0},
		{"mysql uuid not hex", MySQL, "zz11fa47-71ca-11e1-9e33-c80aa9429562:1", "!", 0},
		{"mysql tag too long", MySQL, uA + ":" + strings.Repeat("a", 33) + ":1", "!", 0},
		{"mariadb empty", MariaDB, "", "", 0},
		{"mariadb one", MariaDB, "0-1-100", "0-1-100", 100},
		{"mariadb sorted", MariaDB, "7-2-3,0-1-100", "0-1-100,7-2-3", 103},
		{"mariadb binlog state", MariaDB, "0-1-5,0-2-8", "0-2-8", 8},
		{"mariadb nothing", MariaDB, "0-1-0", "", 0},
		{"mariadb greatest", MariaDB, "4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615", 1<<64 - 1},
		{"mariadb count saturates", MariaDB, "0-1-18446744073709551615,1-1-5", "0-1-18446744073709551615,1-1-5", 1<<64 - 1},
		{"mariadb difference", MariaDB, "0-1-96..100", "0-1-96..100", 5},
		{"mariadb two parts", MariaDB, "0-1", "!", 0},
		{"mariadb four parts", MariaDB, "0-1-2-3", "!", 0},
		{"mariadb text", MariaDB, "a-b-c", "!", 0},
		{"mariadb server too great", MariaDB, "0-4294967296-1", "!", 0},
		{"mariadb backwards", MariaDB, "0-1-9..3", "!", 0},
		{"unknown flavour", FlavorUnknown, "0-1-1", "!", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(c.flavor, c.in)
			if c.want == "!" {
				if !errors.Is(err, ErrSyntax) {
					t.Fatalf("Parse = %v, %v; want ErrSyntax", s, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.String(); got != c.want {
				t.Errorf("String = %q, want %q", got, c.want)
			}
			if got := s.Count(); got != c.count {
				t.Errorf("Count = %d, want %d", got, c.count)
			}
		})
	}
}

func TestOperations(t *testing.T) {
	for _, c := range []struct {
		name        string
		flavor      Flavor
		a, b        string
		order       Order
		union, diff string // diff is a minus b
	}{
		{"mysql equal", MySQL, uA + ":1-5", uA + ":1-5", Equal, uA + ":1-5", ""},
		{"mysql behind", MySQL, uA + ":1-5", uA + ":1-9", Before, uA + ":1-9", ""},
		{"mysql gap filled", MySQL, uA + ":1-9", uA + ":1-3:7-9", After, uA + ":1-9", uA + ":4-6"},
		{"mysql one cut reaches into two", MySQL, uA + ":1-3:5-7", uA + ":2-6", Concurrent, uA + ":1-7", uA + ":1:7"},
		{"mysql other source", MySQL, uA + ":1-5", uA + ":1-5," + uB + ":1", Before, uA + ":1-5," + uB + ":1", ""},
		{"mysql errant", MySQL, uA + ":1-5," + uB + ":1", uA + ":1-6", Concurrent, uA + ":1-6," + uB + ":1", uB + ":1"},
		{"mysql tag is a source of its own", MySQL, uA + ":1-5", uA + ":t:1-5", Concurrent, uA + ":1-5:t:1-5", uA + ":1-5"},
		{"mysql empty", MySQL, "", uA + ":1", Before, uA + ":1", ""},
		{"mariadb equal", MariaDB, "0-1-5", "0-1-5", Equal, "0-1-5", ""},
		{"mariadb ahead", MariaDB, "0-1-9", "0-1-5", After, "0-1-9", "0-1-6..9"},
		{"mariadb written by another since", MariaDB, "0-2-9", "0-1-5", After, "0-2-9", "0-2-6..9"},
		{"mariadb diverged", MariaDB, "0-1-5", "0-2-5", Concurrent, "0-2-5", "0-1-5..5"},
		{"mariadb two domains", MariaDB, "0-1-9,1-1-2", "0-1-5,1-1-7", Concurrent, "0-1-9,1-1-7", "0-1-6..9"},
		{"mariadb domain more", MariaDB, "0-1-9", "0-1-9,1-1-7", Before, "0-1-9,1-1-7", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := mustParse(t, c.flavor, c.a), mustParse(t, c.flavor, c.b)
			if got := Compare(a, b); got != c.order {
				t.Errorf("Compare = %v, want %v", got, c.order)
			}
			if got := a.Union(b).String(); got != c.union {
				t.Errorf("Union = %s, want %s", got, c.union)
			}
			if got := a.Subtract(b).String(); got != c.diff {
				t.Errorf("Subtract = %s, want %s", got, c.diff)
			}
			checkLaws(t, a, b)
			checkLaws(t, b, a)
		})
	}
}

func TestFlavoursDoNotMix(t *testing.T) {
	my, ma := mustParse(t, MySQL, uA+":1"), mustParse(t, MariaDB, "0-1-1")
	if my.Contains(ma) || ma.Contains(my) || Compare(my, ma) != Concurrent {
		t.Error("sets of different flavours contain each other")
	}
	if !my.Union(ma).Equal(my) || !my.Subtract(ma).Equal(my) {
		t.Error("operations with the other flavour are not no-ops")
	}
	var zero Set
	if !my.Contains(zero) || zero.Contains(my) || !zero.Equal(Set{}) || zero.String() != "" || zero.Count() != 0 {
		t.Error("the zero set is not the empty one")
	}
	if !zero.Union(ma).Equal(ma) {
		t.Error("union with the zero set")
	}
}

// The maximal sets must come out the same whatever the order in which they are
// looked at: containment is no sort key.
func TestEveryPermutation(t *testing.T) {
	for _, c := range []struct {
		name   string
		flavor Flavor
		sets   []string
	}{
		{"mysql", MySQL, []string{uA + ":1-5", uA + ":1-7", uA + ":1-5," + uB + ":1", uA + ":1-7:t:1", ""}},
		{"mariadb", MariaDB, []string{"0-1-5", "0-1-7", "0-2-7", "0-1-6,1-1-1", "0-1-5,1-1-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sets []Set
			for _, s := range c.sets {
				sets = append(sets, mustParse(t, c.flavor, s))
			}
			var want string
			permute(sets, func(p []Set) {
				if got := maximal(p); want == "" {
					want = got
				} else if got != want {
					t.Fatalf("order matters: %s and %s", want, got)
				}
			})
			// Three sets: containment is transitive, and union is associative where
			// one server wrote.
			permute(sets, func(p []Set) {
				if p[0].Contains(p[1]) && p[1].Contains(p[2]) && !p[0].Contains(p[2]) {
					t.Fatalf("not transitive: %s, %s, %s", p[0], p[1], p[2])
				}
				if l, r := p[0].Union(p[1]).Union(p[2]), p[0].Union(p[1].Union(p[2])); !l.Equal(r) {
					t.Fatalf("union is not associative: %s, %s, %s", p[0], p[1], p[2])
				}
			})
		})
	}
}

func maximal(sets []Set) string {
	found := map[string]bool{}
	for i, a := range sets {
		top := true
		for j, b := range sets {
			if i != j && Compare(a, b) == Before {
				top = false
			}
		}
		if top {
			found[a.String()] = true
		}
	}
	var u []string
	for _, s := range []string{uA + ":1-7:t:1", uA + ":1-5," + uB + ":1", "0-1-7", "0-2-7", "0-1-6,1-1-1"} {
		if found[s] {
			u = append(u, s)
		}
	}
	return strings.Join(u, " | ")
}

func permute(s []Set, f func([]Set)) {
	var rec func(int)
	rec = func(k int) {
		if k == len(s) {
			f(s)
			return
		}
		for i := k; i < len(s); i++ {
			s[k], s[i] = s[i], s[k]
			rec(k + 1)
			s[k], s[i] = s[i], s[k]
		}
	}
	rec(0)
}

func TestOperationsDoNotChangeTheirArguments(t *testing.T) {
	a, b := mustParse(t, MySQL, uA+":1-3:5-7:9:t:1"), mustParse(t, MySQL, uA+":4:8:t:2,"+uB+":1")
	as, bs := a.String(), b.String()
	for range 3 {
		_ = a.Union(b)
		_ = b.Union(a)
		_ = a.Subtract(b)
		_ = a.Union(b).Subtract(a).Union(b)
	}
	if a.String() != as || b.String() != bs {
		t.Errorf("changed: %s, %s", a, b)
	}
}

func TestContainsDoesNotAllocate(t *testing.T) {
	a, b := mustParse(t, MySQL, uA+":1-100:t:1,"+uB+":1-7"), mustParse(t, MySQL, uA+":1-99")
	if n := testing.AllocsPerRun(100, func() { _ = a.Contains(b); _ = a.Count() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkContains(b *testing.B) {
	x, _ := Parse(MySQL, uA+":1-1000000,"+uB+":1-5000")
	y, _ := Parse(MySQL, uA+":1-999999,"+uB+":1-5000")
	for b.Loop() {
		if !x.Contains(y) {
			b.Fatal()
		}
	}
}

func BenchmarkParse(b *testing.B) {
	s := uA + ":1-1000000," + uB + ":1-5000"
	for b.Loop() {
		if _, err := Parse(MySQL, s); err != nil {
			b.Fatal(err)
		}
	}
}
