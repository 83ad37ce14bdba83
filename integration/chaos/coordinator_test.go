package chaos

import (
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// failoverSteps are what the log of a coordinator says when it begins a step.
var failoverSteps = []string{"event=failover ", "text=revoke", "text=drain", "text=publish", "text=open", "text=repoint", "text=finish"}

// TestScenario37CoordinatorDies: the coordinator is killed at each step of a failover in
// turn; the other proxy completes or undoes it, and nothing that was acknowledged is lost.
// The short form has three of the steps, where the servers replicate, or Bellwether does.
func TestScenario37CoordinatorDies(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		for name, engine := range map[string]bool{"native": false, "engine": true} {
			t.Run(name, func(t *testing.T) {
				steps := failoverSteps
				if os.Getenv("BELLWETHER_LONG") == "" {
					steps = []string{"text=revoke", "text=publish", "text=open"}
					if engine {
						steps = []string{"text=publish"}
					}
				}
				w := newWorld(t, o, worldOptions{acks: 1, proxies: 2, engine: engine})
				out := &records{told: map[row]outcome{}}
				var gate sync.RWMutex
				stop := load(t, w, out, &gate, 4)
				defer stop()
				a := newAuditor(w)
				for _, step := range steps {
					w.killAt(t, step)
					w.heal()
					w.settle()
					func() {
						gate.Lock()
						defer gate.Unlock()
						w.settle()
						a.check(out.take())
					}()
				}
				t.Logf("%d writes acknowledged, %d of unknown outcome", out.acked.Load(), out.unknown.Load())
			})
		}
	})
}

// killAt kills the leader, and the coordinator as soon as its log tells of a step.
func (w *world) killAt(t *testing.T, step string) {
	t.Helper()
	at := -1
	for i := range w.proxies {
		if v, ok := w.state(i); ok && v.Coordinates {
			at = i
		}
	}
	if at < 0 {
		t.Fatal("nobody coordinates")
	}
	p := w.proxies[at]
	told := func() int {
		n := 0
		for line := range strings.Lines(p.Log()) {
			if strings.Contains(line, "part=failover") && strings.Contains(line, step) {
				n++
			}
		}
		return n
	}
	before := told()
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	leader := w.leader()
	cluster.Must(t, leader.Kill())
	w.dead[leader] = true
	for end := time.Now().Add(patience); told() == before; {
		time.Sleep(time.Millisecond)
		if time.Now().After(end) {
			t.Fatalf("no step %q", step)
		}
	}
	w.inflictProxy("kill proxy", at)
	t.Logf("killed %s, and proxy %d at %q", leader.Name(), at+1, step)
}
