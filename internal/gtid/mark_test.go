package gtid

import (
	"math/rand/v2"
	"testing"
)

// A set misses something exactly when it does not contain; what it misses is of the
// other set, and once the source has come so far it may be contained, and not before.
func TestMissing(t *testing.T) {
	sets := map[Flavor][]string{
		MariaDB: {"", "0-1-5", "0-2-5", "0-1-7", "1-1-3", "0-1-5,1-1-3", "0-1-9,1-4-2,2-1-1"},
		MySQL: {
			"", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:5-9", "3e11fa47-71ca-11e1-9e33-c80aa9429562:blue:4",
			"4e11fa47-71ca-11e1-9e33-c80aa9429562:1-2,3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:blue:1-4",
		},
	}
	for f, texts := range sets {
		for range 500 {
			a, err := Parse(f, texts[rand.N(len(texts))])
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse(f, texts[rand.N(len(texts))])
			if err != nil {
				t.Fatal(err)
			}
			m, missing := a.Missing(b)
			if missing == a.Contains(b) {
				t.Fatalf("%s in %s: %v, and missing says %v", b, a, a.Contains(b), missing)
			}
			if missing && (b.Highest(m.Source) < m.Number || !a.Union(b).Contains(b) && f == MySQL || a.Union(b).Highest(m.Source) < m.Number) {
				t.Fatalf("%s lacks %+v of %s", a, m, b)
			}
		}
	}
}
