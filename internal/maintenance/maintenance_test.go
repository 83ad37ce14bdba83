package maintenance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// accessTo is a configuration of these nodes, read from a file as the program reads it.
func accessTo(t *testing.T, nodes ...*sandbox.Node) *Access {
	t.Helper()
	var b strings.Builder
	b.WriteString("cluster:\n  user: bellwether\n  password: bellwether-secret\n  nodes:\n")
	for _, n := range nodes {
		fmt.Fprintf(&b, "    - {name: %s, address: %q}\n", n.Name(), n.Addr())
	}
	fmt.Fprintf(&b, "replication: {user: %s, password: %s}\n", sandbox.ReplicationAccount.User, sandbox.ReplicationAccount.Password)
	path := filepath.Join(t.TempDir(), "bellwether.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return &Access{Config: cfg, User: sandbox.AdminAccount.User, Password: sandbox.AdminAccount.Password}
}

// A server that has nothing but an account becomes a follower by one command;
// what is damaged there is named by another, and mended by the first.
func TestCloneVerifyRepair(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.MakeLoadTables(t, ctx, l)
		admin := "'" + sandbox.AdminAccount.User + "'@'%'"
		create := []string{"CREATE USER " + admin + " IDENTIFIED BY '" + sandbox.AdminAccount.Password + "'", "GRANT ALL ON *.* TO " + admin + " WITH GRANT OPTION"}
		nodetest.Exec(t, ctx, f, append([]string{"SET SESSION sql_log_bin=0"}, create...)...)
		a := accessTo(t, leader, follower)
		if _, err := Verify(ctx, a, VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "both take writes") {
			t.Errorf("two servers that take writes: %v", err)
		}

		res, err := Clone(ctx, a, CloneOptions{Node: follower.Name(), Workers: 2, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		if res.Rows < 2*nodetest.LoadRows {
			t.Errorf("%d rows were copied", res.Rows)
		}
		nodetest.Exec(t, ctx, l, "INSERT INTO moving.byint VALUES (900001, 1, 'after the copy')")
		nodetest.CatchUp(t, ctx, l, f)
		expect(t, ctx, a)

		_, err = Clone(ctx, a, CloneOptions{Node: follower.Name(), Follow: true})
		if err == nil || !strings.Contains(err.Error(), "has data") {
			t.Errorf("a follower was overwritten: %v", err)
		}
		if why, err := f.ReplicaError(ctx); why != "" || err != nil {
			t.Errorf("the refusal broke its replication: %s (%v)", why, err)
		}
		if _, err := Clone(ctx, a, CloneOptions{Node: leader.Name(), Repair: true}); err == nil {
			t.Error("the leader was overwritten")
		}

		writable := "SET GLOBAL read_only=0"
		if l.Flavor == gtid.MySQL {
			writable = "SET GLOBAL super_read_only=0"
		}
		nodetest.Exec(t, ctx, f, writable, "SET SESSION sql_log_bin=0", "DELETE FROM moving.byint WHERE id=900001", "SET GLOBAL read_only=1")
		nodetest.Exec(t, ctx, l, "CREATE USER reader@'%' IDENTIFIED BY 'reads'", "GRANT SELECT ON *.* TO reader@'%'")
		if l.IsMariaDB() {
			nodetest.Exec(t, ctx, l, "GRANT BINLOG MONITOR ON *.* TO reader@'%'")
		}
		nodetest.CatchUp(t, ctx, l, f)
		reader := *a // needs no rights but these, as the documentation says
		reader.User, reader.Password = "reader", "reads"
		expect(t, ctx, &reader, follower.Name()+": moving.byint: missing id=\"900001\"")
		if res, err = Clone(ctx, a, CloneOptions{Node: follower.Name(), Workers: 2, Repair: true, Follow: true}); err != nil {
			t.Fatal(err)
		}
		if res.RangesReused == 0 {
			t.Errorf("nothing was found equal: %+v", res)
		}
		expect(t, ctx, a)
	})
}

// expect compares all followers of a with the leader.
func expect(t *testing.T, ctx context.Context, a *Access, want ...string) {
	t.Helper()
	res, err := Verify(ctx, a, VerifyOptions{ChunkRows: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range res.Differences {
		got = append(got, d.String())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || res.Rows < 2*nodetest.LoadRows {
		t.Errorf("found %q, want %q; %d rows", got, want, res.Rows)
	}
}

func TestClonesThatCannotBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.yaml")
	text := "cluster: {user: u, password: p, nodes: [{name: a, address: '127.0.0.1:1'}, {name: b, address: '127.0.0.1:2'}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		leader, node, want string
	}{
		{"", "c", `no node is called "c"; there are a, b`},
		{"a", "a", "connect"},
		{"", "b", "to find the leader all nodes are asked"},
		{"z", "b", `no node is called "z"`},
	} {
		_, err := Clone(t.Context(), &Access{Config: cfg, Leader: tt.leader}, CloneOptions{Node: tt.node, Follow: true})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("leader %q, node %q: %v, want %q", tt.leader, tt.node, err, tt.want)
		}
	}
}
