package ack_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
	"github.com/bellwetherdb/bellwether/replicator/quorum"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A leader that has just taken over wrote its first transaction behind one of another server, and
// waits for its acknowledgement; who was to give it is gone. MariaDB puts an event of its own into
// that transaction when it is sent once more. The next acknowledger ends the wait.
func TestFirstOfANewLeader(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, _ *sandbox.Node) {
		if leader.Server().Flavor != gtid.MariaDB {
			t.Skip("on MySQL no number goes on from another server's")
		}
		l := nodetest.Root(t, ctx, leader)
		nodetest.Exec(t, ctx, l, "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)", "INSERT INTO a.t VALUES (1)")
		before, err := l.Written(ctx, l.DB)
		if err != nil {
			t.Fatal(err)
		}
		_, stop := acknowledge(t, ctx, leader, before)
		written := make(chan error, 1)
		go func() {
			c, err := l.DB.Conn(ctx)
			if err == nil {
				if _, err = c.ExecContext(ctx, "SET server_id = 7"); err == nil {
					_, err = c.ExecContext(ctx, "INSERT INTO a.t VALUES (2)")
				}
				_ = c.Close()
			}
			written <- err
		}()
		processes := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for semi-sync ACK%'"
		nodetest.WaitFor(t, ctx, "the write to wait", func() bool {
			var n int
			return l.DB.QueryRowContext(ctx, processes).Scan(&n) == nil && n == 1
		})
		stop()
		a, stop := acknowledge(t, ctx, leader, before)
		defer stop()
		for {
			at, err := l.Written(ctx, l.DB)
			if err != nil {
				t.Fatal(err)
			}
			a.Committed("n1", at)
			select {
			case err := <-written:
				if err != nil {
					t.Fatal(err)
				}
				return
			case <-ctx.Done():
				t.Fatalf("a write is not acknowledged: %+v", a.Status())
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

// acknowledge runs an Acker with one follower, until stop, once it acknowledges.
func acknowledge(t *testing.T, ctx context.Context, leader *sandbox.Node, at gtid.Set) (a *ack.Acker, stop func()) {
	t.Helper()
	a = ack.New(ack.Options{
		Leader: mysqlconn.Config{Address: leader.Socket(), User: "root"}, Name: "n0", Followers: []string{"n1"},
		Policy: quorum.Policy{Acks: 1}, Logger: slog.New(slog.DiscardHandler), Metrics: metrics(t),
	})
	a.Join("n1", at)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	nodetest.WaitFor(t, ctx, "the acknowledger", func() bool { return a.Status().State == ack.StateAcknowledging })
	return a, stop
}

func metrics(t *testing.T) *ack.Metrics {
	t.Helper()
	m, err := ack.NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
