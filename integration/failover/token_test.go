package failover

import (
	"context"
	"database/sql"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestScenario27TokenOfALostWrite: without acknowledgements a write dies with its leader. Who
// takes a token that stands for it gets an error that says so, neither silence nor a hang;
// a token of what was kept is as good as before. The session that wrote it is told once.
func TestScenario27TokenOfALostWrite(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startAutomatic(t, o, "failover: {acks: 0}")
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		open := func() *sql.Conn {
			db := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema)
			conn, err := db.Conn(ctx)
			cluster.Must(t, err)
			t.Cleanup(func() { _, _ = conn.Close(), db.Close() })
			return conn
		}
		write := func(conn *sql.Conn, n int) (token string) {
			_, err := conn.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (27, ?)", n)
			cluster.Must(t, err, conn.QueryRowContext(ctx, "SELECT @@bellwether_token").Scan(&token))
			return token
		}
		rows := func(conn *sql.Conn) (n int) {
			cluster.Must(t, conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM ledger WHERE client = 27").Scan(&n))
			return n
		}
		lucky, unlucky, reader := open(), open(), open()
		kept := write(lucky, 1)
		f.WaitReplicated(t)
		cluster.Must(t, f.Node("db1").Cut(cluster.Nodes, cluster.Both))
		lost := write(unlucky, 2)
		if _, err := reader.ExecContext(ctx, "SELECT COUNT(*) FROM ledger FOR UPDATE"); err != nil { // on the leader
			t.Fatal(err)
		}
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		if got := next.Text(t, "SELECT COUNT(*) FROM shop.ledger WHERE client = 27"); got != "1" {
			t.Fatalf("%s rows on %s: nothing was lost", got, next.Name())
		}
		conn := open()
		for _, statement := range []string{"SET bellwether_token = '" + lost + "'", "/* bellwether: token=" + lost + " */ SELECT COUNT(*) FROM ledger"} {
			_, err := conn.ExecContext(ctx, statement)
			wantError(t, statement[:20], err, 1231, "lost with an earlier leader")
		}
		_, err := conn.ExecContext(ctx, "SET bellwether_token = '"+kept+"'")
		cluster.Must(t, err)
		_, err = unlucky.ExecContext(ctx, "SELECT COUNT(*) FROM ledger")
		wantError(t, "the session whose write was lost", err, 1105, "was acknowledged, and lost with the leader of epoch 1")
		for name, c := range map[string]*sql.Conn{"with the token of what was kept": conn, "the session that was told": unlucky, "the one whose write was kept": lucky, "one that only read": reader} {
			if n := rows(c); n != 1 {
				t.Errorf("%s: %d rows", name, n)
			}
		}
		_, err = unlucky.ExecContext(ctx, "SET bellwether_token = '"+lost+"'")
		wantError(t, "its own token", err, 1231, "lost with an earlier leader")
	})
}
