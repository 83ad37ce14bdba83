package verify

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/handover"
	"github.com/bellwetherdb/bellwether/replicator/initial"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Under writes that never cease, verification names the damaged rows of a
// follower, all of them and no other; and a hand-over leaves it where it was.
func TestVerifyNamesTheRowsThatDiffer(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.MakeLoadTables(t, ctx, l)
		nodetest.Exec(t, ctx, l, "USE moving", "CREATE TABLE nokey (a INT, b VARCHAR(5))", "INSERT INTO nokey VALUES (1,'a'),(1,'a'),(2,'b')",
			"INSERT INTO byint VALUES (100001, 1, 'still'),(100002, 2, 'still'),(100003, 3, 'still')",
			"INSERT INTO bytext VALUES ('é''\\\\', 100001, 100001, 'still')", "CREATE TABLE onlyhere (id INT PRIMARY KEY)")
		if _, err := (&initial.Plan{Leader: l, Follower: f, Workers: 2, ChunkRows: 1000}).Run(ctx); err != nil {
			t.Fatal(err)
		}
		nodetest.Follow(t, ctx, leader, l, f)
		opts := Options{Leader: l, Followers: []*node.Server{f}, ChunkRows: 500, LockTime: 20 * time.Second, Pause: time.Millisecond}
		nodetest.UnderLoad(t, ctx, l, func(*atomic.Int64) {
			res, err := Run(ctx, opts)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Differences) > 0 || res.Rows < nodetest.LoadRows || res.Ranges < 10 {
				t.Errorf("equal servers: %+v", res)
			}
			// By keys: a scan would lock rows that the follower's workers wait for, while they wait
			// for each other's turn to commit, and no server sees such a circle.
			nodetest.Exec(t, ctx, f, "SET SESSION sql_log_bin=0", "USE moving", "UPDATE byint SET v=-1 WHERE id=100001", "DELETE FROM byint WHERE id=100002",
				"INSERT INTO byint VALUES (100009, 0, NULL)", "UPDATE bytext SET pad='Still' WHERE u=100001",
				"DELETE FROM nokey WHERE a=1 LIMIT 1", "DROP TABLE onlyhere", "CREATE TABLE onlythere (a INT)")
			if res, err = Run(ctx, opts); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range res.Differences {
				got = append(got, fmt.Sprintf("%s %s %q", d.Table, d.Kind, d.Key))
			}
			slices.Sort(got)
			want := []string{
				`moving.byint changed ["100001"]`, `moving.byint extra ["100009"]`, `moving.byint missing ["100002"]`,
				fmt.Sprintf("moving.bytext changed %q", []string{"é'\\", "100001"}), `moving.nokey missing []`,
				`moving.onlyhere schema []`, `moving.onlythere schema []`,
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %q\nwant %q\n%v", got, want, res.Differences)
			}
		})
		nodetest.CatchUp(t, ctx, l, f)
		thereAndBack(t, ctx, leader, l, f)
	})
}

// thereAndBack hands the follower to the engine and back to its own replication:
// it never moves by that, and goes on from exactly where it was.
func thereAndBack(t *testing.T, ctx context.Context, leader *sandbox.Node, l, f *node.Server) {
	t.Helper()
	before, err := f.Applied(ctx, f.DB)
	if err != nil {
		t.Fatal(err)
	}
	pos, err := handover.ToEngine(ctx, l, f)
	if err != nil || !pos.Equal(before) {
		t.Fatalf("to the engine at %s (%v), from %s", pos, err, before)
	}
	if status, err := f.ReplicaStatus(ctx); err != nil || len(status) > 0 {
		t.Errorf("it still follows by itself: %v (%v)", status, err)
	}
	written, err := f.Written(ctx, f.DB)
	if err != nil || !written.Equal(before) {
		t.Errorf("its binlog is at %s (%v), not at %s", written, err, before)
	}
	nodetest.Exec(t, ctx, l, "INSERT INTO moving.byint VALUES (200001, 0, 'while nobody applies')")
	src := node.Source{Address: leader.Addr(), User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password}
	if pos, err = handover.ToNative(ctx, l, f, src); err != nil || !pos.Equal(before) {
		t.Fatalf("to its own replication at %s (%v), from %s", pos, err, before)
	}
	nodetest.CatchUp(t, ctx, l, f)
	var n int
	if err := f.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM moving.byint WHERE id=200001").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows (%v)", n, err)
	}
}
