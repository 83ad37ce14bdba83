package verify_test

import (
	"context"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

// TestWaitsUntilReadable: what a server has "applied" can be read there. A MariaDB server has
// transactions in its binlog, and in its position, that nobody reads yet; a row that was compared
// in that moment looked as if the follower had lost it.
func TestWaitsUntilReadable(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, _ *sandbox.Node) {
		l := nodetest.Root(t, ctx, leader)
		nodetest.Exec(t, ctx, l, "SET GLOBAL sync_binlog=1", "SET GLOBAL innodb_flush_log_at_trx_commit=1",
			"CREATE DATABASE moving", "CREATE TABLE moving.seen (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB")
		base, err := l.Written(ctx, l.DB)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := l.DB.ExecContext(ctx, "INSERT INTO moving.seen VALUES ()"); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		defer wg.Wait()
		defer close(stop)
		for range 200 {
			pos, err := l.Written(ctx, l.DB)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.WaitApplied(ctx, pos); err != nil {
				t.Fatal(err)
			}
			var rows uint64
			if err := l.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM moving.seen").Scan(&rows); err != nil {
				t.Fatal(err)
			}
			if want := pos.Count() - base.Count(); rows < want {
				t.Fatalf("%d rows, at position %s, which is %d behind the first one", rows, pos, want)
			}
		}
	})
}
