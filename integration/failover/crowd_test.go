package failover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// writer is a client that writes numbered rows, each alone, and keeps what it was told
// of each.
type writer struct {
	id      int
	acked   []int
	unknown map[int]bool // an error said that the outcome is not known
}

// readers and writers under a failover.
type crowd struct {
	writers  []*writer
	turns    atomic.Int64 // acknowledged writes
	reads    atomic.Int64
	problems chan string
	stop     func()
}

// crowd starts clients that write with autocommit and clients that read, each going on
// over errors as an application does.
func (f *fixture) crowd(t *testing.T, writers, readers int) *crowd {
	t.Helper()
	return f.crowdFrom(t, 100, writers, readers)
}

// crowdFrom is crowd with writers of these numbers and the following ones.
func (f *fixture) crowdFrom(t *testing.T, id, writers, readers int) *crowd {
	t.Helper()
	c := &crowd{problems: make(chan string, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
	db.SetMaxIdleConns(writers + readers)
	for i := range writers {
		w := &writer{id: id + i, unknown: map[int]bool{}}
		c.writers = append(c.writers, w)
		wg.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				w.write(ctx, db, n, c)
			}
		})
	}
	for range readers {
		conn, err := db.Conn(ctx)
		cluster.Must(t, err)
		wg.Go(func() {
			defer func() { _ = conn.Close() }()
			for ctx.Err() == nil {
				var n int
				rctx, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
				if err := conn.QueryRowContext(rctx, "SELECT COUNT(*) FROM accounts").Scan(&n); err != nil {
					c.problem("read: %v", err)
				} else {
					c.reads.Add(1)
				}
				done()
				time.Sleep(time.Millisecond)
			}
		})
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = db.Close()
	})
	t.Cleanup(c.stop)
	return c
}

func (c *crowd) problem(format string, args ...any) {
	select {
	case c.problems <- fmt.Sprintf(format, args...):
	default:
	}
}

// write writes one row. An error that does not say "unknown" must say that nothing was done.
func (w *writer) write(ctx context.Context, db *sql.DB, n int, c *crowd) {
	wctx, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	_, err := db.ExecContext(wctx, "INSERT INTO ledger (client, n) VALUES (?, ?)", w.id, n)
	var me *mysql.MySQLError
	switch {
	case err == nil:
		w.acked = append(w.acked, n)
		c.turns.Add(1)
	case errors.As(err, &me) && strings.Contains(me.Message, "nothing was executed"):
	case errors.As(err, &me) && strings.Contains(me.Message, "unknown"):
		w.unknown[n] = true
	default:
		c.problem("writer %d: row %d: %v", w.id, n, err)
		w.unknown[n] = true
	}
}

// progress waits until more was acknowledged.
func (c *crowd) progress(t *testing.T, more int64) {
	t.Helper()
	progress(t, &c.turns, more)
}

// check ends the crowd and compares what it was told with what the node holds.
func (c *crowd) check(t *testing.T, n *cluster.Node) {
	t.Helper()
	c.stop()
	for len(c.problems) > 0 {
		t.Errorf("%s", <-c.problems)
	}
	for _, w := range c.writers {
		rows, err := n.DB().QueryContext(t.Context(), "SELECT n FROM shop.ledger WHERE client = ?", w.id)
		cluster.Must(t, err)
		held := map[int]bool{}
		for rows.Next() {
			var v int
			cluster.Must(t, rows.Scan(&v))
			held[v] = true
		}
		cluster.Must(t, rows.Err(), rows.Close())
		for _, v := range w.acked {
			if !held[v] {
				t.Errorf("writer %d: row %d was acknowledged and is lost", w.id, v)
			}
			delete(held, v)
		}
		for v := range held {
			if !w.unknown[v] {
				t.Errorf("writer %d: row %d is there, and the client was told that it is not", w.id, v)
			}
		}
	}
	t.Logf("%d rows acknowledged, %d reads", c.turns.Load(), c.reads.Load())
}
