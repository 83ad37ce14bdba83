package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/router"
)

// errLeaderBusy says that too many reads that followers could not serve run on the
// leader already.
var errLeaderBusy = errors.New("too many reads that no follower can serve now wait for the leader")

// redirects bounds the reads that run on the leader only because no follower could
// serve them, so that followers that fall behind do not take the leader with them.
type redirects struct {
	mu      sync.Mutex // guards both
	running int
	queue   []chan struct{} // those that wait for a place, the first come first; closed when it is theirs
}

// redirected says whether a read is on the leader for want of a follower.
func redirected(r router.Reason) bool {
	switch r {
	case router.ReasonFloor, router.ReasonNoEligibleFollower, router.ReasonFollowerFailed:
		return true
	}
	return false
}

// enter takes a place among at most limit, waiting for it no longer than wait; leave gives
// it back. Without a limit (0) nobody is counted, so that the usual case takes no lock.
func (r *redirects) enter(ctx context.Context, limit int, wait time.Duration) error {
	if limit <= 0 {
		return nil
	}
	r.mu.Lock()
	if r.running < limit && len(r.queue) == 0 {
		r.running++
		r.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	r.queue = append(r.queue, turn)
	r.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	var err error
	select {
	case <-turn:
		return nil
	case <-t.C:
		err = errLeaderBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue, turn)
	if i < 0 {
		return nil // its turn came in this moment
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	return err
}

// leave gives a place back that was taken under the same limit, to the first in the line.
func (r *redirects) leave(limit int) {
	if limit <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	for len(r.queue) > 0 && r.running < limit {
		r.running++
		close(r.queue[0])
		r.queue = slices.Delete(r.queue, 0, 1)
	}
}
