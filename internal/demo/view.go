package demo

import (
	"cmp"
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// View is what is shown at one moment.
type View struct {
	Version string // of the servers, as mariadb-10.11.6
	Running time.Duration
	Left    time.Duration // until the end; 0: no end
	Address string        // where clients connect, host:port
	Client  string        // a command that does
	Admin   string        // URL; empty for none
	Config  string        // path of the configuration
	Nodes   []NodeView
	Routes  []RouteView
	Events  []Event
	Keys    []Key
	Help    bool
	Rate    float64 // statements per second
	Latency Latency
	Load    loadSample
	Turn    *Turn // the change of leader that is shown; nil for none
}

// Turn is a change of the leader that somebody brought about here.
type Turn struct {
	Did     string // what was done, as "db1, the leader, was killed"
	Since   time.Duration
	Over    bool   // nothing more is to come
	Leader  string // the new one; empty before it takes writes
	First   time.Duration
	Longest time.Duration
	Reads   uint64
	Failed  uint64 // reads
	Unknown uint64 // writes
}

// NodeView is a node in a View.
type NodeView struct {
	Name, Role, State   string
	Eligible            bool
	Why                 string
	Known               bool // the server answered
	Reads, Writes       float64
	AllReads, AllWrites uint64
	Lag                 topology.Lag
}

// RouteView is where statements went, why, and how many.
type RouteView struct {
	Target, Reason string
	Rate           float64
	Count          uint64
}

// Latency is of the statements of the last interval.
type Latency struct {
	Known    bool
	P50, P95 time.Duration
}

// Event is something that happened.
type Event struct {
	At   time.Time
	Text string
}

// Key is a key that can be pressed, and what it does now.
type Key struct {
	Key  byte
	Does string
}

// measure fills in what comes of two samples and a topology. Rates are zero
// where prev is the zero sample.
func (v *View) measure(prev, now *sample, snap *topology.Snapshot) {
	seconds := now.At.Sub(prev.At).Seconds()
	if prev.At.IsZero() || seconds <= 0 {
		seconds = 0
	}
	rate := func(before, after uint64) float64 {
		if seconds == 0 || after < before {
			return 0
		}
		return float64(after-before) / seconds
	}
	v.Nodes = v.Nodes[:0]
	for _, n := range snap.Nodes {
		before, after := prev.Nodes[n.Name], now.Nodes[n.Name]
		v.Nodes = append(v.Nodes, NodeView{
			Name: n.Name, Role: n.Role.String(), State: n.State.String(), Eligible: n.Eligible, Why: n.Why, Lag: n.Lag,
			Known: after.Known, Reads: rate(before.Reads, after.Reads), Writes: rate(before.Writes, after.Writes),
			AllReads: after.Reads, AllWrites: after.Writes,
		})
	}
	v.Routes = v.Routes[:0]
	for k, n := range now.Routes {
		v.Routes = append(v.Routes, RouteView{Target: k.Target, Reason: k.Reason, Count: n, Rate: rate(prev.Routes[k], n)})
	}
	slices.SortFunc(v.Routes, func(a, b RouteView) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	v.Load = now.Load
	v.Rate = rate(prev.Load.Statements, now.Load.Statements)
	interval := now.Load.Latency
	for i := range interval {
		interval[i] -= prev.Load.Latency[i]
	}
	p50, ok := quantile(interval, 0.50)
	p95, _ := quantile(interval, 0.95)
	v.Latency = Latency{Known: ok, P50: p50, P95: p95}
}
