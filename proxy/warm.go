package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// recipes are how the last connections that sessions can share were made, one to a leader
// and one to a follower: by them connections are made before anybody asks, for those who
// connected last, to nodes that have too few idle ones. A node that has come back, or a new
// leader, does not have to be connected to by everybody at once then.
type recipes struct {
	mu sync.Mutex
	at [2]*recipe // by whether it is to a follower; guarded by mu
}

type recipe struct {
	key     poolKey  // but for the node
	spec    dialSpec // as key
	mariadb bool
}

// remember keeps how a connection was made that others can use.
func (r *recipes) remember(key poolKey, spec *dialSpec, mariadb bool) {
	if !key.shared || key.from != "" { // of one client's address only
		return
	}
	key.node, key.address = "", ""
	kept := &recipe{key, *spec, mariadb}
	kept.spec.node, kept.spec.tls, kept.spec.proxyHdr = nil, nil, nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at[digit(key.follower)] = kept
}

func (r *recipes) get(follower bool) *recipe {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[digit(follower)]
}

// drop forgets a recipe by which a node let nobody in.
func (r *recipes) drop(x *recipe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := digit(x.key.follower); r.at[i] == x {
		r.at[i] = nil
	}
}

// warm makes connections to the nodes that have too few idle ones (pool.min_idle), and
// returns at once. done is called when each has been made.
func (srv *Server) warm(ctx context.Context, snap *topology.Snapshot, wg *sync.WaitGroup) {
	set := srv.settings.Load()
	if set.Pool.MinIdle <= 0 {
		return
	}
	for _, n := range snap.Nodes {
		x := srv.recipes.get(n != snap.Leader)
		if x == nil || n.State != topology.StateUp || n != snap.Leader && !n.Eligible {
			continue
		}
		key := x.key
		key.node, key.address = n.Name, n.Address
		p := srv.pools.of(n.Name)
		for range p.places(key, set.Pool.MinIdle) {
			wg.Go(func() { srv.warmOne(ctx, set, p, n, key, x) })
		}
	}
}

// places takes a place for each idle connection that is missing, as many as there are.
func (p *pool) places(key poolKey, want int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle[key])+p.dialing < want && len(p.queue) == 0 && !p.full() {
		p.open++
		p.dialing++
		n++
	}
	return n
}

func (srv *Server) warmOne(ctx context.Context, set *Settings, p *pool, n *topology.Node, key poolKey, x *recipe) {
	spec := x.spec
	spec.node, spec.mode, spec.tls, spec.timeout = n, set.NodeTLS, nodeTLS(set, n), set.ConnectTimeout
	b, _, err := dial(ctx, &spec)
	if err == nil {
		b.key, b.follower = key, key.follower
		b.baseAutocommit = wire.Status(b.status).Has(wire.StatusAutocommit)
		_ = b.conn.SetDeadline(time.Now().Add(set.ConnectTimeout))
		err = b.learnCharsets(&p.charsets, spec.collation, x.mariadb)
		_ = b.conn.SetDeadline(time.Time{})
		if err != nil {
			b.broken = true
		}
	}
	p.mu.Lock()
	p.dialing--
	if b == nil {
		p.open--
	}
	out := p.serve(time.Now())
	p.mu.Unlock()
	p.discardAll(out)
	if b != nil {
		srv.metrics.dials.Add(1)
		p.put(b, time.Now()) // which closes a broken one
	}
	if err != nil && ctx.Err() == nil {
		srv.recipes.drop(x)
		srv.log.Debug("no connection could be made ahead", "node", n.Name, "err", err)
	}
}
