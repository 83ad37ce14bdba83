package proxy

import (
	"sync"
	"time"
)

// mostAnswered is how many transactions are remembered to have been answered.
const mostAnswered = 1 << 16

// answered remembers the latest transactions of which the servers told that they had
// committed, which clients were told in turn. Its zero value remembers none.
type answered struct {
	mu    sync.Mutex
	ring  []answer1
	next  int
	since time.Time // all that was answered later is there
}

// answer1 is one: its GTID as the server told it.
type answer1 struct {
	gtid string
	at   time.Time
}

// note takes the GTID of a transaction. It is on the way of each write.
func (a *answered) note(gtid string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(a.ring) == 0:
		a.since = now
		fallthrough
	case len(a.ring) < mostAnswered:
		a.ring = append(a.ring, answer1{gtid, now})
	default:
		a.since = a.ring[a.next].at
		a.ring[a.next] = answer1{gtid, now}
		a.next = (a.next + 1) % mostAnswered
	}
}

// has says whether a transaction is there; known is false where it is not, and may have been
// answered before what is remembered begins.
func (a *answered) has(gtid string, began time.Time) (yes, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.ring {
		if a.ring[i].gtid == gtid {
			return true, true
		}
	}
	return false, !a.since.IsZero() && began.After(a.since)
}

// Answered says whether a client of this proxy was told that a transaction has committed. known is
// false where that cannot be said: it began (a time of the leader's clock, in whole seconds) before
// what is remembered, or nothing is (Config.KeepAnswers). What did not come through this proxy was answered by nobody, as far as it knows.
func (srv *Server) Answered(gtid string, began time.Time) (yes, known bool) {
	return srv.answered.has(gtid, began)
}
