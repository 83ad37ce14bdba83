package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// fault is one thing that goes wrong at a time.
type fault struct {
	after time.Duration // since the one before
	what  string
	// on is who it happens to: "leader", "follower1", "follower2" (as the roles are
	// then), "proxy1" ..., "etcd", or "" where the kind says it all.
	on    string
	peers cluster.Peers
	ways  cluster.Direction
	shape cluster.Shape
}

func (f fault) String() string {
	s := fmt.Sprintf("+%v %s %s", f.after, f.what, f.on)
	if f.what == "cut" {
		s += map[cluster.Peers]string{cluster.Nodes: " off nodes", cluster.Proxy: " off proxies", cluster.All: " off all"}[f.peers] +
			map[cluster.Direction]string{cluster.In: ", in", cluster.Out: ", out", cluster.Both: ""}[f.ways]
	}
	if f.what == "slow" {
		s += fmt.Sprintf(" by %v", f.shape.Delay)
	}
	return s
}

// plan is a round: faults, and how long they last after the last one.
type plan struct {
	faults []fault
	hold   time.Duration
}

func (p plan) String() string {
	texts := make([]string, len(p.faults))
	for i, f := range p.faults {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ") + fmt.Sprintf("; heal after %v", p.hold)
}

// kinds of faults, and how often each is taken.
var kinds = []struct {
	weight int
	what   string
	on     []string
}{
	{30, "kill", []string{"leader", "leader", "leader", "follower1", "follower2"}},
	{12, "pause", []string{"leader", "leader", "follower1"}},
	{20, "cut", []string{"leader", "leader", "leader", "follower1", "follower2"}},
	{5, "slow", []string{"leader", "follower1"}},
	{5, "reset", []string{"leader", "follower1"}},
	{6, "bring back", []string{""}},
	{8, "switchover", []string{""}},
	{12, "kill proxy", nil},
	{6, "pause proxy", nil},
	{8, "pause etcd", []string{"etcd"}},
}

// makePlan makes round n of a seed.
func makePlan(seed uint64, n, proxies int, etcd bool) plan {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)))
	ms := func(from, to int) time.Duration { return time.Duration(from+rnd.IntN(to-from)) * time.Millisecond }
	var p plan
	for range 1 + rnd.IntN(3) {
		f := makeFault(rnd, proxies, etcd)
		switch {
		case len(p.faults) == 0:
			f.after = ms(100, 400)
		case rnd.IntN(3) > 0:
			f.after = ms(0, 900) // in the middle of what the one before has begun
		default:
			f.after = ms(1000, 3000)
		}
		p.faults = append(p.faults, f)
	}
	p.hold = ms(300, 5500)
	return p
}

func makeFault(rnd *rand.Rand, proxies int, etcd bool) fault {
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	for {
		n, i := rnd.IntN(sum), 0
		for n -= kinds[0].weight; n >= 0; n -= kinds[i].weight {
			i++
		}
		k := kinds[i]
		f := fault{what: k.what}
		switch {
		case k.what == "pause etcd" && !etcd:
			continue
		case k.on == nil:
			f.on = fmt.Sprintf("proxy%d", 1+rnd.IntN(proxies))
		default:
			f.on = k.on[rnd.IntN(len(k.on))]
		}
		f.peers = []cluster.Peers{cluster.Nodes, cluster.Proxy, cluster.All, cluster.All}[rnd.IntN(4)]
		f.ways = []cluster.Direction{cluster.In, cluster.Out, cluster.Both, cluster.Both}[rnd.IntN(4)]
		f.shape = cluster.Shape{Delay: time.Duration(10+rnd.IntN(200)) * time.Millisecond}
		return f
	}
}
