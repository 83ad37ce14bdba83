package executor

import (
	"context"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/coord"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Succession writes a planned change of leader into the record as the machine would,
// so that whoever finds it half done can finish or undo it.
type Succession struct {
	coord   coord.Coordinator
	record  topology.Record
	self    string
	acks    int
	members []string // all nodes
	appoint func(leader string, epoch uint64)
	reign   *reign
}

func (s *Succession) swap(ctx context.Context, change func(next *topology.Record)) error {
	next := s.record.Clone()
	change(&next)
	stored, err := s.coord.Swap(ctx, next)
	if err == nil {
		s.record = stored
	}
	return err
}

// claim takes an epoch for the change.
func (s *Succession) claim(ctx context.Context, from, to string) error {
	return s.swap(ctx, func(next *topology.Record) {
		next.Epoch++
		next.Change = &topology.Change{
			Kind: topology.KindSwitchover, Phase: topology.PhaseClaimed, From: from, To: to, Owner: s.self, Began: time.Now().Round(0).UTC(),
		}
	})
}

// publish names the new leader, before it is opened.
func (s *Succession) publish(ctx context.Context, to, until string) error {
	return s.swap(ctx, func(next *topology.Record) {
		next.Acks = s.acks
		next.Bury(until)
		next.Publish(to, s.members)
	})
}

// handOn returns when the engine has let go of the new leader, and replicates from it. Where
// the servers replicate there is nothing to do.
func (s *Succession) handOn(ctx context.Context) error {
	done := s.reign.lead(s.record.Leader, s.record.Reign, s.record.Members, true)
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the engine still works for the old leader: %w", ctx.Err())
	}
}

// prepare marks the new leader, and lets it wait for acknowledgements.
func (s *Succession) prepare(ctx context.Context, n *server) error {
	if _, err := mark.Mark(ctx, n.pool, s.record.Epoch); err != nil {
		return err
	}
	if s.acks == 0 {
		return nil
	}
	if n.engine {
		return n.requireAcks(ctx, engineAcks(s.acks))
	}
	return n.requireAcks(ctx, s.acks)
}

// finish says that the change is over; the new leader is the Store's from here on.
func (s *Succession) finish(ctx context.Context) error {
	err := s.swap(ctx, func(next *topology.Record) { next.Change = nil })
	if err == nil {
		s.appoint(s.record.Leader, s.record.Reign)
	}
	return err
}

// undo says that the old leader goes on: in its own reign, or, where another one was
// published, in a new one.
func (s *Succession) undo(ctx context.Context, from string) error {
	return s.swap(ctx, func(next *topology.Record) {
		next.Change = nil
		if next.Leader != from {
			next.Epoch++
			next.Reign, next.Leader = next.Epoch, from
			next.Past = next.Past[:max(0, len(next.Past)-1)]
		}
	})
}
