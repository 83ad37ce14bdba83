package failover

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// patience bounds one statement: beyond it a client would call it a hang.
const patience = time.Minute

// ledger is a client that writes rows of its own and keeps what was acknowledged.
type ledger struct {
	client int
	conn   *sql.Conn
	acked  int
}

// turn writes one row, alone or in a transaction with a transfer, and checks what
// the session must see of itself.
func (l *ledger) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n := l.acked + 1
	var id int64
	if n%3 == 0 {
		tx, err := l.conn.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		for _, q := range []string{
			"UPDATE accounts SET balance = balance - 1 WHERE id = 1 + ?",
			"UPDATE accounts SET balance = balance + 1 WHERE id = 4 - ?",
		} {
			if _, err := tx.ExecContext(ctx, q, l.client%2); err != nil {
				return fmt.Errorf("in a transaction: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (?, ?)", l.client, n); err != nil {
			return fmt.Errorf("in a transaction: %w", err)
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	} else {
		r, err := l.conn.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (?, ?)", l.client, n)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		id, _ = r.LastInsertId()
	}
	l.acked = n
	var last int64
	if err := l.conn.QueryRowContext(ctx, "SELECT LAST_INSERT_ID()").Scan(&last); err != nil {
		return fmt.Errorf("LAST_INSERT_ID(): %w", err)
	}
	if id != 0 && last != id {
		return fmt.Errorf("LAST_INSERT_ID() is %d, the row has %d", last, id)
	}
	var count int
	var zone string
	if err := l.conn.QueryRowContext(ctx, "SELECT COUNT(*), @@time_zone FROM ledger WHERE client = ?", l.client).Scan(&count, &zone); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if count != n || zone != fmt.Sprintf("+0%d:00", 1+l.client%9) {
		return fmt.Errorf("sees %d rows of its %d, time zone %s", count, n, zone)
	}
	return nil
}

// load runs clients until stop is called, which returns them. Any error of a client
// fails the test.
func (f *fixture) load(t *testing.T, clients int) (turns *atomic.Int64, stop func() []*ledger) {
	t.Helper()
	turns = new(atomic.Int64)
	db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	all := make([]*ledger, clients)
	for i := range all {
		conn, err := db.Conn(ctx)
		cluster.Must(t, err)
		_, err = conn.ExecContext(ctx, fmt.Sprintf("SET time_zone = '+0%d:00'", 1+i%9))
		cluster.Must(t, err)
		l := &ledger{client: i, conn: conn}
		all[i] = l
		wg.Go(func() {
			for ctx.Err() == nil {
				// A turn that has begun is ended: its outcome must be known.
				if err := l.turn(context.WithoutCancel(ctx)); err != nil {
					t.Errorf("client %d, turn %d: %v", l.client, l.acked+1, err)
					return
				}
				turns.Add(1)
			}
		})
	}
	stop = func() []*ledger {
		cancel()
		wg.Wait()
		for _, l := range all {
			_ = l.conn.Close()
		}
		return all
	}
	t.Cleanup(func() { stop() })
	return turns, stop
}

// progress waits until the clients have done more.
func progress(t *testing.T, turns *atomic.Int64, more int64) {
	t.Helper()
	want := turns.Load() + more
	cluster.Eventually(t, "the clients go on", func() bool { return turns.Load() >= want || t.Failed() })
}

// wantLedgers checks on every node that all that was acknowledged is there, once, and nothing else.
func (f *fixture) wantLedgers(t *testing.T, leader string, clients []*ledger) {
	t.Helper()
	rows := 0
	for _, l := range clients {
		rows += l.acked
	}
	want := fmt.Sprintf("%d rows, sum 400", rows)
	q := "SELECT CONCAT((SELECT COUNT(*) FROM shop.ledger), ' rows, sum ', (SELECT SUM(balance) FROM shop.accounts))"
	if got := f.Node(leader).Text(t, q); got != want {
		t.Errorf("%s has %s, want %s", leader, got, want)
	}
	for _, n := range f.Nodes() {
		cluster.Eventually(t, n.Name()+" has "+want, func() bool { return n.Text(t, q) == want || t.Failed() })
	}
}

// TestSwitchover: a planned change costs clients no error, keeps what their
// sessions have, loses and doubles nothing; and the way back is as good.
func TestSwitchover(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		turns, stop := f.load(t, 6)
		progress(t, turns, 30)
		for _, to := range []string{"db2", "db3", "db1"} {
			v := f.mustSwitch(t, to)
			t.Logf("%s: writes held for %.0f ms: %+v", to, v.HeldMS, v.Steps)
			progress(t, turns, 30)
		}
		f.wantLedgers(t, "db1", stop())
	})
}

// TestSwitchoverDryRun changes nothing, and says who would lead.
func TestSwitchoverDryRunAndRefusals(t *testing.T) {
	f := start(t, cluster.Options{})
	code, v := f.switchover(t, admin.SwitchoverRequest{DryRun: true})
	if code != http.StatusOK || v.Done || v.From != "db1" || v.To == "" || v.To == "db1" {
		t.Errorf("dry run: status %d: %+v", code, v)
	}
	refused := func(to, because string) {
		t.Helper()
		code, v := f.switchover(t, admin.SwitchoverRequest{To: to})
		if code != http.StatusConflict || v.Done || !strings.Contains(strings.Join(v.Reasons, "; "), because) {
			t.Errorf("to %s: status %d, want it refused because of %q: %+v", to, code, because, v)
		}
	}
	refused("db1", "is the leader already")
	refused("db9", "there is no node")
	f.Node("db2").StopReplication(t)
	cluster.Eventually(t, "db2 is seen to be broken", func() bool {
		for _, n := range f.topology(t).Nodes {
			if n.Name == "db2" {
				return n.State == "broken"
			}
		}
		return false
	})
	refused("db2", "db2 is broken")
	f.Node("db2").StartReplication(t)
	f.settled(t, "db1")
	if got := f.Leader().Text(t, "SELECT @@global.read_only"); got != "0" {
		t.Errorf("read_only of the leader is %s after refusals", got)
	}
}

// TestSwitchoverIsTakenBack: a transaction that does not end, and a follower that
// cannot catch up, end a switchover, not the clients' work.
func TestSwitchoverIsTakenBack(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o, "replication: {switchover_timeout: 2s}")
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		failed := func(step string) {
			t.Helper()
			code, v := f.switchover(t, admin.SwitchoverRequest{To: "db2"})
			if code != http.StatusInternalServerError || v.Done || len(v.Steps) == 0 {
				t.Fatalf("status %d, want a failure: %+v", code, v)
			}
			var names []string
			for _, s := range v.Steps {
				names = append(names, s.Name)
				if strings.Contains(s.Name, step) && s.Error != "" {
					return
				}
			}
			t.Errorf("no failed step %q among %v: %+v", step, names, v)
		}
		tx, err := db.BeginTx(ctx, nil)
		cluster.Must(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (1, 1)")
		cluster.Must(t, err)
		failed("drain")
		_, err = tx.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (1, 2)")
		cluster.Must(t, err, tx.Commit())
		f.settled(t, "db1")

		lock, err := f.Node("db2").DB().Conn(ctx)
		cluster.Must(t, err)
		defer func() { _ = lock.Close() }()
		_, err = lock.ExecContext(ctx, "LOCK TABLES shop.ledger READ")
		cluster.Must(t, err)
		_, err = db.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (1, 3)")
		cluster.Must(t, err)
		failed("has everything")
		_, err = db.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (1, 4)")
		cluster.Must(t, err)
		_, err = lock.ExecContext(ctx, "UNLOCK TABLES")
		cluster.Must(t, err)
		f.settled(t, "db1")
		f.mustSwitch(t, "db2")
		f.wantLedgers(t, "db2", []*ledger{{acked: 4}})
	})
}
