package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Status is what a Coordinator tells of itself.
type Status struct {
	Held   bool // this proxy coordinates
	Record topology.Record
	// WritesUntil is until when this proxy may route writes by Record, on the
	// monotonic clock; zero is without end.
	WritesUntil time.Time
}

// MayWrite reports whether writes may be routed by the record at that moment.
func (s *Status) MayWrite(now time.Time) bool {
	return s.WritesUntil.IsZero() || now.Before(s.WritesUntil)
}

// Report is what one proxy sees of one node, as it travels between proxies. Seen is
// opaque here.
type Report struct {
	Observer string          `json:"observer"`
	Age      time.Duration   `json:"age"` // when it was sent
	Seen     json.RawMessage `json:"seen"`
	Received time.Time       `json:"-"` // on the receiver's clock
}

// Coordinator is where the record lives.
type Coordinator interface {
	// Run keeps the coordinator's key and the record up to date until ctx ends.
	Run(ctx context.Context) error
	// Status is the present state. It never blocks on the network.
	Status() Status
	// Changed is closed at the next change of Held or Record.
	Changed() <-chan struct{}
	// Swap stores next if the stored record still has the revision next.Revision and
	// may be followed by next (topology.Record.Follows); it returns what is stored
	// then. The error is ErrConflict (with the present record), ErrRefused, or that
	// the outcome is not known.
	Swap(ctx context.Context, next topology.Record) (topology.Record, error)
	// Share tells the other proxies what this one sees; the newest replaces older ones.
	Share(ctx context.Context, seen json.RawMessage) error
	// Shared is what the others told last.
	Shared() []Report
}

var (
	// ErrConflict is that another one replaced the record first.
	ErrConflict = errors.New("the record was replaced by another")
	// ErrRefused is that the record may not be replaced by that one, whoever asks.
	ErrRefused = errors.New("the record may not be replaced by this one")
	// ErrTaken is that another process uses the same file.
	ErrTaken = errors.New("another process holds the record")
)

// refuse says why.
func refuse(err error) error { return fmt.Errorf("%w: %w", ErrRefused, err) }

// state is a Status behind a lock, with who waits for its change.
type state struct {
	mu      sync.Mutex // guards the fields below
	status  Status
	changed chan struct{}
}

func (s *state) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.Record = s.status.Record.Clone()
	return out
}

func (s *state) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// update changes the status, and wakes those who wait where wake says so.
func (s *state) update(f func(st *Status) (wake bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f(&s.status) && s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
