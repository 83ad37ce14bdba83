package proxy

import (
	"context"
	"time"

	"github.com/bellwetherdb/bellwether/router"
)

// waitOutcome is what became of a read that no follower could serve at once.
type waitOutcome uint8

const (
	waitReached  waitOutcome = iota // a follower has it; the read ran there
	waitExpired                     // not in time; the read ran on the leader
	waitHopeless                    // nobody was expected to have it in time; the read ran on the leader at once

	numWaitOutcomes
)

var waitOutcomes = [numWaitOutcomes]string{"reached", "expired", "hopeless"}

// catchUp is for a read that no follower can serve yet for what the session must see:
// it waits for the one that is expected to have it in time, and lets the read go to the
// leader where there is none, or where it has not come to that in time. No answer is
// older for having waited, and no server is kept busy by it.
func (s *session) catchUp(ctx context.Context, set *Settings, q *router.Query, st *router.Statement, d router.Decision) router.Decision {
	limit := set.CausalWait
	if limit <= 0 {
		return d
	}
	began, outcome := time.Now(), waitHopeless
	for left := limit; ; left = limit - time.Since(began) {
		snap, now := s.snapshot(), time.Now()
		n, ask := set.Policy.Await(&s.view, st, q, snap, s.floor.risen, now, left)
		if n == nil {
			s.learnDelays()
			break
		}
		if ask {
			if s.raise(ctx) != nil {
				break
			}
			s.floorRaised()
		} else {
			if !s.awaitFloor(ctx, n.Name, left) {
				outcome = waitExpired
				break
			}
			outcome = waitReached
		}
		if next := set.Policy.Route(&s.view, st, q, s.snapshot()); next.Reason != router.ReasonFloor {
			s.srv.metrics.waited(waitReached, time.Since(began))
			return next
		}
		if time.Since(began) >= limit {
			outcome = waitExpired
			break
		}
	}
	s.srv.metrics.waited(outcome, time.Since(began))
	return d
}

// floorRaised tells the router that the floor holds what the leader has now.
func (s *session) floorRaised() {
	s.view.Floor, s.view.FloorOpen, s.view.Stay, s.view.Asked = s.floor.at, false, false, true
}

// awaitFloor waits for a follower to have the session's floor, and says whether it came to that.
func (s *session) awaitFloor(ctx context.Context, node string, limit time.Duration) bool {
	w := s.srv.cfg.Topology.Await(node, s.floor.at, s.floor.risen)
	defer w.Done()
	select {
	case <-w.Reached:
		return true
	default:
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-w.Reached:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// learnDelays has the delays of followers learned anew from this session's floor, so
// that one of whom little is expected is trusted again when it has caught up.
func (s *session) learnDelays() {
	if !s.floor.open.IsZero() || s.floor.risen.IsZero() {
		return
	}
	for _, n := range s.snapshot().Nodes {
		if usable(n) {
			s.srv.cfg.Topology.Note(n.Name, s.floor.at, s.floor.risen)
		}
	}
}
