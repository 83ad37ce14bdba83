package main

import (
	"os/exec"
	"path/filepath"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Names of the targets.
const (
	direct        = "direct"
	haproxy1      = "haproxy-1"    // one thread: the least CPU that HAProxy can do with
	haproxyAll    = "haproxy"      // a thread per core, its default
	bellwetherOne = "bellwether-1" // reads go to one follower
	bellwether    = "bellwether"   // reads go to two followers

	haproxyFollower = "haproxy-follower" // as haproxy-1, before the follower that bellwether-1 reads from

	// As bellwether-1:
	eventual = "bellwether-eventual" // with routing.consistency: eventual
	strong   = "bellwether-strong"   // with routing.consistency: strong
	shared   = "bellwether-shared"   // with pool.max_per_node: 100
)

// target is one way to the servers.
type target struct {
	name  string
	addr  string           // host:port for clients
	proxy *sandbox.Process // nil for a direct connection

	special bool // it takes part only in workloads that name it

	// start starts the proxy and sets addr and proxy.
	start func(t *target) error
}

// restart makes the proxy a fresh process.
func (t *target) restart() error {
	t.stop()
	return t.start(t)
}

func (t *target) stop() {
	if t.proxy != nil {
		t.proxy.Kill()
		t.proxy = nil
	}
}

// startTargets starts the targets that the options ask for, in the order of the rounds.
func startTargets(o options, s *servers, dir string) ([]*target, error) {
	nodes := s.cluster.Nodes()
	all := []*target{
		{name: direct, start: func(t *target) error { t.addr = nodes[0].Addr(); return nil }},
		haproxyTarget(haproxy1, filepath.Join(dir, haproxy1), nodes[0].Addr(), 1),
		haproxyTarget(haproxyAll, filepath.Join(dir, haproxyAll), nodes[0].Addr(), 0),
		bellwetherTarget(bellwetherOne, filepath.Join(dir, bellwetherOne), o.binary, nodes[:2], lagging),
		bellwetherTarget(bellwether, filepath.Join(dir, bellwether), o.binary, nodes, lagging),
		special(haproxyTarget(haproxyFollower, filepath.Join(dir, haproxyFollower), nodes[1].Addr(), 1)),
		special(bellwetherTarget(eventual, filepath.Join(dir, eventual), o.binary, nodes[:2], "routing: {max_lag: 1m, consistency: eventual}")),
		special(bellwetherTarget(strong, filepath.Join(dir, strong), o.binary, nodes[:2], "routing: {max_lag: 1m, consistency: strong}")),
		special(bellwetherTarget(shared, filepath.Join(dir, shared), o.binary, nodes[:2], lagging, "pool: {max_per_node: 100, wait: 1m}")),
	}
	var out []*target
	for _, t := range all {
		if !o.targets.MatchString(t.name) || o.short && t.name == haproxyAll {
			continue
		}
		if err := t.start(t); err != nil {
			stopTargets(out)
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// lagging lets followers stay in use while a starved machine lets them lag.
const lagging = "routing: {max_lag: 1m}"

func special(t *target) *target {
	t.special = true
	return t
}

func stopTargets(targets []*target) {
	for _, t := range targets {
		t.stop()
	}
}

// find looks for a program where Debian puts it, too, as PATH may lack /usr/sbin.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}
