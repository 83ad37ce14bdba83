package history

import (
	"math/rand/v2"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// never lets a follower's lag alone take it out: only the floor protects.
const never = "routing: {max_lag: 10m}\nmonitor: {interval: 100ms, timeout: 1s, recoveries: 2}\n"

// Many sessions at once (thousands in the long form), with followers that are delayed, frozen,
// stopped, killed and cut off by turns: nobody's time runs backwards. The same
// reads without a promise do go back, so the checker can fail.
func TestScenario25Guarantees(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		s := seed(t)
		f := start(t, o)
		session := cluster.StartProxy(t, f.Cluster, never)
		second := cluster.StartProxy(t, f.Cluster, never, "routing: {pin: false}")
		eventual := cluster.StartProxy(t, f.Cluster, never, "routing: {consistency: eventual, pin: false}")
		const global = "/* bellwether: consistency=global */ "
		roles := []role{
			{proxy: session, level: Session},
			{proxy: second, level: Session},
			{proxy: session, level: Session},
			{proxy: eventual, level: Eventual},
			{proxy: session, level: Causal, tokens: true},
			{proxy: second, level: Causal, tokens: true, setup: []string{"SET bellwether_consistency = 'causal'"}},
			{proxy: session, level: Global, setup: []string{"SET bellwether_consistency = 'global'"}},
			{proxy: second, level: Global, hint: global},
			{proxy: second, level: Strong, setup: []string{"SET bellwether_consistency = 'strong'"}},
		}
		n, reads, target := 200, 250, 0
		if long() {
			n, reads, target = 3000, 20_000, 1_000_000
		}
		n, target = number(t, "BELLWETHER_SESSIONS", n), number(t, "BELLWETHER_READS", target)
		r := begin(t, f, s, roles, n, 24)
		r.opened()
		choices := rand.New(rand.NewPCG(s, 0))
		for r.turns(choices, reads); r.reads.Load() < int64(target) && !t.Failed(); {
			r.turns(choices, reads)
		}
		r.end()
		ops := r.history()
		report := r.tell(ops)
		r.linearizable(ops)
		for _, g := range []Guarantee{ReadYourWrites, MonotonicReads} {
			if report.Violations[Eventual][g] == 0 {
				t.Errorf("no read at eventual broke %s: nothing was tested", g)
			}
		}
		for _, l := range []Level{Session, Causal, Global} {
			if onFollowers(ops, l) == 0 {
				t.Errorf("no read at %s ran on a follower: nothing was tested", l)
			}
		}
	})
}
