package lagmonitor

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// script answers probes under simulated time.
type script struct {
	mu     sync.Mutex // guards the rest
	seq    int
	behind map[string]int
	hangs  map[string]bool
	open   int // askers that are not closed
	asked  map[string][]time.Time
}

type scripted struct {
	s       *script
	name    string
	timeout time.Duration
}

func (a *scripted) close() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.open--
}

func (a *scripted) probe(ctx context.Context) Observation {
	o := Observation{Node: a.name, Sent: time.Now()}
	a.s.mu.Lock()
	hangs, seq := a.s.hangs[a.name], a.s.seq-a.s.behind[a.name]
	a.s.asked[a.name] = append(a.s.asked[a.name], time.Now())
	a.s.mu.Unlock()
	if hangs {
		sleep(ctx, a.timeout)
		o.Err, o.Received = context.DeadlineExceeded, time.Now()
		return o
	}
	sleep(ctx, time.Millisecond)
	o.Received = time.Now()
	o.Flavor, o.GTID, o.Clock, o.Version = gtid.MariaDB, true, time.Now(), "10.11.19-MariaDB"
	o.ServerID, o.ReadOnly = uint64(a.name[0]-'a'+1), a.name != "a"
	o.Applied, o.Committed = pos(seq), pos(seq)
	if a.name != "a" {
		o.Channels = []Channel{{SourceID: 1, Receiving: "Yes", Applying: "Yes"}}
	}
	return o
}

// simulate runs a Monitor of nodes a (the leader), b and c in a bubble.
func simulate(t *testing.T, f func(m *Monitor, s *script, store *topology.Store, cfg Config)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Heartbeat.Enabled = false
		for _, name := range []string{"a", "b", "c"} {
			cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: name, Address: name, Weight: 1})
		}
		store := topology.NewStore(nil)
		m, err := New(cfg, store, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &script{seq: 100, behind: map[string]int{}, hangs: map[string]bool{}, asked: map[string][]time.Time{}}
		m.open = func(cfg *Config, n *NodeConfig) (asker, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.open++
			return &scripted{s: s, name: n.Name, timeout: cfg.Timeout}, nil
		}
		if len(store.Load().Nodes) != 3 || store.Load().Node("b").State != topology.StateUnknown {
			t.Error("the nodes are not in the store before Run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		f(m, s, store, cfg)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if s.open != 0 {
			t.Errorf("%d connections are left open", s.open)
		}
	})
}

// SCENARIO 22, with the loops: an hour in which nothing is written.
func TestAnIdleHour(t *testing.T) {
	simulate(t, func(_ *Monitor, _ *script, store *topology.Store, _ Config) {
		time.Sleep(time.Second)
		for range 60 {
			time.Sleep(time.Minute)
			n := store.Load().Node("b")
			if age := time.Since(n.Lag.Measured); !n.Eligible || n.Lag.Behind != 0 || n.Lag.Tx != 0 || age > time.Second {
				t.Fatalf("lag %+v, %v old: %s", n.Lag, age, n.Why)
			}
		}
	})
}

func TestFollowersAreAskedBetweenTwoProbesOfTheLeader(t *testing.T) {
	simulate(t, func(_ *Monitor, s *script, _ *topology.Store, cfg Config) {
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		last := func(name string) time.Time { return s.asked[name][len(s.asked[name])-1] }
		if d := last("b").Sub(last("a")).Abs(); d != cfg.Interval/2 {
			t.Errorf("%v apart", d)
		}
		if n := len(s.asked["a"]); n < 45 || n > 55 {
			t.Errorf("asked %d times in 10 s", n)
		}
	})
}

func TestAHangingFollowerIsOutInTime(t *testing.T) {
	simulate(t, func(_ *Monitor, s *script, store *topology.Store, cfg Config) {
		time.Sleep(time.Second)
		s.mu.Lock()
		s.hangs["b"] = true
		s.mu.Unlock()
		time.Sleep(2*cfg.Interval + cfg.Timeout + 2*cfg.Interval)
		if n := store.Load().Node("b"); n.Eligible || n.Lag.Known {
			t.Errorf("%+v", n)
		}
		time.Sleep(3 * (cfg.Timeout + 2*cfg.Interval))
		if n := store.Load().Node("b"); n.State != topology.StateDown {
			t.Errorf("%v: %s", n.State, n.Why)
		}
		if n := store.Load().Node("c"); !n.Eligible {
			t.Errorf("c: %s", n.Why)
		}
	})
}

func TestReconfigureWhileRunning(t *testing.T) {
	simulate(t, func(m *Monitor, s *script, store *topology.Store, cfg Config) {
		time.Sleep(time.Second)
		bad := cfg
		bad.MaxLag = 0
		if err := m.Reconfigure(bad); err == nil {
			t.Error("an invalid configuration is accepted")
		}
		next := cfg
		next.Nodes = append([]NodeConfig{}, cfg.Nodes[:2]...)
		next.Nodes[1].Weight, next.Interval = 9, cfg.Interval/2
		store.Load().Node("c").Load.Connections.Add(1) // idle, and never closed
		if err := m.Reconfigure(next); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		snap := store.Load()
		if n := snap.Node("b"); n.Weight != 9 || !n.Eligible || snap.Leader.Name != "a" || snap.Epoch != 1 {
			t.Errorf("%+v", n)
		}
		if n := snap.Node("c"); n == nil || n.State != topology.StateDraining {
			t.Errorf("%+v", n)
		}
		s.mu.Lock()
		if s.open != 2 {
			t.Errorf("%d askers", s.open)
		}
		s.mu.Unlock()
		time.Sleep(removedPatience)
		if store.Load().Node("c") != nil {
			t.Error("c is still there")
		}
	})
}
