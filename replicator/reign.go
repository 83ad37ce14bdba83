package replicator

import (
	"context"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Reign is who leads, as whoever coordinates tells a coordinated Engine.
type Reign struct {
	Leader string // empty: nobody; nothing is replicated
	// Epoch is what the followers are marked with; a follower with a higher mark is left
	// alone, and one that is owned under a lower one is taken over. At least 1.
	Epoch uint64
	Own   bool // else another one replicates, and this Engine only looks on
	// Members are the nodes whose commits count for acknowledgements, the leader may be among
	// them. Others are replicated to as well.
	Members []string
}

// Lead makes a coordinated Engine replicate in that reign. The channel is closed when all
// that ran for an earlier one has ended; never where Run has.
func (e *Engine) Lead(r Reign) <-chan struct{} {
	done := make(chan struct{})
	e.mu.Lock()
	e.reign = r
	e.told = append(e.told, done)
	e.mu.Unlock()
	e.nudge()
	return done
}

// present is the configuration with the present reign, and who waits for it to run.
func (e *Engine) present() (Config, []chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	cfg, told := e.cfg, e.told
	e.told = nil
	if cfg.Coordinated {
		cfg.Leader, cfg.epoch, cfg.watch = e.reign.Leader, e.reign.Epoch, !e.reign.Own
		cfg.members = append([]string{}, e.reign.Members...)
	}
	return cfg, told
}

// Link is a follower's replication as it matters to who decides about leaders.
type Link struct {
	Leader    string    // whom it is made to follow
	Receiving bool      // the stream is open
	Heard     time.Time // when the leader was heard last in it, heartbeats included
	Copying   bool
	Foreign   bool // it was stopped, as it has transactions that the leader lacks
	Why       string
}

// Link returns how a follower is replicated to; false where this Engine does not.
func (e *Engine) Link(node string) (Link, bool) {
	e.mu.Lock()
	f := e.followers[node]
	e.mu.Unlock()
	if f == nil || f.cfg.watch {
		return Link{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := Link{
		Leader: f.leader.Name, Receiving: f.status.State == StateStreaming, Copying: f.status.State == StateCopying,
		Foreign: f.status.State == StateStopped && f.foreign, Why: f.status.Why,
	}
	if f.source != nil {
		l.Heard = f.source.heard()
		l.Receiving = l.Receiving && !f.source.over()
	}
	return l, true
}

// Retry looks at once again at a follower that was stopped.
func (e *Engine) Retry(node string) {
	e.mu.Lock()
	f := e.followers[node]
	e.mu.Unlock()
	if f == nil || f.show().State != StateStopped {
		return
	}
	select {
	case f.again <- struct{}{}:
	default:
	}
}

// Pull applies to a node what another one has, up to until, under that epoch, which the
// node must have been marked with or a lower one. Neither is copied. The error wraps the
// context's where the time was too short.
func (e *Engine) Pull(ctx context.Context, node, from string, until gtid.Set, epoch uint64) error {
	e.mu.Lock()
	cfg := e.cfg
	e.mu.Unlock()
	to, ok := cfg.node(node)
	source, ok2 := cfg.node(from)
	if !ok || !ok2 {
		return fmt.Errorf("%w: %q from %q", ErrNoFollower, node, from)
	}
	cfg.Leader, cfg.epoch, cfg.watch = from, epoch, false
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := newFollower(cfg, nil, nil, source, to, e.log.With("node", node, "from", from), e.met, cancel)
	f.pull = true
	over := make(chan error, 1)
	go func() { over <- f.once(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			if f.show().Applied.Contains(until) {
				return nil
			}
			return fmt.Errorf("apply to %s what %s has: %w", node, from, err)
		case <-tick.C:
			if f.show().Applied.Contains(until) {
				cancel()
				if err := <-over; err != nil {
					f.log.Debug("enough was applied", "err", err) // it was cut short
				}
				return nil
			}
		}
	}
}
