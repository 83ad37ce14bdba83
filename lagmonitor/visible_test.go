package lagmonitor

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestVisibility: a position is visible when the last commit has reached the end that the
// binlog had after the position was read, in this look or a later one.
func TestVisibility(t *testing.T) {
	at := func(text string) gtid.Set {
		s, err := gtid.Parse(gtid.MariaDB, text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var v visibility
	for i, look := range []struct {
		file   string
		end    uint64
		before string
		commit place
		want   string
	}{
		{"b.000001", 500, "0-1-5", place{file: "b.000001", offset: 400}, ""},
		{"b.000001", 700, "0-1-7", place{file: "b.000001", offset: 450}, ""},
		{"b.000001", 900, "0-1-9", place{file: "b.000001", offset: 600}, "0-1-5"}, // the first one is reached
		{"b.000001", 950, "0-1-10", place{file: "b.000001", offset: 899}, "0-1-5"},
		{"b.000002", 300, "0-1-11", place{file: "b.000002", offset: 300}, "0-1-11"}, // at rest, in the next file
		{"b.000002", 400, "0-1-12", place{file: "b.000002", offset: 350}, "0-1-11"},
		{"b.1000000", 100, "0-1-14", place{file: "b.999999", offset: 800}, "0-1-12"},
	} {
		if got := v.see(place{look.file, look.end, at(look.before)}, look.commit); got.String() != look.want {
			t.Errorf("look %d: %q, want %q", i, got, look.want)
		}
	}
}

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
		var v visibility
		first, err := v.ask(r.ctx, db)
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
			set, err := v.ask(r.ctx, db)
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
		last, err := v.ask(r.ctx, db)
		if err != nil || pos(last) <= number {
			r.Errorf("at rest, in a new binlog: %s, %v", last, err)
		}
		r.Logf("%d transactions; the binlog's position was ahead of what could be read in %d of 400 looks", pos(last)-base, ahead)
	})
}
