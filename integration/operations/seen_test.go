package operations

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Hints decide where a read goes, and never let a write through.
func TestHints(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t)
		s.onFollower()
		s.want(leader, "/* bellwether: target=leader */ "+whoami)
		s.settles("db2", "/* bellwether: node=db2 */ "+whoami)
		s.settles("db3", "/* bellwether: node=db3 */ "+whoami)
		s.settles("db3", "/* bellwether: node=db3, max_lag=50s */ "+whoami)
		s.exec("/* bellwether: node=db2 */ UPDATE t SET n = 77 WHERE id = 2")
		s.want("77", "SELECT n FROM t WHERE id = 2")
		if got := f.Leader().Text(t, "SELECT n FROM shop.t WHERE id = 2"); got != "77" {
			t.Errorf("the leader has %s", got)
		}
	})
}

// Prepared statements execute on either side after the other, survive a change
// of the table, and mean what they meant when they were prepared.
func TestPreparedMoves(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t, "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY, n INT NOT NULL)", "INSERT INTO other.t VALUES (1, 99)",
			"GRANT ALL ON other.* TO 'app'@'%'")
		f.WaitReplicated(t)
		s := f.open(t)
		ctx := t.Context()
		stmt, err := s.PrepareContext(ctx, "SELECT n FROM t WHERE id = ?")
		cluster.Must(t, err)
		defer func() { _ = stmt.Close() }()
		get := func(want int) {
			t.Helper()
			var n int
			cluster.Must(t, stmt.QueryRowContext(ctx, 1).Scan(&n))
			if n != want {
				t.Errorf("n = %d, want %d", n, want)
			}
		}
		s.exec("USE other") // the statement was prepared for the other schema
		get(1)
		s.exec("USE shop")
		get(1)
		s.exec("BEGIN")
		get(1)
		s.exec("COMMIT")
		s.onFollower()
		get(1)
		f.Exec(t, "ALTER TABLE shop.t ADD COLUMN extra INT FIRST")
		f.WaitReplicated(t)
		get(1)
		s.exec("BEGIN")
		get(1)
		s.exec("COMMIT")
	})
}

// What the proxy remembers is bounded: statements that differ, and statements
// that were prepared and closed.
func TestMemoryIsBounded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t)
		distinct := func(from, n int) {
			for i := from; i < from+n; i++ {
				s.rows(fmt.Sprintf("SELECT 1 AS c%d_%s", i, strings.Repeat("x", 40)))
			}
		}
		distinct(0, 6000)
		before := rss(t, f)
		distinct(6000, 14000)
		for i := range 10000 {
			stmt, err := s.PrepareContext(t.Context(), fmt.Sprintf("SELECT %d", i))
			cluster.Must(t, err, stmt.Close())
		}
		after := rss(t, f)
		t.Logf("%d MiB, then %d MiB", before>>20, after>>20)
		if after > before+(32<<20) {
			t.Errorf("the process grew from %d to %d MiB", before>>20, after>>20)
		}
		for _, n := range f.Nodes() {
			if got := n.Text(t, "SELECT VARIABLE_VALUE FROM "+statusTable(f)+" WHERE VARIABLE_NAME = 'Prepared_stmt_count'"); len(got) > 2 {
				t.Errorf("%s holds %s prepared statements", n.Name(), got)
			}
		}
		var d struct {
			Total   int
			Digests []struct{ Digest, Text string }
		}
		_, body := f.proxy.Get("/v1/digests")
		cluster.Must(t, json.Unmarshal([]byte(body), &d))
		if d.Total == 0 || d.Total > 4096 || len(d.Digests) == 0 {
			t.Errorf("%d digests, %d listed", d.Total, len(d.Digests))
		}
		_, body = f.proxy.Get("/v1/sessions")
		if !strings.Contains(body, `"user":"app"`) && !strings.Contains(body, `"user": "app"`) {
			t.Errorf("/v1/sessions: %s", body)
		}
		if got := f.metric(t, "bellwether_client_connections"); got != 1 {
			t.Errorf("%v client connections", got)
		}
	}, "users: [{name: app, password: "+sandbox.AppAccount.Password+"}]")
}

func statusTable(f *fixture) string {
	if strings.HasPrefix(f.Options.Flavor, "mysql") {
		return "performance_schema.global_status"
	}
	return "information_schema.global_status"
}

// rss is the resident memory of the proxy, bytes.
func rss(t *testing.T, f *fixture) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", f.proxy.PID()))
	cluster.Must(t, err)
	var size, resident int
	_, err = fmt.Sscan(string(text), &size, &resident)
	cluster.Must(t, err)
	return resident * os.Getpagesize()
}
