package consistency

import (
	"fmt"
	"strings"
	"testing"
)

// FIELD, trap 11: others wait for ten seconds on the replica, answer 1792 in a READ ONLY
// transaction, and give causality up without a word for queries over 16 MB.
func TestTrap11WaitingForCausality(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		s := open(t, f.proxy, "maxAllowedPacket=33554432")
		for i := 1; i <= 3; i++ {
			s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
			want := fmt.Sprintf("%d|%s", i, leader)
			if got := s.row(readT); got != want {
				t.Errorf("write %d: %s", i, got)
			}
			s.exec("START TRANSACTION READ ONLY")
			if got := s.row(readT); got != want {
				t.Errorf("write %d, in a READ ONLY transaction: %s", i, got)
			}
			s.exec("COMMIT")
			if got := s.row(readT + " AND '" + strings.Repeat("x", 17<<20) + "' <> ''"); got != want {
				t.Errorf("write %d, in a query over 16 MiB: %s", i, got)
			}
		}
	})
}
