package consistency

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// How long a read after a write takes: through the proxy on a follower that is waited for,
// on the leader at once, and directly on a follower whose own function waits. It
// measures and asserts nothing; with BELLWETHER_LONG=1 only.
func TestWaitLatency(t *testing.T) {
	if os.Getenv("BELLWETHER_LONG") != "1" {
		t.Skip("the long form only")
	}
	each(t, func(t *testing.T, f *fixture) {
		atOnce := f.start(t, "routing: {causal_wait: 0s}")
		const rounds = 1000
		for _, c := range []struct {
			name string
			s    *session
			read string
		}{
			{"waits for a follower", open(t, f.proxy, ""), readT},
			{"goes to the leader", open(t, atOnce, ""), readT},
			{"eventual", open(t, f.proxy, ""), "/* bellwether: consistency=eventual */ " + readT},
		} {
			var took []time.Duration
			served := map[string]int{}
			for i := range rounds {
				c.s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
				at := time.Now()
				_, node := value(t, c.s.row(c.read))
				took = append(took, time.Since(at))
				served[node]++
			}
			tell(t, c.name, took)
			t.Log(served)
		}
		tell(t, "directly, the follower waits", f.direct(t, rounds))
	})
}

func tell(t *testing.T, name string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%-30s p50 %v, p99 %v", name, took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond))
}

// direct writes on the leader, and times the read on a follower that waits for the write.
func (f *fixture) direct(t *testing.T, rounds int) (took []time.Duration) {
	t.Helper()
	ctx := context.Background()
	conn := func(n *cluster.Node) *sql.Conn {
		c, err := n.DB().Conn(ctx)
		cluster.Must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	w, r := conn(f.Leader()), conn(f.Node("db2"))
	position, wait := "SELECT @@last_gtid", "SELECT MASTER_GTID_WAIT('%s', 10)"
	if f.Flavor == gtid.MySQL {
		position, wait = "SELECT @@global.gtid_executed", "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 10)"
	}
	for i := range rounds {
		_, err := w.ExecContext(ctx, fmt.Sprintf("UPDATE shop.t SET n = %d WHERE id = 1", i))
		cluster.Must(t, err)
		var at, node string
		var n int
		cluster.Must(t, w.QueryRowContext(ctx, position).Scan(&at))
		began := time.Now()
		cluster.Must(t, r.QueryRowContext(ctx, fmt.Sprintf(wait, at)).Scan(&n))
		cluster.Must(t, r.QueryRowContext(ctx, "SELECT n, (SELECT name FROM shop.whoami) FROM shop.t WHERE id = 1").Scan(&n, &node))
		took = append(took, time.Since(began))
		if n != i {
			t.Fatalf("wrote %d, and the follower says %d", i, n)
		}
	}
	return took
}
