package failover

import (
	"net/http"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestSwitchoverKeepsInsertID: LAST_INSERT_ID() moves with the session as the server
// has it. After an INSERT with an id of its own the answer gives that id, and
// LAST_INSERT_ID() is still the one before.
func TestSwitchoverKeepsInsertID(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		conn, err := f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema).Conn(t.Context())
		cluster.Must(t, err)
		defer conn.Close()
		r, err := conn.ExecContext(t.Context(), "INSERT INTO numbered (n) VALUES (1)")
		cluster.Must(t, err)
		want, _ := r.LastInsertId()
		_, err = conn.ExecContext(t.Context(), "INSERT INTO numbered (id, n) VALUES (1000000, 2)")
		cluster.Must(t, err)
		if code, v := f.switchover(t, admin.SwitchoverRequest{To: "db2"}); code != http.StatusOK {
			t.Fatalf("switchover: %d %+v", code, v)
		}
		var got int64
		cluster.Must(t, conn.QueryRowContext(t.Context(), "SELECT LAST_INSERT_ID()").Scan(&got))
		if got != want {
			t.Errorf("LAST_INSERT_ID() is %d after the switchover, want %d", got, want)
		}
	})
}
