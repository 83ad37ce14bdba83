package failover

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestScenario28LeaderKilled: kill -9 of the leader under load loses nothing that was
// acknowledged; writers go on, readers see no error; the old leader comes back as a follower.
func TestScenario28LeaderKilled(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		c := f.crowd(t, 4, 4)
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Start())
		f.returns(t, next.Name(), "db1")
		c.progress(t, 20)
		c.check(t, next)
		f.wantFailover(t, next.Name())
	})
}

// TestScenario29LeaderStopped: a leader that says nothing and comes back to itself later
// acknowledges nothing under the old epoch.
func TestScenario29LeaderStopped(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		c := f.crowd(t, 4, 4)
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Pause())
		next := f.newLeader(t, "db1")
		c.progress(t, 50)
		cluster.Must(t, f.Node("db1").Continue())
		// Commits that wait there for an acknowledgement wait for ever, and read_only behind them: as
		// the report says, it takes a restart. Where none waits, it is demoted at once.
		hangs := func() bool { return strings.Contains(f.proxy.Log(), "restart the server") }
		cluster.Eventually(t, "the demotion is over, or said to hang", func() bool { return hangs() || f.keptOut("db1") || f.serves(t, "db1") })
		if hangs() {
			cluster.Must(t, f.Node("db1").Kill(), f.Node("db1").Start())
		}
		f.returns(t, next.Name(), "db1")
		c.progress(t, 20)
		c.check(t, next)
		f.wantFailover(t, next.Name())
	})
}

// TestTransactionOfALostLeader: a transaction that had not reached its commit gets 1213
// with SQLSTATE 40001, and its session goes on with what it had.
func TestTransactionOfALostLeader(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		conn, err := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema).Conn(ctx)
		cluster.Must(t, err)
		defer func() { _ = conn.Close() }()
		_, err = conn.ExecContext(ctx, "SET time_zone = '+03:00'")
		cluster.Must(t, err)
		for _, q := range []string{"BEGIN", "INSERT INTO ledger (client, n) VALUES (9, 1)"} {
			_, err = conn.ExecContext(ctx, q)
			cluster.Must(t, err)
		}
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		_, err = conn.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (9, 2)")
		var me *mysql.MySQLError
		if !errors.As(err, &me) || me.Number != 1213 || string(me.SQLState[:]) != "40001" {
			t.Fatalf("in the transaction: %v, want error 1213 with SQLSTATE 40001", err)
		}
		var zone string
		cluster.Must(t, conn.QueryRowContext(ctx, "SELECT @@time_zone").Scan(&zone))
		_, err = conn.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (9, 3)")
		cluster.Must(t, err)
		if got := next.Text(t, "SELECT GROUP_CONCAT(n) FROM shop.ledger WHERE client = 9"); got != "3" || zone != "+03:00" {
			t.Errorf("rows %s, time zone %s", got, zone)
		}
	})
}

// TestSessionsOfALostLeader: what sessions had, and what of that the next leader can give
// them, when nothing was under way on the lost one.
func TestSessionsOfALostLeader(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
		open := func(statements ...string) *sql.Conn {
			conn, err := db.Conn(ctx)
			cluster.Must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			for _, q := range statements {
				_, err = conn.ExecContext(ctx, q)
				cluster.Must(t, err)
			}
			return conn
		}
		numbered := open("INSERT INTO numbered (n) VALUES (1)")
		tied := open("SET @mine = 7")
		doubtful := open("INSERT INTO ledger (client, n) VALUES (20, 1)", "BEGIN", "INSERT INTO ledger (client, n) VALUES (20, 2)")
		_, err := doubtful.ExecContext(ctx, "CREATE TABLE ledger (id INT)")
		wantError(t, "a table that exists", err, 1050, "")
		own, err := open().PrepareContext(ctx, "SELECT n FROM numbered WHERE n = ? FOR UPDATE")
		cluster.Must(t, err)
		var n int
		cluster.Must(t, own.QueryRowContext(ctx, 1).Scan(&n))
		cluster.Must(t, f.Node("db1").Kill())
		f.newLeader(t, "db1")

		if err := own.QueryRowContext(ctx, 1).Scan(&n); err != nil || n != 1 {
			t.Errorf("a prepared statement: %d, %v", n, err)
		}
		wantError(t, "LAST_INSERT_ID()", numbered.QueryRowContext(ctx, "SELECT LAST_INSERT_ID()").Scan(&n), 1105, "nothing was executed")
		r, err := numbered.ExecContext(ctx, "INSERT INTO numbered (n) VALUES (2)")
		cluster.Must(t, err)
		id, _ := r.LastInsertId()
		if err := numbered.QueryRowContext(ctx, "SELECT LAST_INSERT_ID()").Scan(&n); err != nil || int64(n) != id {
			t.Errorf("LAST_INSERT_ID() is %d, %v, want %d", n, err, id)
		}
		_, err = tied.ExecContext(ctx, "INSERT INTO numbered (n) VALUES (@mine)")
		wantError(t, "a session with a user variable", err, 1053, "nothing was executed")
		_, err = doubtful.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (20, 3)")
		wantError(t, "after an error that may have ended the transaction", err, 1053, "is unknown")
		_, err = doubtful.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (20, 4)")
		cluster.Must(t, err)
	})
}

// wantError checks an error of the server's kind, by its number and a part of its text.
func wantError(t *testing.T, what string, err error, number uint16, text string) {
	t.Helper()
	var me *mysql.MySQLError
	if !errors.As(err, &me) || me.Number != number || !strings.Contains(me.Message, text) {
		t.Errorf("%s: %v, want error %d with %q", what, err, number, text)
	}
}
