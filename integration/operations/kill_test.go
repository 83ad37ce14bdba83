package operations

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// TestKillInTheQueue: a session that waits for a connection of the leader's ends when it is
// killed, and not when its wait would.
func TestKillInTheQueue(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		holder, waiter, killer := f.open(t), f.open(t), f.open(t)
		id := waiter.rows("SELECT CONNECTION_ID()")
		holder.exec("BEGIN")
		holder.exec("UPDATE t SET n = n + 1 WHERE id = 1")
		done := make(chan error, 1)
		go func() {
			_, err := waiter.try("SELECT COUNT(*) FROM t FOR UPDATE")
			done <- err
		}()
		time.Sleep(300 * time.Millisecond) // by then it waits
		cluster.Eventually(t, "the killed session is gone", func() bool {
			_, err := killer.try(fmt.Sprintf("KILL %s", id)) // it may not wait yet, or be gone
			select {
			case got := <-done:
				if got == nil {
					t.Error("the statement was answered")
				}
				return true
			default:
				return err != nil && t.Failed()
			}
		})
		holder.exec("COMMIT")
	}, "pool: {max_per_node: 1, wait: 10m}")
}
