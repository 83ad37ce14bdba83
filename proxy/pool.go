package proxy

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
	shared    bool // it is made to be shared while its sessions live, see docs/pooling.md
	user      string
	secret    string // fingerprint of the credential and of all rights: after a change no old connection is found
	schema    string // where shared: whether there is one at all, for a schema can be changed but not left
	caps      wire.Capability
	collation byte
	attrs     string
	from      string // the client's address, where it is told to the node
}

// maxDials bounds the connections that are being made to one node at a time: one
// that comes back is not buried under the logins of all who waited.
const maxDials = 64

// pool keeps the backend connections of one node.
type pool struct {
	settings func() PoolSettings
	charsets loginCharsets

	waiting atomic.Int32 // those in queue, and those about to look; changed under mu

	mu      sync.Mutex
	idle    map[poolKey][]*backend // guarded by mu; the youngest last
	nIdle   int                    // guarded by mu
	lent    map[*backend]struct{}  // those that sessions have; guarded by mu
	open    int                    // guarded by mu: idle ones, those in use, and those being made
	dialing int                    // guarded by mu: those being made
	queue   []*waiter              // guarded by mu; first come first
}

func newPool(settings func() PoolSettings) *pool {
	return &pool{settings: settings, idle: make(map[poolKey][]*backend), lent: make(map[*backend]struct{})}
}

// take returns an idle connection that fits the wish, or one whose session has rested
// for long, or nil.
func (p *pool) take(w *wish, now time.Time) *backend {
	for {
		p.mu.Lock()
		b := p.takeIdle(w)
		if b == nil && w.key.shared {
			b = p.takeResting(w, now, restTime, false)
		}
		p.mu.Unlock()
		if b == nil {
			return nil
		}
		if p.usable(b, now) {
			p.lend(b, w.who)
			return b
		}
		p.discard(b)
	}
}

// usable says whether a connection that was idle can be given out.
func (p *pool) usable(b *backend, now time.Time) bool {
	return !b.single && !b.expired(p.settings().MaxLifetime, now) && (b.fresh(now) || b.alive() == nil)
}

// takeIdle takes an idle connection that fits, one with the wanted state first.
// The caller holds mu.
func (p *pool) takeIdle(w *wish) *backend {
	list := p.idle[w.key]
	if len(list) == 0 {
		return nil
	}
	at := len(list) - 1
	for i := at; i >= 0 && w.key.shared; i-- {
		if w.suits(list[i]) {
			at = i
			break
		}
	}
	b := list[at]
	copy(list[at:], list[at+1:])
	list[len(list)-1] = nil
	p.keep(&w.key, list[:len(list)-1])
	return b
}

func (p *pool) lend(b *backend, s *session) {
	b.lend(s)
	p.mu.Lock()
	p.lent[b] = struct{}{}
	p.mu.Unlock()
}

// fresh says whether a connection was used so lately that it need not be probed.
// Only reads can rely on that: one that finds its follower gone runs elsewhere.
func (b *backend) fresh(now time.Time) bool {
	return b.follower && now.Sub(b.idle) < 100*time.Millisecond
}

// expired says whether a connection has reached its lifetime, which differs by up
// to a tenth between connections that were made together.
func (b *backend) expired(lifetime time.Duration, now time.Time) bool {
	return lifetime > 0 && now.Sub(b.born) > lifetime-time.Duration(b.jitter*float64(lifetime)/10)
}

// newJitter is what a connection's lifetime is shortened by, in tenths of it.
func newJitter() float64 { return rand.Float64() }

// keep stores a shortened list. The caller holds mu and took exactly one away.
func (p *pool) keep(key *poolKey, list []*backend) {
	if len(list) == 0 {
		delete(p.idle, *key)
	} else {
		p.idle[*key] = list
	}
	p.nIdle--
}

// put gives a connection back that the next session can have.
func (p *pool) put(b *backend, now time.Time) {
	b.pool = p
	set := p.settings()
	if !b.surrender() || b.broken || set.MaxIdle <= 0 || b.expired(set.MaxLifetime, now) {
		p.discard(b)
		return
	}
	b.idle = now
	p.mu.Lock()
	delete(p.lent, b)
	var evicted *backend
	if p.nIdle >= set.MaxIdle {
		evicted = p.oldest()
	}
	p.idle[b.key] = append(p.idle[b.key], b)
	p.nIdle++
	out := p.serve(now)
	p.mu.Unlock()
	if evicted != nil {
		p.discard(evicted)
	}
	p.discardAll(out)
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

// discard closes a connection and gives its place free.
func (p *pool) discard(b *backend) {
	b.surrender()
	b.settle()
	b.quit()
	p.mu.Lock()
	delete(p.lent, b)
	p.open--
	out := p.serve(time.Now())
	p.mu.Unlock()
	p.discardAll(out)
}

func (p *pool) discardAll(list []*backend) {
	for _, b := range list {
		b.settle()
		b.quit()
	}
}

// made ends the making of a connection: it is lent to s, or there is none and its
// place is free again.
func (p *pool) made(b *backend, s *session) {
	if b != nil {
		b.pool = p
		b.lend(s)
	}
	p.mu.Lock()
	p.dialing--
	if b != nil {
		p.lent[b] = struct{}{}
	} else {
		p.open--
	}
	out := p.serve(time.Now())
	p.mu.Unlock()
	p.discardAll(out)
}

// any says whether there are connections that one could wait for.
func (p *pool) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lent)+p.nIdle > 0
}

// expire closes connections that have been idle too long, are too old or dead; all
// where drop is set. Those that sessions have offered for so long too.
func (p *pool) expire(now time.Time, drop bool) {
	set := p.settings()
	var old []*backend
	p.mu.Lock()
	for key, list := range p.idle {
		kept := list[:0]
		for _, b := range list {
			if drop || set.IdleTimeout > 0 && now.Sub(b.idle) > set.IdleTimeout || b.expired(set.MaxLifetime, now) || hungUp(b.raw) {
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
	var rested []*backend
	for b := range p.lent {
		if set.IdleTimeout > 0 && b.takeFrom(now, set.IdleTimeout) {
			rested = append(rested, b)
		}
	}
	out := p.serve(now)
	p.mu.Unlock()
	for _, b := range old {
		p.discard(b)
	}
	for _, b := range rested {
		go p.discard(b) // the server may be asked something
	}
	p.discardAll(out)
}

// restTime is for how long a session rests until others take the connection that it has
// offered rather than to make one.
const restTime = time.Second

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

// reserve takes a place for a connection of one's own making; see acquire.
func (p *pool) reserve(ctx context.Context) error {
	b, err := p.acquire(ctx, &wish{own: true})
	if b != nil {
		return errors.New("an idle connection was given to one who wants none")
	}
	return err
}
