package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// errNoServer says that no node has been seen yet, so that nothing can be
// promised to a client.
var errNoServer = errors.New("no server of the cluster has been reached yet")

// offers knows the greetings of the nodes. Clients are greeted with the leader's
// version and with the capabilities that all nodes share, so that any node can be
// sent what a client sends.
type offers struct {
	mu     sync.RWMutex
	byNode map[string]wire.Greeting // guarded by mu
	common *wire.Greeting           // guarded by mu; made from byNode for leader
	leader string                   // guarded by mu
	known  chan struct{}            // guarded by mu; closed when the first greeting is known
}

func newOffers() *offers {
	return &offers{byNode: make(map[string]wire.Greeting), known: make(chan struct{})}
}

// learn takes a node's greeting.
func (o *offers) learn(node string, g *wire.Greeting) {
	o.mu.RLock()
	old, ok := o.byNode[node]
	o.mu.RUnlock()
	if ok && old.Version == g.Version && old.Caps == g.Caps && old.AuthPlugin == g.AuthPlugin && old.Collation == g.Collation {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.byNode) == 0 {
		close(o.known)
	}
	o.byNode[node] = *g
	o.common = nil
}

func (o *offers) has(node string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, ok := o.byNode[node]
	return ok
}

// greeting returns what a client is greeted with, but for its salt and id.
func (o *offers) greeting(ctx context.Context, snap *topology.Snapshot) (*wire.Greeting, error) {
	leader := ""
	if snap.Leader != nil {
		leader = snap.Leader.Name
	}
	o.mu.RLock()
	common, of, known := o.common, o.leader, o.known
	o.mu.RUnlock()
	if common == nil || of != leader {
		t := time.NewTimer(2 * time.Second)
		defer t.Stop()
		select {
		case <-known:
		case <-t.C:
			return nil, errNoServer
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		common = o.agree(leader)
	}
	g := *common
	return &g, nil
}

// agree makes the greeting that all nodes can keep.
func (o *offers) agree(leader string) *wire.Greeting {
	o.mu.Lock()
	defer o.mu.Unlock()
	var g wire.Greeting
	caps := ^wire.Capability(0)
	for name, n := range o.byNode {
		caps &= n.Caps
		if name == leader || g.Version == "" {
			g = n
		}
	}
	g.Caps = caps
	g.Status = wire.StatusAutocommit
	o.common, o.leader = &g, leader
	return &g
}

// discover logs in once to each node that has not been seen, to learn what it
// offers. It runs until ctx ends.
func (srv *Server) discover(ctx context.Context) {
	for {
		snap, changed := srv.cfg.Topology.Changed()
		missing := false
		for _, n := range snap.Nodes {
			if n.State != topology.StateUp || srv.offers.has(n.Name) {
				continue
			}
			b, err := srv.dialAsSelf(ctx, n)
			if err != nil {
				missing = true
				srv.log.Log(ctx, slog.LevelWarn, "cannot log in to a node with Bellwether's own account", "node", n.Name, "err", err)
				continue
			}
			b.quit()
		}
		var again <-chan time.Time
		if missing {
			again = time.After(time.Second)
			changed = nil
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}
