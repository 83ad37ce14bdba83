package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/apply"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
	"github.com/bellwetherdb/bellwether/replicator/stream"
	"github.com/bellwetherdb/bellwether/replicator/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leaderAt is the replication account at an address.
func leaderAt(addr string) mysqlconn.Config {
	return mysqlconn.Config{
		Address: addr, User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password,
		TLS: mysqlconn.TLS{Mode: mysqlconn.TLSPreferred},
	}
}

// follow applies the leader's stream until ctx ends or the stream is cut.
func follow(ctx context.Context, addr string, follower *sandbox.Node, committed func(binlog.GTID)) error {
	flavor := follower.Server().Flavor
	var dump *stream.Dump
	a := apply.New(apply.Options{Follower: mysqlconn.Config{Address: follower.Socket(), User: "root"}, Flavor: flavor, Committed: committed, Logger: slog.New(slog.DiscardHandler)})
	err := a.Run(ctx, func(ctx context.Context, pos gtid.Set) (apply.Source, error) {
		var err error
		if dump, err = stream.Open(ctx, stream.Options{Leader: leaderAt(addr), Flavor: flavor, ServerID: follower.ServerID()}, pos); err != nil {
			return nil, err
		}
		return stream.NewSource(dump, 64<<10), nil
	})
	if dump != nil {
		dump.Close()
	}
	return err
}

// Scenario 3: the stream is cut at any point, in the middle of transactions too;
// nothing is applied twice, in part, or left out.
func TestScenario3CutStreams(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l, f := nodetest.Root(t, ctx, leader), nodetest.Root(t, ctx, follower)
		nodetest.MakeLoadTables(t, ctx, l)
		relay, err := cluster.NewRelay("127.0.0.1", leader.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(relay.Close)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var commits atomic.Int64
		actx, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			for actx.Err() == nil {
				err := follow(actx, relay.Addr(), follower, func(binlog.GTID) { commits.Add(1) })
				t.Logf("the applier ended at commit %d: %v", commits.Load(), err)
				if errors.As(err, new(*apply.StopError)) {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		nodetest.UnderLoad(t, ctx, l, func(*atomic.Int64) {
			rng := rand.New(rand.NewPCG(seed, 2))
			for i := range 12 {
				at := commits.Load()
				more := int64(rng.IntN(60))
				nodetest.WaitFor(t, ctx, "a stream and commits", func() bool { return relay.Connections() > 0 && commits.Load() > at+more })
				if i%4 == 1 { // a transaction of many parts, to be cut in the middle
					nodetest.Exec(t, ctx, l, fmt.Sprintf("UPDATE moving.byint SET pad=REPEAT('%d', 190)", i%10))
				}
				relay.Reset()
			}
		})
		nodetest.CatchUp(t, ctx, l, f)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		equal(t, ctx, l, f)
	})
}

// equal compares positions and rows.
func equal(t *testing.T, ctx context.Context, l, f *node.Server) {
	t.Helper()
	a, err := l.Written(ctx, l.DB)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Written(ctx, f.DB)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(b) {
		t.Errorf("the follower is at %s, the leader at %s", b, a)
	}
	res, err := verify.Run(ctx, verify.Options{Leader: l, Followers: []*node.Server{f}})
	if err != nil || len(res.Differences) > 0 || res.Rows == 0 {
		t.Errorf("%v: %+v", err, res)
	}
}

// A stream from a position that the leader no longer has is refused as such; one
// whose leader says nothing any more is dead.
func TestPurgedAndSilent(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, follower *sandbox.Node) {
		l := nodetest.Root(t, ctx, leader)
		flavor := leader.Server().Flavor
		opts := stream.Options{Leader: leaderAt(leader.Addr()), Flavor: flavor, ServerID: 2, Heartbeat: 100 * time.Millisecond}
		pos, err := l.Written(ctx, l.DB)
		if err != nil {
			t.Fatal(err)
		}
		d, err := stream.Open(ctx, opts, pos)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for beats := 0; beats < 3; {
			ev, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if ev.Type == binlog.TypeHeartbeat || ev.Type == binlog.TypeHeartbeatV2 {
				beats++
			}
		}
		if err := leader.Pause(); err != nil {
			t.Fatal(err)
		}
		for err = nil; err == nil; {
			_, err = d.Next()
		}
		if !errors.Is(err, stream.ErrSilent) {
			t.Errorf("a leader that stands still: %v", err)
		}
		if err := leader.Continue(); err != nil {
			t.Fatal(err)
		}
		nodetest.Exec(t, ctx, l, "CREATE DATABASE lost")
		purge(t, ctx, l)
		if d, err = stream.Open(ctx, opts, pos); err == nil {
			defer d.Close()
			for err == nil {
				_, err = d.Next()
			}
		}
		if !errors.Is(err, stream.ErrPurged) {
			t.Errorf("a position whose binlog is gone: %v", err)
		}
	})
}

// purge removes all binlog files of the leader but an empty one.
func purge(t *testing.T, ctx context.Context, l *node.Server) {
	t.Helper()
	nodetest.Exec(t, ctx, l, "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
	files, err := node.Rows(ctx, l.DB, "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	last := files[len(files)-1]["Log_name"]
	nodetest.WaitFor(t, ctx, "the binlog's purge", func() bool {
		_, err := l.DB.ExecContext(ctx, "PURGE BINARY LOGS TO '"+last+"'")
		files, err2 := node.Rows(ctx, l.DB, "SHOW BINARY LOGS")
		return err == nil && err2 == nil && len(files) == 1
	})
}
