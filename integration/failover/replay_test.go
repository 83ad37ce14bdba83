package failover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

const replaying = "routing: {transaction_replay: true}"

// session is a connection of its own through the proxy.
func session(t *testing.T, ctx context.Context, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(ctx)
	cluster.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestTransactionReplay: a transaction whose leader dies is run again on the next one, and its
// client sees no error, whether a statement was under way or none, and prepared or not. One whose
// answers would be others is rolled back, and says so.
func TestTransactionReplay(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o, replaying)
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		_, err := db.ExecContext(ctx, "CREATE TABLE moves (client INT, n INT, PRIMARY KEY (client, n))")
		cluster.Must(t, err)
		exec := func(c *sql.Conn, q string, args ...any) {
			t.Helper()
			_, err := c.ExecContext(ctx, q, args...)
			cluster.Must(t, err)
		}
		balance := func(c *sql.Conn, id int) (n int) {
			t.Helper()
			cluster.Must(t, c.QueryRowContext(ctx, fmt.Sprintf("SELECT balance FROM accounts WHERE id = %d", id)).Scan(&n))
			return n
		}
		var all [6]*sql.Conn
		for i := range all {
			all[i] = session(t, ctx, db)
		}
		idle, busy, prepared, other, set, asks := all[0], all[1], all[2], all[3], all[4], all[5]
		for i, c := range all {
			exec(c, "START TRANSACTION")
			exec(c, fmt.Sprintf("INSERT INTO moves (client, n) VALUES (%d, 1)", 30+i))
		}
		exec(idle, "SAVEPOINT a")
		exec(idle, "INSERT INTO ledger (id, client, n) VALUES (1000, 30, 1)") // names its id
		exec(idle, "INSERT INTO ledger (client, n) VALUES (30, 2)")           // is given one
		exec(idle, "UPDATE accounts SET balance = balance - 5 WHERE id = 1")
		was := balance(other, 2)
		exec(prepared, "INSERT INTO moves (client, n) VALUES (?, ?)", 32, 2) // as a prepared statement
		stmt, err := prepared.PrepareContext(ctx, "SELECT COUNT(*) FROM moves WHERE client = ?")
		cluster.Must(t, err)
		var n int
		cluster.Must(t, stmt.QueryRowContext(ctx, 32).Scan(&n))
		exec(set, "SET time_zone = '+05:00'")
		exec(asks, "INSERT INTO moves (client, n) VALUES (35, LAST_INSERT_ID() + 2)")
		// Somebody ends a connection, and not the leader.
		killed := session(t, ctx, db)
		exec(killed, "START TRANSACTION")
		exec(killed, "INSERT INTO moves (client, n) VALUES (37, 1)")
		slow := make(chan error, 1)
		go func() {
			_, err := killed.ExecContext(ctx, "INSERT INTO moves (client, n) SELECT 37, 2 FROM (SELECT SLEEP(60)) x")
			slow <- err
		}()
		cluster.Eventually(t, "it is ended", func() bool {
			const those = "FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO moves (client, n) SELECT 37%'"
			if f.Node("db1").Text(t, "SELECT COUNT(*) "+those) != "1" {
				return false
			}
			f.Node("db1").Exec(t, "KILL "+f.Node("db1").Text(t, "SELECT ID "+those))
			return true
		})
		var refused *mysql.MySQLError
		if err := <-slow; !errors.As(err, &refused) || refused.Number != 1213 {
			t.Errorf("a transaction whose connection was ended: %v, want 1213", err)
		}
		go func() {
			_, err := busy.ExecContext(ctx, "INSERT INTO moves (client, n) SELECT 31, 2 FROM (SELECT SLEEP(4)) x")
			slow <- err
		}()
		cluster.Eventually(t, "the statement runs", func() bool {
			return f.Node("db1").Text(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO moves (client, n) SELECT 31%'") == "1"
		})
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		cluster.Must(t, <-slow)
		// Somebody else changes what one of them has read.
		change := session(t, ctx, db)
		exec(change, "UPDATE accounts SET balance = balance + 1 WHERE id = 2")

		exec(idle, "INSERT INTO moves (client, n) VALUES (30, 2)")
		exec(idle, "COMMIT")
		exec(busy, "COMMIT")
		cluster.Must(t, stmt.QueryRowContext(ctx, 32).Scan(&n))
		if n != 2 {
			t.Errorf("the transaction reads %d rows of its own", n)
		}
		exec(prepared, "COMMIT")
		if _, err := other.ExecContext(ctx, "INSERT INTO moves (client, n) VALUES (33, 2)"); !errors.As(err, &refused) || refused.Number != 1213 || string(refused.SQLState[:]) != "40001" {
			t.Errorf("a transaction that has read %d: %v, want 1213", was, err)
		}
		if got := balance(other, 2); got != was+1 { // it goes on
			t.Errorf("balance %d after it was %d", got, was)
		}
		for what, c := range map[string]*sql.Conn{"set a variable": set, "asked for LAST_INSERT_ID()": asks} {
			if _, err := c.ExecContext(ctx, "INSERT INTO moves (client, n) VALUES (36, 2)"); !errors.As(err, &refused) || refused.Number != 1213 {
				t.Errorf("in a transaction that %s: %v, want 1213", what, err)
			}
		}
		got := next.Text(t, "SELECT GROUP_CONCAT(CONCAT(client, ':', n) ORDER BY client, n) FROM shop.moves WHERE client BETWEEN 30 AND 39")
		if want := "30:1,30:2,31:1,31:2,32:1,32:2"; got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
		if got := next.Text(t, "SELECT GROUP_CONCAT(CONCAT(id, ':', n) ORDER BY n) FROM shop.ledger WHERE client = 30"); got != "1000:1,1001:2" {
			t.Errorf("numbered %s", got)
		}
		_, body := f.proxy.Get("/metrics")
		for _, want := range []string{`bellwether_transaction_replays_total{outcome="done"} 3`, `bellwether_transaction_replays_total{outcome="differed"} 1`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in /metrics", want)
			}
		}
	})
}

// TestTransactionReplayUnderLoad: transfers go on through a lost leader; no client is told to run
// one again, and the sum stays what it was.
func TestTransactionReplayUnderLoad(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startEngine(t, o, replaying)
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		_, err := db.ExecContext(ctx, "CREATE TABLE moves (client INT, n INT, PRIMARY KEY (client, n))") // numbers nothing: ids may be taken
		cluster.Must(t, err)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		var mu sync.Mutex
		done, unknown := map[int]int{}, map[int]int{}
		for w := range 4 {
			c := session(t, ctx, db)
			wg.Go(func() {
				for n := 1; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					step := "BEGIN"
					var err error
					for _, q := range []string{
						fmt.Sprintf("INSERT INTO moves (client, n) VALUES (%d, %d)", 40+w, n),
						"UPDATE numbered SET n = n WHERE n = 1", fmt.Sprintf("INSERT INTO moves (client, n) VALUES (%d, %d)", 40+w, -n), "COMMIT",
					} {
						if step == "BEGIN" {
							if _, err = c.ExecContext(ctx, step); err != nil {
								break
							}
						}
						step = q
						if _, err = c.ExecContext(ctx, q); err != nil {
							break
						}
					}
					mu.Lock()
					switch {
					case err == nil:
						done[w]++
					case step == "COMMIT":
						unknown[w]++
					default:
						t.Errorf("writer %d: %s: %v", w, step, err)
					}
					mu.Unlock()
				}
			})
		}
		progress := func(n int) {
			cluster.Eventually(t, "transactions", func() bool {
				mu.Lock()
				defer mu.Unlock()
				for w := range 4 {
					if done[w] < n {
						return false
					}
				}
				return true
			})
		}
		progress(50)
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		mu.Lock()
		so := 0
		for w := range 4 {
			so = max(so, done[w])
		}
		mu.Unlock()
		progress(so + 50)
		close(stop)
		wg.Wait()
		for w := range 4 {
			var rows, halves int
			cluster.Must(t, next.DB().QueryRowContext(ctx, "SELECT COUNT(*), COUNT(*) - 2 * COUNT(DISTINCT ABS(n)) FROM shop.moves WHERE client = ?", 40+w).Scan(&rows, &halves))
			if low, high := 2*done[w], 2*(done[w]+unknown[w]); rows < low || rows > high || halves != 0 {
				t.Errorf("writer %d: %d rows (%d halves), %d transactions committed and %d unknown", w, rows, halves, done[w], unknown[w])
			}
		}
		t.Logf("committed %v, unknown %v", done, unknown)
	})
}
