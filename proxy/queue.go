package proxy

import (
	"context"
	"slices"
	"time"
)

// wish is what a session wants of a pool.
type wish struct {
	who    *session
	key    poolKey
	own    bool    // only a place: the session makes a connection of its own
	noDial bool    // only a connection that exists: the node lets nobody in
	schema string  // what a connection has at best: then nothing need be brought to it
	vars   *varSet // as schema
	onWait func()  // called once before the session waits; may be nil
}

// suits says whether a connection already has what the session needs.
func (w *wish) suits(b *backend) bool {
	return !b.unclean && b.schema == w.schema && b.vars.equal(w.vars)
}

// waiter is a session in the queue of a pool.
type waiter struct {
	*wish
	got    chan grant // of one place, so that nobody waits to give
	passed int        // how often one behind it was served before it
}

// grant is what one gets who waited: a connection, or without one a place to make it.
type grant struct{ b *backend }

// maxPassed is how often a session may be passed in the queue by others whom a free
// connection fits better. It bounds what is closed and made anew where several users
// share a node, without letting anyone wait for ever.
const maxPassed = 16

// acquire returns a connection that fits the wish, or nil and no error: then the
// caller has a place to make one, and must say with made what came of it. Where the
// node has all that it may have, it takes what fits from a session that rests,
// closes what fits nobody here, or waits, first come first served.
func (p *pool) acquire(ctx context.Context, w *wish) (*backend, error) {
	now := time.Now()
	for {
		p.mu.Lock()
		p.waiting.Add(1) // before looking: who offers a connection later sees it
		var g grant
		var out *backend
		ok := false
		if len(p.queue) == 0 || !p.full() {
			g, out, ok = p.find(w, now)
		}
		if !ok {
			break
		}
		p.waiting.Add(-1)
		p.mu.Unlock()
		p.discardAll(one(out))
		if b := p.granted(g, w, now); b != nil || g.b == nil {
			return b, nil
		}
	}
	x := &waiter{wish: w, got: make(chan grant, 1)}
	p.queue = append(p.queue, x)
	p.mu.Unlock()
	if w.onWait != nil {
		w.onWait()
	}
	t := time.NewTimer(p.settings().Wait)
	defer t.Stop()
	for {
		var err error
		select {
		case g := <-x.got:
			if b := p.granted(g, w, time.Now()); b != nil || g.b == nil {
				return b, nil
			}
			p.again(x) // what it got had died: to the head of the queue
			continue
		case <-t.C:
			err = errPoolFull
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		if i := slices.Index(p.queue, x); i >= 0 {
			p.queue = slices.Delete(p.queue, i, i+1)
			p.waiting.Add(-1)
			p.mu.Unlock()
			return nil, err
		}
		p.mu.Unlock()
		if g := <-x.got; g.b == nil { // it came with the end of the wait
			return nil, nil //nolint:nilnil // a place
		} else if b := p.granted(g, w, time.Now()); b != nil {
			return b, nil
		}
		return nil, err
	}
}

// granted takes over a connection, nil where it is of no use and closed.
func (p *pool) granted(g grant, w *wish, now time.Time) *backend {
	if g.b == nil {
		return nil
	}
	if !p.usable(g.b, now) {
		g.b.broken = true
		p.discard(g.b)
		return nil
	}
	p.lend(g.b, w.who)
	return g.b
}

// again puts one back who was given a connection that had died.
func (p *pool) again(x *waiter) {
	p.mu.Lock()
	p.queue = slices.Insert(p.queue, 0, x)
	p.waiting.Add(1)
	out := p.serve(time.Now())
	p.mu.Unlock()
	p.discardAll(out)
}

func one(b *backend) []*backend {
	if b == nil {
		return nil
	}
	return []*backend{b}
}

// full says whether no connection may be made now. The caller holds mu.
func (p *pool) full() bool {
	limit := p.settings().MaxPerNode
	return limit > 0 && p.open >= limit || p.dialing >= maxDials
}

// find looks for what fits the wish. out is a connection whose place it takes, for
// the caller to close. The caller holds mu.
func (p *pool) find(w *wish, now time.Time) (g grant, out *backend, ok bool) {
	if !w.own {
		if b := p.takeIdle(w); b != nil {
			p.lent[b] = struct{}{}
			return grant{b}, nil, true
		}
		if w.key.shared {
			if b := p.takeResting(w, now, restTime, false); b != nil {
				return grant{b}, nil, true
			}
		}
	}
	if !w.noDial && !p.full() {
		p.open++
		p.dialing++
		return grant{}, nil, true
	}
	if b := p.takeResting(w, now, 0, false); b != nil {
		return grant{b}, nil, true
	}
	if w.noDial || p.dialing >= maxDials {
		return grant{}, nil, false
	}
	b := p.oldest()
	if b == nil {
		b = p.takeResting(w, now, 0, true)
		delete(p.lent, b)
	}
	if b != nil {
		p.dialing++ // in its place
		return grant{}, b, true
	}
	return grant{}, nil, false
}

// takeResting takes a connection from a session that rests: one that fits the wish,
// with the wanted state if possible; or where other is set, the first that there is. The
// session has rested for at least rest.
// The caller holds mu.
func (p *pool) takeResting(w *wish, now time.Time, rest time.Duration, other bool) *backend {
	if w.own && !other {
		return nil
	}
	var second *backend
	looked := 0
	for b := range p.lent {
		if looked++; looked > maxLooks && rest > 0 {
			break // it can do without, and thousands of sessions may rest
		}
		switch fits, suits := b.resting(now, rest, w); {
		case suits || other && fits != unfree:
			if b.takeFrom(now, rest) {
				return b
			}
		case fits == fitting && second == nil:
			second = b
		}
	}
	if second != nil && second.takeFrom(now, rest) {
		return second
	}
	return nil
}

// maxLooks bounds at how many connections is looked for one that could be shared, where
// another can be made.
const maxLooks = 256

// serve gives those in the queue what there is. It returns connections to be
// closed. The caller holds mu.
func (p *pool) serve(now time.Time) (out []*backend) {
	for i := 0; i < len(p.queue); {
		x := p.queue[i]
		g, c, ok := p.find(x.wish, now)
		switch {
		case ok && c != nil && x.passed < maxPassed:
			// Something must be closed for it: is there one behind whom it fits?
			if y := p.fits(i+1, c); y >= 0 {
				x.passed++
				p.dialing--
				p.lent[c] = struct{}{}
				p.give(y, grant{c})
				continue
			}
			out = append(out, c)
			p.give(i, g)
		case ok:
			out = append(out, one(c)...)
			p.give(i, g)
		case x.noDial:
			i++
		default:
			return out
		}
	}
	return out
}

// fits finds the first in the queue from i on whom a connection fits, -1 for
// nobody. The caller holds mu.
func (p *pool) fits(i int, b *backend) int {
	for ; i < len(p.queue); i++ {
		if x := p.queue[i]; !x.own && x.key == b.key {
			return i
		}
		if p.queue[i].passed >= maxPassed {
			break
		}
	}
	return -1
}

// give ends the wait of one. The caller holds mu.
func (p *pool) give(i int, g grant) {
	x := p.queue[i]
	p.queue = slices.Delete(p.queue, i, i+1)
	p.waiting.Add(-1)
	x.got <- g
}

// wanted says whether anybody waits for a connection.
func (p *pool) wanted() bool { return p.waiting.Load() > 0 }

// look serves the queue after something was offered.
func (p *pool) look() {
	p.mu.Lock()
	out := p.serve(time.Now())
	p.mu.Unlock()
	p.discardAll(out)
}
