package consistency

import (
	"fmt"
	"strings"
	"testing"
)

// Connections that bear one key see what any of them has written or read, also where
// only a statement within a transaction bears it; others do not.
func TestSharedFloor(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		const key = "/* bellwether: session=user42 */ "
		a, b := open(t, f.proxy, ""), open(t, f.proxy, "")
		served := map[string]int{}
		for i := 1; i <= 20; i++ {
			if i%2 == 0 {
				a.exec("BEGIN", fmt.Sprintf("%sUPDATE t SET n = %d WHERE id = 1", key, i), "COMMIT")
			} else {
				a.exec(fmt.Sprintf("%sUPDATE t SET n = %d WHERE id = 1", key, i))
			}
			for _, s := range []*session{b, a, b} {
				n, node := value(t, s.row(key+readT))
				if served[node]++; n != i {
					t.Errorf("written %d, and %s says %d", i, node, n)
				}
			}
		}
		t.Logf("reads: %v", served)
		if served["db2"]+served["db3"] == 0 {
			t.Error("no read ran on a follower: nothing was tested")
		}
		// It knows nothing of the key, and so reads what there is. It starts before followers fall
		// behind: of what they lacked before, it could not know for how long.
		short := f.start(t, "routing: {causal_wait: 0s}")
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		waitEligible(t, short, 2)
		f.Exec(t, "UPDATE shop.t SET n = 1000 WHERE id = 1")
		if n, _ := value(t, a.row("/* bellwether: session=user42 target=leader */ "+readT)); n != 1000 {
			t.Errorf("on the leader: %d", n)
		}
		for _, s := range []*session{open(t, short, ""), open(t, short, "")} {
			if got := s.row(key + readT); got != "1000|"+leader {
				t.Errorf("with a key that is new: %s", got)
			}
		}
		if got := open(t, short, "").row(readT); !strings.HasPrefix(got, "20|db") {
			t.Errorf("without the key: %s", got)
		}
	}, patient)
}
