package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// TestNoise makes what is not a death for BELLWETHER_NOISE (such as 30m; without it for some
// seconds): load spikes, leaders that stand still for half a second, connections that are
// lost or cut for a moment on one path, a proxy that stands still, a leader that is out of
// connections. With the default settings nobody must change the leader for that.
func TestNoise(t *testing.T) {
	long := 12 * time.Second
	if text := os.Getenv("BELLWETHER_NOISE"); text != "" {
		var err error
		long, err = time.ParseDuration(text)
		cluster.Must(t, err)
	}
	seed := number(t, "BELLWETHER_SEED", uint64(time.Now().UnixNano()))
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		t.Logf("BELLWETHER_SEED=%d", seed)
		o.ExtraArgs = append(o.ExtraArgs, "--max-connections=60")
		w := newWorld(t, o, worldOptions{acks: 1, proxies: 1})
		m := startMeter(t, w)
		m.begin()
		m.reset()
		first := w.leader().Name()
		rnd := rand.New(rand.NewPCG(seed, 0))
		counts := map[string]int{}
		for end := time.Now().Add(long); time.Now().Before(end); {
			n := noises[rnd.IntN(len(noises))]
			counts[n.name]++
			n.make(w, rnd)
			time.Sleep(time.Duration(200+rnd.IntN(800)) * time.Millisecond)
		}
		w.settle()
		var list []executor.Incident
		cluster.Must(t, getJSON(w.proxies[0].AdminURL+"/v1/incidents", &list))
		for i := range list {
			if list[i].Kind == "failover" {
				t.Errorf("a failover: %+v", list[i])
			}
		}
		if now := w.leader().Name(); now != first {
			t.Errorf("%s leads, and not %s any more", now, first)
		}
		good, bad := m.reads()
		t.Logf("%v of noise: %v; %d reads, %d failed; longest transaction %v; no failover", long, counts, good, bad, m.longest().Round(time.Millisecond))
	})
}

// noises are what happens, one at a time. Each is over when it returns.
var noises = []struct {
	name string
	make func(w *world, rnd *rand.Rand)
}{
	{"leader stands still for half a second", func(w *world, _ *rand.Rand) {
		n := w.leader()
		cluster.Must(w.t, n.Pause())
		time.Sleep(500 * time.Millisecond)
		cluster.Must(w.t, n.Continue())
	}},
	{"follower stands still for half a second", func(w *world, _ *rand.Rand) {
		n := w.node("follower1")
		cluster.Must(w.t, n.Pause())
		time.Sleep(500 * time.Millisecond)
		cluster.Must(w.t, n.Continue())
	}},
	{"connections of the proxy to the leader are lost", func(w *world, _ *rand.Rand) { cluster.Must(w.t, w.leader().Reset(cluster.Proxy)) }},
	{"connections of the followers to the leader are lost", func(w *world, _ *rand.Rand) { cluster.Must(w.t, w.leader().Reset(cluster.Nodes)) }},
	{"one path to the leader is lost for a moment", func(w *world, rnd *rand.Rand) {
		n := w.leader()
		cluster.Must(w.t, n.Cut([]cluster.Peers{cluster.Proxy, cluster.Nodes}[rnd.IntN(2)], cluster.Both))
		time.Sleep(time.Duration(100+rnd.IntN(900)) * time.Millisecond)
		cluster.Must(w.t, n.Heal())
	}},
	{"the path to the leader is slow", func(w *world, rnd *rand.Rand) {
		n := w.leader()
		cluster.Must(w.t, n.Slow(cluster.Proxy, cluster.Shape{Delay: time.Duration(20+rnd.IntN(200)) * time.Millisecond}))
		time.Sleep(time.Second)
		cluster.Must(w.t, n.Heal())
	}},
	{"the proxy stands still", func(w *world, rnd *rand.Rand) {
		cluster.Must(w.t, w.proxies[0].Pause())
		time.Sleep(time.Duration(500+rnd.IntN(4500)) * time.Millisecond)
		cluster.Must(w.t, w.proxies[0].Continue())
	}},
	{"the leader is out of connections", func(w *world, _ *rand.Rand) { outOfConnections(w, 2*time.Second) }},
	{"a load spike", func(w *world, _ *rand.Rand) { spike(w, 2*time.Second) }},
}

// outOfConnections takes all connections of the leader that there are, past the proxy.
func outOfConnections(w *world, d time.Duration) {
	a := sandbox.AppAccount
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=2s", a.User, a.Password, w.leader().DirectAddr(), sandbox.AppSchema))
	cluster.Must(w.t, err)
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := db.Conn(ctx)
		if err != nil { // refused: all are taken
			<-ctx.Done()
			return
		}
		defer func() { _ = conn.Close() }()
	}
}

// spike lets many clients read and write at once through the proxy.
func spike(w *world, d time.Duration) {
	addr := &w.addrs[0]
	db, err := newPool(func() string { return *addr.Load() })
	cluster.Must(w.t, err)
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(30)
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			for ctx.Err() == nil { // what fails at the end of the spike is of no interest
				_, _ = db.ExecContext(ctx, "UPDATE accounts SET balance = balance + 0 WHERE id = 1")
				_, _ = db.ExecContext(ctx, "DO BENCHMARK(200000, SHA1('noise'))")
			}
		})
	}
	wg.Wait()
}
