package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// rows is how many rows the tables begin with.
const rows = 20000

// tables are what the workloads change.
var tables = []string{sandbox.AppSchema + ".items", sandbox.AppSchema + ".orders", sandbox.AppSchema + ".beat"}

func prepare(ctx context.Context, db *sql.DB) error {
	s := []string{
		"CREATE TABLE shop.items (id INT PRIMARY KEY, stock INT NOT NULL, name VARCHAR(40) NOT NULL, pad VARCHAR(120) NOT NULL, KEY (name)) ENGINE=InnoDB",
		"CREATE TABLE shop.orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, item INT NOT NULL, n INT NOT NULL, note VARCHAR(80), KEY (item)) ENGINE=InnoDB",
		"CREATE TABLE shop.beat (id INT PRIMARY KEY, n BIGINT NOT NULL) ENGINE=InnoDB",
		"INSERT INTO shop.beat VALUES (1, 0)",
	}
	for from := 0; from < rows; from += 1000 {
		var b strings.Builder
		b.WriteString("INSERT INTO shop.items VALUES ")
		for i := range 1000 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "(%d,1000,'item %d',REPEAT('x',100))", from+i, (from+i)%977)
		}
		s = append(s, b.String())
	}
	for _, q := range s {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	return nil
}

// workload is a kind of transaction.
type workload struct {
	name, title string
	share       int // of the transactions that are asked for, one in so many
	statements  func(r *rand.Rand) []string
}

var workloads = []workload{
	{"update", "one row by its primary key", 1, func(r *rand.Rand) []string {
		return []string{update(r, rows)}
	}},
	{"mixed", "two updates, an insert and a delete", 2, func(r *rand.Rand) []string {
		return []string{
			update(r, rows),
			fmt.Sprintf("INSERT INTO shop.orders (item, n, note) VALUES (%d, %d, 'ordered in a hurry')", r.IntN(rows), r.IntN(9)),
			fmt.Sprintf("UPDATE shop.items SET name='item %d' WHERE id=%d", r.IntN(977), r.IntN(rows)),
			fmt.Sprintf("DELETE FROM shop.orders WHERE item=%d LIMIT 1", r.IntN(rows)),
		}
	}},
	{"rows", "an insert of a hundred rows", 10, func(r *rand.Rand) []string {
		var b strings.Builder
		b.WriteString("INSERT INTO shop.orders (item, n, note) VALUES ")
		for i := range 100 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "(%d,%d,'one of a hundred')", r.IntN(rows), i)
		}
		return []string{b.String()}
	}},
	{"hot", "one of ten rows", 1, func(r *rand.Rand) []string {
		return []string{update(r, 10)}
	}},
}

func update(r *rand.Rand, among int) string {
	return fmt.Sprintf("UPDATE shop.items SET stock=stock-1 WHERE id=%d", r.IntN(among))
}

// clients is how many write on the leader at a time.
const clients = 8

// write lets the clients commit n transactions on the leader, together.
func (w *world) write(ctx context.Context, l *workload, n int, seed uint64) error {
	g, ctx := errgroup.WithContext(ctx)
	for c := range clients {
		g.Go(func() error {
			conn, err := w.leader.DB().Conn(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			for range n / clients {
				if err := transaction(ctx, conn, l.statements(r)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// transaction runs statements as one. One that loses its locks is run again.
func transaction(ctx context.Context, conn *sql.Conn, statements []string) error {
	if len(statements) > 1 {
		statements = append(append([]string{"BEGIN"}, statements...), "COMMIT")
	}
	for tries := 0; ; tries++ {
		var err error
		for _, s := range statements {
			if _, err = conn.ExecContext(ctx, s); err != nil {
				break
			}
		}
		if err == nil || tries == 100 {
			return err
		}
		if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
			return err
		}
	}
}
