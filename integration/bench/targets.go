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
)

// target is one way to the servers.
type target struct {
	name  string
	addr  string           // host:port for clients
	proxy *sandbox.Process // nil for a direct connection

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
		bellwetherTarget(bellwetherOne, filepath.Join(dir, bellwetherOne), o.binary, nodes[:2]),
		bellwetherTarget(bellwether, filepath.Join(dir, bellwether), o.binary, nodes),
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
