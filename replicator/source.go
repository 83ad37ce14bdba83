package replicator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/relay"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// source gives one follower its transactions: from the relay log as soon as that holds what
// the follower lacks, until then from a stream of its own.
type source struct {
	feed *feed // nil: there is no relay log
	log  *slog.Logger

	// Of the goroutine that reads.
	at     gtid.Set // behind what was handed on, while it is read from the leader
	look   time.Time
	inside bool // a transaction of which a part was handed on
	direct *stream.Source

	mu     sync.Mutex // guards all below
	dump   *stream.Dump
	cursor *relay.Cursor
	ended  bool // nothing comes any more, though what came may still be applied
}

// lookPause is how often a follower that reads from the leader looks whether the relay log would do.
const lookPause = 200 * time.Millisecond

// openSource begins behind pos; direct opens a stream of the follower's own.
func openSource(ctx context.Context, feed *feed, pos gtid.Set, direct func(gtid.Set) (*stream.Dump, error), log *slog.Logger) (*source, error) {
	s := &source{feed: feed, log: log, at: pos, look: time.Now()}
	if s.relayed(ctx, settleTime) {
		return s, nil
	}
	var err error
	if s.dump, err = direct(pos); err != nil {
		return nil, err
	}
	s.direct = stream.NewSource(s.dump, 0)
	return s, nil
}

// relayed reports whether it reads from the relay log from now on.
func (s *source) relayed(ctx context.Context, most time.Duration) bool {
	c, err := s.feed.cursor(ctx, s.at, most)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dump != nil {
		s.dump.Close()
		s.log.Info("the follower reads from the relay log", "position", s.at.String())
	}
	s.cursor, s.dump, s.direct = c, nil, nil
	return true
}

// Next returns the next part.
func (s *source) Next(ctx context.Context) (*binlog.Part, error) {
	p, err := s.next(ctx)
	if err != nil {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	}
	return p, err
}

// over says that nothing comes any more.
func (s *source) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *source) next(ctx context.Context) (*binlog.Part, error) {
	if s.direct != nil && !s.inside && s.feed != nil && time.Since(s.look) > lookPause {
		s.relayed(ctx, 0)
		s.look = time.Now()
	}
	if s.direct == nil {
		return s.cursor.Next(ctx)
	}
	p, err := s.direct.Next(ctx)
	if err != nil {
		return nil, err
	}
	if s.inside = !p.Last; p.Last && s.feed != nil {
		s.at = s.at.Union(p.Txn.GTID.Set())
	}
	return p, nil
}

// heard is when something came from the leader last, heartbeats included.
func (s *source) heard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dump != nil {
		return s.dump.Heard()
	}
	return s.feed.heard()
}

// close ends it; nobody may be in Next.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dump != nil {
		s.dump.Close()
	}
	if s.cursor != nil {
		s.cursor.Close()
	}
}
