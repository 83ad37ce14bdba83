package initial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// equal compares structure and rows, the latter by a checksum of its own making.
func equal(t *testing.T, ctx context.Context, l, f *node.Server) {
	t.Helper()
	a, err := (&Plan{Leader: l}).readStructure(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&Plan{Leader: f}).readStructure(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*structure{a, b} {
		for i := range s.programs {
			s.programs[i].status = "" // events are disabled on the follower
			for _, word := range []string{"DISABLE ON SLAVE", "DISABLE ON REPLICA"} {
				s.programs[i].create = strings.Replace(s.programs[i].create, word, "ENABLE", 1)
			}
		}
	}
	if x, y := a.fingerprint(), b.fingerprint(); x != y {
		t.Errorf("structure differs: %s", different(x, y))
	}
	tables, err := tabledef.Read(ctx, l, l.DB)
	if err != nil {
		t.Fatal(err)
	}
	for _, tb := range tables {
		if x, y := dump(t, ctx, l, tb), dump(t, ctx, f, tb); x != y {
			t.Errorf("%s differs: %s", tb, different(x, y))
		}
	}
}

// different is the first lines that only one of two texts has.
func different(a, b string) string {
	out := ""
	for i, pair := range [][2]string{{a, b}, {b, a}} {
		for line := range strings.SplitSeq(pair[0], "\n") {
			if len(out) < 4000 && !strings.Contains("\n"+pair[1]+"\n", "\n"+line+"\n") {
				out += fmt.Sprintf("\n%s only: %.600s", []string{"leader", "follower"}[i], line)
			}
		}
	}
	return out
}

// dump is every byte of a table, in hexadecimal, sorted: nothing that the copy uses.
func dump(t *testing.T, ctx context.Context, s *node.Server, tb *tabledef.Table) string {
	t.Helper()
	c, err := s.DB.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer mysqlconn.Discard(c)
	exprs := make([]string, len(tb.Columns))
	for i := range tb.Columns {
		name := mysqlconn.QuoteName(tb.Columns[i].Name)
		switch tb.Columns[i].Type {
		case "float", "double": // HEX would round: let the server show the number exactly
			exprs[i] = "IFNULL(CONCAT(CAST(" + name + " AS DOUBLE), ' ', 1/NULLIF(CAST(" + name + " AS DOUBLE),0)),'NULL')"
		case "enum", "set":
			exprs[i] = "IFNULL(CONCAT(HEX(" + name + "),' ',CAST(" + name + " AS UNSIGNED)),'NULL')"
		default:
			exprs[i] = "IFNULL(HEX(" + name + "),'NULL')"
		}
	}
	versions := ""
	if tb.Versioned {
		versions = " FOR SYSTEM_TIME ALL"
	}
	if err := node.Exec(ctx, c, "SET SESSION time_zone='+00:00'", "SET SESSION group_concat_max_len=1000000000"); err != nil {
		t.Fatal(err)
	}
	rows, err := node.Strings(ctx, c, "SELECT CONCAT_WS('|',"+strings.Join(exprs, ",")+") x FROM "+tb.FullName()+versions+" ORDER BY x")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows, "\n")
}

// Every kind of column, and everything else that a server holds, in one copy.
func TestCopyOfEverything(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.Exec(t, ctx, l, nodetest.TypeTables(leader.Server().Flavor)...)
		nodetest.Exec(t, ctx, l, programs...)
		if leader.Server().Flavor == gtid.MariaDB {
			nodetest.Exec(t, ctx, l, programsMariaDB...)
		} else {
			nodetest.Exec(t, ctx, l, programsMySQL...)
		}
		var last Progress
		p := &Plan{Leader: l, Follower: f, Workers: 3, ChunkRows: 7, Progress: func(pr Progress) { last = pr }}
		res, err := p.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, ctx, l, f)
		if last.Phase != "done" || last.Percent < 99.9 || last.Percent > 100.1 || last.RangesDone != last.Ranges || last.Rows != res.Rows {
			t.Errorf("the last progress is %+v", last)
		}
		if at, err := f.Written(ctx, f.DB); err != nil || !at.Equal(res.Position) {
			t.Errorf("the follower stands at %s (%v), not at %s", at, err, res.Position)
		}
		if half, err := Incomplete(ctx, f); half || err != nil {
			t.Errorf("the copy is marked as incomplete: %v", err)
		}
		// An event runs on the leader only, and an account with a role works as there.
		states, err := node.Strings(ctx, f.DB, "SELECT DISTINCT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA='everything'")
		if err != nil || len(states) != 1 || !strings.HasPrefix(states[0], "SLAVESIDE_DISABLED") && !strings.HasPrefix(states[0], "REPLICA_SIDE") {
			t.Errorf("events on the follower are %v (%v)", states, err)
		}
		for _, q := range []string{"SHOW GRANTS FOR 'alice'@'%'", "SHOW GRANTS FOR 'bob'@'10.%'", "SHOW CREATE USER 'alice'@'%'"} {
			a, err1 := node.Strings(ctx, l.DB, q)
			b, err2 := node.Strings(ctx, f.DB, q)
			if err1 != nil || err2 != nil || strings.Join(a, "\n") != strings.Join(b, "\n") {
				t.Errorf("%s: %v (%v), on the follower %v (%v)", q, a, err1, b, err2)
			}
		}
		nodetest.Follow(t, ctx, leader, l, f)
		nodetest.Exec(t, ctx, l, "INSERT INTO everything.parent VALUES (1001, 'later')", "DELETE FROM everything.parent WHERE id=1")
		nodetest.CatchUp(t, ctx, l, f)
		equal(t, ctx, l, f)

		again := &Plan{Leader: l, Follower: f}
		if _, err := again.Run(ctx); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("a server with data was taken: %v", err)
		}
	})
}
