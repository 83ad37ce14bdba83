package proxy

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// errPoolFull says that a node has all the connections that it may have, and
// that none became free in time.
var errPoolFull = errors.New("all connections to the node are in use")

// poolKey is everything that two sessions must have in common for one to use
// the other's backend connection.
type poolKey struct {
	node      string
	address   string
	follower  bool // the connection's session is read-only
	user      string
	secret    string // fingerprint of the credential and of all rights: after a change no old connection is found
	schema    string
	caps      wire.Capability
	collation byte
	attrs     string
	from      string // the client's address, where it is told to the node
}

// pool keeps the backend connections of one node.
type pool struct {
	settings func() PoolSettings
	charsets loginCharsets

	mu    sync.Mutex
	idle  map[poolKey][]*backend // guarded by mu; the youngest last
	nIdle int                    // guarded by mu
	open  int                    // guarded by mu: idle ones, those in use, and those being made
	freed chan struct{}          // closed and replaced when a place may have become free; guarded by mu
}

func newPool(settings func() PoolSettings) *pool {
	return &pool{settings: settings, idle: make(map[poolKey][]*backend), freed: make(chan struct{})}
}

// take returns an idle connection that fits key, or nil.
func (p *pool) take(key *poolKey, now time.Time) *backend {
	for {
		p.mu.Lock()
		list := p.idle[*key]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil
		}
		b := list[len(list)-1]
		list[len(list)-1] = nil
		p.keep(key, list[:len(list)-1])
		p.mu.Unlock()
		set := p.settings()
		if (set.MaxLifetime > 0 && now.Sub(b.born) > set.MaxLifetime) || !b.fresh(now) && b.alive() != nil {
			p.discard(b)
			continue
		}
		return b
	}
}

// fresh says whether a connection was used so lately that it need not be probed.
// Only reads can rely on that: one that finds its follower gone runs elsewhere.
func (b *backend) fresh(now time.Time) bool {
	return b.follower && now.Sub(b.idle) < 100*time.Millisecond
}

// keep stores a shortened list. The caller holds mu and took exactly one away.
func (p *pool) keep(key *poolKey, list []*backend) {
	if len(list) == 0 {
		delete(p.idle, *key)
	} else {
		p.idle[*key] = list
	}
	p.nIdle--
}

// put gives a clean connection back.
func (p *pool) put(b *backend, now time.Time) {
	set := p.settings()
	b.idle = now
	p.mu.Lock()
	if b.broken || set.MaxIdle <= 0 || (set.MaxLifetime > 0 && now.Sub(b.born) > set.MaxLifetime) {
		p.mu.Unlock()
		p.discard(b)
		return
	}
	var evicted *backend
	if p.nIdle >= set.MaxIdle {
		evicted = p.oldest()
	}
	p.idle[b.key] = append(p.idle[b.key], b)
	p.nIdle++
	p.wake()
	p.mu.Unlock()
	if evicted != nil {
		p.discard(evicted)
	}
}

// oldest takes the connection that has been idle longest. The caller holds mu.
func (p *pool) oldest() *backend {
	var found poolKey
	var b *backend
	for key, list := range p.idle {
		if b == nil || list[0].idle.Before(b.idle) {
			found, b = key, list[0]
		}
	}
	if b != nil {
		list := p.idle[found]
		copy(list, list[1:])
		list[len(list)-1] = nil
		p.keep(&found, list[:len(list)-1])
	}
	return b
}

// wake tells those who wait for a place. The caller holds mu.
func (p *pool) wake() {
	close(p.freed)
	p.freed = make(chan struct{})
}

// discard closes a connection and gives its place free.
func (p *pool) discard(b *backend) {
	b.quit()
	p.release()
}

// release gives a place free whose connection is closed already, or was never made.
func (p *pool) release() {
	p.mu.Lock()
	p.open--
	p.wake()
	p.mu.Unlock()
}

// reserve takes a place for a new connection, evicting an idle one of other
// sessions or waiting where the node has all that it may have.
func (p *pool) reserve(ctx context.Context) error {
	var timeout <-chan time.Time
	for {
		set := p.settings()
		p.mu.Lock()
		if set.MaxPerNode <= 0 || p.open < set.MaxPerNode {
			p.open++
			p.mu.Unlock()
			return nil
		}
		if b := p.oldest(); b != nil {
			p.mu.Unlock()
			p.discard(b)
			continue
		}
		freed := p.freed
		p.mu.Unlock()
		if timeout == nil {
			t := time.NewTimer(set.Wait)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-freed:
		case <-timeout:
			return errPoolFull
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// expire closes connections that have been idle too long; all where drop is set.
func (p *pool) expire(now time.Time, drop bool) {
	set := p.settings()
	var old []*backend
	p.mu.Lock()
	for key, list := range p.idle {
		kept := list[:0]
		for _, b := range list {
			if drop || (set.IdleTimeout > 0 && now.Sub(b.idle) > set.IdleTimeout) {
				old = append(old, b)
				p.nIdle--
			} else {
				kept = append(kept, b)
			}
		}
		clear(list[len(kept):])
		if len(kept) == 0 {
			delete(p.idle, key)
		} else {
			p.idle[key] = kept
		}
	}
	p.mu.Unlock()
	for _, b := range old {
		p.discard(b)
	}
}

// pools finds the pool of a node.
type pools struct {
	settings func() PoolSettings

	mu     sync.Mutex
	byNode map[string]*pool // guarded by mu
}

func newPools(settings func() PoolSettings) *pools {
	return &pools{settings: settings, byNode: make(map[string]*pool)}
}

func (ps *pools) of(node string) *pool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.byNode[node]
	if p == nil {
		p = newPool(ps.settings)
		ps.byNode[node] = p
	}
	return p
}

// sweep closes what is idle too long, and all that is idle on nodes that are
// gone, not up, or play another part than when the connection was made.
func (ps *pools) sweep(now time.Time, snap *topology.Snapshot, drop bool) {
	ps.mu.Lock()
	all := make(map[string]*pool, len(ps.byNode))
	maps.Copy(all, ps.byNode)
	ps.mu.Unlock()
	for name, p := range all {
		n := snap.Node(name)
		p.expire(now, drop || n == nil || n.State == topology.StateDown || n.State == topology.StateDraining)
	}
}
