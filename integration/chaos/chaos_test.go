package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// TestChaos makes rounds of random faults on each kind of cluster.
func TestChaos(t *testing.T) {
	seed := number(t, "BELLWETHER_SEED", uint64(time.Now().UnixNano()))
	rounds := int(number(t, "BELLWETHER_ROUNDS", 3))
	for _, kind := range []struct {
		name string
		worldOptions
		share int // of the rounds, in hundredths
	}{
		{"acks 1", worldOptions{acks: 1, proxies: 1}, 100},
		{"acks none", worldOptions{acks: 0, proxies: 1}, 70},
		{"two proxies", worldOptions{acks: 1, proxies: 2}, 100},
		{"engine, acks 1", worldOptions{acks: 1, proxies: 1, engine: true}, 70},
		{"engine, acks none", worldOptions{acks: 0, proxies: 1, engine: true}, 70},
		{"engine, two proxies", worldOptions{acks: 1, proxies: 2, engine: true}, 70},
	} {
		t.Run(kind.name, func(t *testing.T) {
			cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
				t.Logf("BELLWETHER_SEED=%d", seed)
				run(t, newWorld(t, o, kind.worldOptions), seed, max(1, rounds*kind.share/100))
			})
		})
	}
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	cluster.Must(t, err)
	return n
}

// run makes the rounds, until one fails.
func run(t *testing.T, w *world, seed uint64, rounds int) {
	out := &records{told: map[row]outcome{}}
	var gate sync.RWMutex
	stop := load(t, w, out, &gate, 6)
	defer stop()
	a := newAuditor(w)
	faults := 0
	first := int(number(t, "BELLWETHER_ROUND", 1))
	for n := first; n < first+rounds && !t.Failed(); n++ {
		p := makePlan(seed, n, len(w.proxies), w.etcd != nil)
		t.Logf("round %d: %v", n, p)
		for _, f := range p.faults {
			time.Sleep(f.after)
			if who := w.inflict(f); who != "" {
				t.Logf("    %s: %s", f.what, who)
			}
			faults++
		}
		time.Sleep(p.hold)
		w.heal()
		w.done.Wait()
		w.settle()
		func() {
			gate.Lock()
			defer gate.Unlock() // also where the test ends here: clients wait at the gate
			w.settle()          // what was under way may have changed the leader once more
			a.check(out.take())
		}()
	}
	t.Logf("%d faults; %d writes acknowledged, %d of unknown outcome, %d refused; %d reads, %d failed; lost and reported: %d in %d rounds; restarted: %d",
		faults, out.acked.Load(), out.unknown.Load(), out.absent.Load(), out.reads.Load(), out.failedReads.Load(), a.lost, a.losses, w.restarts)
}

// load starts clients, which go on until stop.
func load(t *testing.T, w *world, out *records, gate *sync.RWMutex, clients int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range clients {
		addr := &w.addrs[i%len(w.addrs)]
		db, err := newPool(func() string { return *addr.Load() })
		cluster.Must(t, err)
		db.SetMaxOpenConns(1)
		c := &client{id: i + 1, db: db, rnd: rand.New(rand.NewPCG(1, uint64(i))), out: out, gate: gate}
		wg.Go(func() {
			c.run(ctx)
			_ = db.Close()
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}
