package initial

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

// stall turns semi-synchronous replication on with nobody to acknowledge: commits
// are in the binlog, and neither visible nor answered, until release.
func stall(t *testing.T, ctx context.Context, l *node.Server) (release func()) {
	t.Helper()
	word := "master"
	if l.Flavor == gtid.MySQL {
		word = "source"
		nodetest.Exec(t, ctx, l, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
	}
	v := "SET GLOBAL rpl_semi_sync_" + word + "_"
	nodetest.Exec(t, ctx, l, v+"wait_point=AFTER_SYNC", v+"timeout=3600000", v+"enabled=1")
	return func() { nodetest.Exec(t, ctx, l, v+"enabled=0") }
}

// SCENARIOS 19: a copy under writes that move primary keys, begun while commits
// hang between the binlog and the engine, is equal once it has caught up.
func TestScenario19CopyUnderLoadWithStalledAcknowledgement(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.MakeLoadTables(t, ctx, l)
		var waited atomic.Bool
		p := &Plan{
			Leader: l, Follower: f, Workers: 3, ChunkRows: 300, LockTimeout: 1e9, LockPause: 1e8, LockAttempts: 1000,
			Progress: func(pr Progress) {
				if pr.Phase == "snapshot" && pr.Waiting != "" {
					waited.Store(true)
				}
			},
		}
		var res *Result
		nodetest.UnderLoad(t, ctx, l, func(committed *atomic.Int64) {
			release := stall(t, ctx, l)
			done := make(chan error, 1)
			go func() {
				var err error
				res, err = p.Run(ctx)
				done <- err
			}()
			nodetest.WaitFor(t, ctx, "a copy that waits for commits that hang", waited.Load)
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			before := committed.Load()
			nodetest.WaitFor(t, ctx, "writes after the copy", func() bool { return committed.Load() > before+50 })
		})
		if res.Ranges < 10 {
			t.Errorf("only %d ranges: the tables were not divided", res.Ranges)
		}
		nodetest.Follow(t, ctx, leader, l, f)
		equal(t, ctx, l, f)
	})
}

// A copy that is cut short goes on: ranges that are there already are compared
// and not copied again, though the leader has moved on.
func TestCopyResumes(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.MakeLoadTables(t, ctx, l)
		cctx, cancel := context.WithCancel(ctx)
		defer cancel()
		first := &Plan{
			Leader: l, Follower: f, Workers: 2, ChunkRows: 200, MaxBytesPerSecond: 250_000,
			Progress: func(pr Progress) {
				if pr.RangesDone >= 5 {
					cancel()
				}
			},
		}
		if _, err := first.Run(cctx); err == nil {
			t.Fatal("the copy was not cut short")
		}
		if half, err := Incomplete(ctx, f); !half || err != nil {
			t.Fatalf("half a copy is not marked: %v", err)
		}
		nodetest.Exec(t, ctx, l, "UPDATE moving.byint SET v=v+1 WHERE id IN (1, 3999)", "UPDATE moving.bytext SET u=u+100000 WHERE b<3")
		res, err := (&Plan{Leader: l, Follower: f, Workers: 2, ChunkRows: 200}).Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if res.RangesReused < 2 {
			t.Errorf("%d of %d ranges were reused", res.RangesReused, res.Ranges)
		}
		equal(t, ctx, l, f)

		// Damage and old data are repaired the same way, into an equal server.
		nodetest.Exec(t, ctx, f, "SET SESSION sql_log_bin=0", "UPDATE moving.bytext SET pad='damaged' WHERE b=2000", "DELETE FROM moving.byint WHERE id=77",
			"INSERT INTO moving.byint VALUES (-1,-1,'errant')", "CREATE TABLE moving.errant (a INT)")
		res, err = (&Plan{Leader: l, Follower: f, Workers: 2, ChunkRows: 200, Reuse: true}).Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if copied := res.Ranges - res.RangesReused; copied < 2 || copied > 4 {
			t.Errorf("%d of %d ranges were copied again", copied, res.Ranges)
		}
		equal(t, ctx, l, f)
		nodetest.Follow(t, ctx, leader, l, f)
	})
}
