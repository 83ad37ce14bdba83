package lagmonitor

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/visible"
)

// TestVisibleOnServer: what a MariaDB server calls visible is, while many commit, and the
// binlog's own position is not always.
func TestVisibleOnServer(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a database server")
	}
	eachCluster(t, 0, func(_ int, o *sandbox.NodeOptions) {
		o.ExtraArgs = append(o.ExtraArgs, "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1")
	}, func(r *rig) {
		if r.flavor != gtid.MariaDB {
			r.Skip("MySQL's gtid_executed is what can be read")
		}
		db := r.Leader.DB()
		r.exec(r.Leader, "CREATE TABLE shop.seen (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB")
		var base, number uint64
		pos := func(s gtid.Set) (n uint64) {
			if _, err := fmt.Sscanf(s.String(), "0-1-%d", &n); err != nil {
				r.Fatalf("position %q: %v", s, err)
			}
			return n
		}
		var v visible.Position
		first, err := v.Ask(r.ctx, db)
		if err != nil {
			r.Fatal(err)
		}
		base = pos(first)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := db.ExecContext(r.ctx, "INSERT INTO shop.seen VALUES ()"); err != nil {
							r.Error(err)
							return
						}
					}
				}
			})
		}
		ahead := 0
		for range 400 {
			set, err := v.Ask(r.ctx, db)
			if err != nil {
				r.Fatal(err)
			}
			var rows, written uint64
			if err := db.QueryRowContext(r.ctx, "SELECT COUNT(*) FROM shop.seen").Scan(&rows); err != nil {
				r.Fatal(err)
			}
			if number = pos(set); base+rows < number {
				r.Fatalf("position %d is called visible, and %d rows are", number-base, rows)
			}
			var text string
			if err := db.QueryRowContext(r.ctx, "SELECT CONCAT(@@gtid_binlog_pos, ' ', (SELECT COUNT(*) FROM shop.seen))").Scan(&text); err != nil {
				r.Fatal(err)
			}
			if _, err := fmt.Sscanf(text, "0-1-%d %d", &written, &rows); err == nil && written > base+rows {
				ahead++
			}
		}
		close(stop)
		wg.Wait()
		r.exec(r.Leader, "FLUSH BINARY LOGS", "INSERT INTO shop.seen VALUES ()")
		last, err := v.Ask(r.ctx, db)
		if err != nil || pos(last) <= number {
			r.Errorf("at rest, in a new binlog: %s, %v", last, err)
		}
		r.Logf("%d transactions; the binlog's position was ahead of what could be read in %d of 400 looks", pos(last)-base, ahead)
	})
}
