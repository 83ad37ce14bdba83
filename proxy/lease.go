package proxy

import (
	"sync"
	"time"
)

// lease says whose a backend connection is at this moment. A session that rests
// offers its connection and goes on pointing to it; the pool may take it then, and
// the session finds out when it wants it back. Who acts on a connection from
// outside of its session (KILL, the watcher) holds it first, so that it is still
// that session's when the act takes effect.
type lease struct {
	mu      sync.Mutex
	owner   *session  // nil while the pool has it; guarded by mu
	offered bool      // the owner rests: the pool may take it; guarded by mu
	since   time.Time // when it was offered; guarded by mu
	kept    bool      // its last statement left what the owner may ask about; guarded by mu
	holds   int       // who acts on it from outside; guarded by mu
}

// lend gives the connection to a session.
func (b *backend) lend(s *session) {
	b.lease.mu.Lock()
	b.lease.owner, b.lease.offered = s, false
	b.lease.mu.Unlock()
}

// offer lets the pool take the connection from its owner; kept as in lease.
func (b *backend) offer(now time.Time, kept bool) {
	b.lease.mu.Lock()
	b.lease.offered, b.lease.since, b.lease.kept = true, now, kept
	b.lease.mu.Unlock()
}

// claim ends an offer. It is false where the pool has taken the connection: then
// it is another's, and s must not touch it.
func (b *backend) claim(s *session) bool {
	b.lease.mu.Lock()
	defer b.lease.mu.Unlock()
	if b.lease.owner != s {
		return false
	}
	b.lease.offered = false
	return true
}

// How a connection fits a wish.
type fit uint8

const (
	unfree  fit = iota // its session uses it
	free               // it may be taken, and does not fit
	fitting            // it may be taken, and fits
)

// resting says whether the connection can be taken and fits the wish, and whether
// it has the wanted state already. What it looks at changes only between an offer's
// end and the next offer.
func (b *backend) resting(now time.Time, rest time.Duration, w *wish) (f fit, suits bool) {
	l := &b.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.free(now, rest):
		return unfree, false
	case w.own || b.key != w.key:
		return free, false
	}
	return fitting, w.suits(b)
}

// free says whether the connection can be taken: with a rest of 0 by one that can get no
// other, else by one that could do without it. The caller holds mu.
func (l *lease) free(now time.Time, rest time.Duration) bool {
	if !l.offered || l.holds != 0 {
		return false
	}
	rested := now.Sub(l.since)
	if l.kept {
		return rest == 0 && rested >= diagnosticsTime
	}
	return rested >= rest
}

// takeFrom takes the connection from a session that has offered it for at least
// rest.
func (b *backend) takeFrom(now time.Time, rest time.Duration) bool {
	l := &b.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.free(now, rest) {
		return false
	}
	s := l.owner
	l.owner, l.offered = nil, false
	s.homeID.CompareAndSwap(b.threadID, 0)
	s.homeNow.CompareAndSwap(b, nil)
	return true
}

// surrender takes the connection from the session that gives it back. It is false
// where somebody is about to kill what runs there: it must not become another's.
func (b *backend) surrender() bool {
	b.lease.mu.Lock()
	defer b.lease.mu.Unlock()
	b.lease.owner, b.lease.offered = nil, false
	return b.lease.holds == 0
}

// hold keeps the connection with a session that is using it, until unhold. It is
// false where the connection is not that session's, or only offered by it: then
// nothing of the session is on it.
func (b *backend) hold(s *session) bool {
	b.lease.mu.Lock()
	defer b.lease.mu.Unlock()
	if b.lease.owner != s || b.lease.offered {
		return false
	}
	b.lease.holds++
	return true
}

// uses says whether a session has the connection, and does not offer it.
func (b *backend) uses(s *session) bool {
	b.lease.mu.Lock()
	defer b.lease.mu.Unlock()
	return b.lease.owner == s && !b.lease.offered
}

func (b *backend) unhold() {
	b.lease.mu.Lock()
	b.lease.holds--
	b.lease.mu.Unlock()
}

// cutFor is cut, for a connection that is still in use by s.
func (b *backend) cutFor(s *session) {
	if b.hold(s) {
		b.cut()
		b.unhold()
	}
}
