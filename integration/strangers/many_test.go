package strangers

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// clients are open at once in TestManyOverFew, over few connections to each node.
const (
	clients = 600
	few     = 10
)

// Many clients are logged in at once and work over few connections: none is refused, reads
// go on to the follower though each finds its connection taken, and the nodes see no more
// connections than they are meant to.
func TestManyOverFew(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o, fmt.Sprintf("pool: {max_per_node: %d}\nlimits: {max_unauthenticated_per_address: 100000}", few))
		clients := clients
		if testing.Short() {
			clients /= 4
		}
		open := make([]*rawclient.Client, clients)
		defer func() {
			for _, c := range open {
				if c != nil {
					c.Close()
				}
			}
		}()
		const workers = 50
		each := func(work func(i int) error) {
			t.Helper()
			cluster.Must(t, together(workers, func(w int) error {
				for i := w; i < clients; i += workers {
					if err := work(i); err != nil {
						return fmt.Errorf("client %d: %w", i, err)
					}
				}
				return nil
			}))
		}
		each(func(i int) (err error) {
			open[i], err = rawclient.Dial(rawclient.Options{
				Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: sandbox.AppSchema,
			})
			return err
		})
		run := func(statements ...string) {
			t.Helper()
			each(func(i int) error {
				for _, query := range statements {
					answer, err := open[i].Query(query)
					if err != nil {
						return err
					}
					if answer[4] != 1 { // one column
						return fmt.Errorf("%s: %q", query, answer)
					}
				}
				return nil
			})
		}
		const locks, reads = "SELECT n FROM list WHERE n = 1 FOR UPDATE", "SELECT n FROM list WHERE n = 1"
		for range 2 {
			run(locks, reads)
		}
		before := f.followerReads(t)
		for range 3 {
			run(reads)
		}
		if n := f.followerReads(t) - before; n < clients*5/2 {
			t.Errorf("%d of %d reads ran on the follower", n, 3*clients)
		}
		if n := f.openConnections(t); n > few {
			t.Errorf("%d connections to the leader, no more than %d are allowed", n, few)
		}
	})
}

// followerReads is how many reads have run on the follower.
func (f *fixture) followerReads(t *testing.T) int {
	t.Helper()
	_, metrics := f.proxy.Get("/metrics")
	m := regexp.MustCompile(`bellwether_statements_total\{reason="read",target="follower"\} (\d+)`).FindStringSubmatch(metrics)
	if m == nil {
		t.Fatal("no read ran on the follower")
	}
	n, err := strconv.Atoi(m[1])
	cluster.Must(t, err)
	return n
}
