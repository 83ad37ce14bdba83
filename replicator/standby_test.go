package replicator

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Who stands by ends an owner that is stuck, and none that works: one that copies,
// or for whom the server runs a long statement. Who owns then ends what is left.
func TestStandBy(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, other *sandbox.Node) {
		l, o := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, other)
		for _, n := range []*sandbox.Node{leader, other} {
			if err := sandbox.CreateEngineAccount(ctx, n.DB()); err != nil {
				t.Fatal(err)
			}
		}
		nodetest.Exec(t, ctx, l, "CREATE DATABASE ahead")
		met, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Account: mysqlconn.Config{User: sandbox.EngineAccount.User, Password: sandbox.EngineAccount.Password}}
		f := &follower{
			cfg: cfg, leader: NodeConfig{Name: "l", Address: leader.Socket()}, node: NodeConfig{Name: "o", Address: other.Socket()},
			log: slog.New(slog.DiscardHandler), met: met,
		}
		h, err := own(ctx, cfg.reach(f.node, ""), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer h.release()
		var held *heldError
		if _, err := own(ctx, cfg.reach(f.node, ""), 0); !errors.As(err, &held) {
			t.Fatalf("owned twice: %v", err)
		}
		owns := func() bool { return h.conn.PingContext(ctx) == nil }
		long := func() { f.idle.since = time.Now().Add(-2 * stuckAfter) }

		f.standBy(ctx, held.by)
		if !f.show().Whole {
			t.Error("what is not copied is not whole")
		}
		nodetest.Exec(t, ctx, o, "SET SESSION sql_log_bin=0", "CREATE DATABASE bellwether_copy", "CREATE TABLE bellwether_copy.copy (a INT)")
		long()
		if f.standBy(ctx, held.by); !owns() || f.show().Whole {
			t.Error("an owner that copies is ended, or the copy is called whole")
		}
		nodetest.Exec(t, ctx, o, "SET SESSION sql_log_bin=0", "DROP DATABASE bellwether_copy")

		f.standBy(ctx, held.by)
		busy, err := mysqlconn.Open(cfg.reach(f.node, ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = busy.Close() }()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = busy.ExecContext(ctx, "DO SLEEP(5)")
		}()
		runs := func(want bool) func() bool {
			return func() bool {
				p, err := f.open(ctx, 1)
				if err != nil {
					return false
				}
				defer p.close()
				w, err := working(ctx, p.follower)
				return err == nil && w == want
			}
		}
		nodetest.WaitFor(t, ctx, "a long statement", runs(true))
		long()
		if f.standBy(ctx, held.by); !owns() {
			t.Error("an owner for whom a statement runs is ended")
		}
		<-done
		nodetest.WaitFor(t, ctx, "its end", runs(false)) // its client is answered before it is shown as asleep

		f.standBy(ctx, held.by)
		long()
		if f.standBy(ctx, held.by); owns() {
			t.Error("an owner that is stuck is not ended")
		}
		if err := busy.PingContext(ctx); err != nil {
			t.Fatal(err)
		}
		next, err := own(ctx, cfg.reach(f.node, ""), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer next.release()
		if left, err := next.others(ctx); err != nil || len(left) > 0 {
			t.Errorf("an earlier owner's connections are left: %v %v", left, err)
		}

		newer, err := own(ctx, cfg.reach(f.node, ""), 5)
		if err != nil {
			t.Fatalf("a later reign does not get it: %v", err)
		}
		defer newer.release()
		if next.conn.PingContext(ctx) == nil {
			t.Error("who owned it before a reign is not ended")
		}
		if _, err := own(ctx, cfg.reach(f.node, ""), 5); !errors.As(err, &held) {
			t.Errorf("owned twice in one reign: %v", err)
		}
		newer.release()
		if _, err := own(ctx, cfg.reach(f.node, ""), 4); !errors.Is(err, mark.ErrOutdated) {
			t.Errorf("an earlier reign gets it: %v", err)
		}
	})
}
