package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/token"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// errNoPositions says that nobody can ask the leader.
var errNoPositions = errors.New("the leader's position cannot be asked for")

// leaderPosition asks the leader what it has now.
func (s *session) leaderPosition(ctx context.Context) (gtid.Set, error) {
	if s.srv.cfg.Positions == nil {
		return gtid.Set{}, errNoPositions
	}
	return s.srv.cfg.Positions.LeaderPosition(ctx)
}

// raise brings the session's floor to what the leader has now. Whatever the session
// has read before, on whichever node, is in there.
func (s *session) raise(ctx context.Context) error {
	set, err := s.leaderPosition(ctx)
	if err != nil {
		return err
	}
	s.floor.raised(set)
	s.floor.open = time.Time{}
	s.place.read = false // what it read there is in the floor: it may move
	return nil
}

// token is what another session must be able to see to have all that this one
// has written and read.
func (s *session) token(ctx context.Context) (string, error) {
	snap := s.snapshot()
	s.floor.close(snap)
	set := s.floor.at
	if !s.floor.open.IsZero() || s.place.read {
		now, err := s.leaderPosition(ctx)
		if err != nil {
			return "", err
		}
		set = set.Union(now)
		if !s.floor.open.IsZero() {
			s.floor.at, s.floor.open = set, time.Time{}
		}
	}
	return token.Token{Flavor: snap.Flavor, Epoch: snap.Epoch, Set: set}.Encode(), nil
}

// take raises the session's floor by a token. What the leader does not have is lost,
// or never was in this cluster, and to wait for it would be to wait for ever.
func (s *session) take(ctx context.Context, text string) *wire.Err {
	if text == s.taken {
		return nil
	}
	t, err := token.Decode(text)
	if err != nil {
		return wire.NewErr(wire.ErWrongValueForVar, "Bellwether: the token cannot be used: %s", err)
	}
	snap := s.snapshot()
	if t.Flavor != snap.Flavor && snap.Flavor != gtid.FlavorUnknown {
		return wire.NewErr(wire.ErWrongValueForVar, "Bellwether: the token is of a cluster of %s, and this is one of %s", t.Flavor, snap.Flavor)
	}
	if t.Epoch != snap.Epoch || !s.floor.at.Contains(t.Set) {
		if e := s.verify(ctx, &t); e != nil {
			return e
		}
		s.floor.raised(t.Set)
	}
	s.taken = text
	return nil
}

// verify makes sure that the present leader has what a token stands for, asking it
// where what is known of it is not enough.
func (s *session) verify(ctx context.Context, t *token.Token) *wire.Err {
	snap := s.snapshot()
	holds, err := s.leaderHolds(ctx, snap, t.Set)
	switch {
	case err != nil:
		return wire.NewErr(erConnHost, "Bellwether: the token cannot be compared with the leader now (%s); it was not taken", err)
	case !holds:
		return wire.NewErr(wire.ErWrongValueForVar, "Bellwether: the leader does not have what the token stands for (%.200s, epoch %d there and %d here): "+
			"it was lost with an earlier leader, or the token is of another cluster", t.Set.String(), t.Epoch, snap.Epoch)
	}
	return nil
}

// hinted takes what the hint of a statement binds the session to.
func (s *session) hinted(ctx context.Context, h *router.Hint) *wire.Err {
	if h.Token == "" || h.Err != "" {
		return nil
	}
	return s.take(ctx, h.Token)
}

// share joins the session's floor with that of its hint's key; within a transaction
// the key holds to the end, for COMMIT is what tells the position. The statement runs
// between this and the call of what it returns.
func (s *session) share(h *router.Hint) (done func()) {
	if h.Session != "" && h.Err == "" {
		s.shareKey = h.Session
	}
	if s.shareKey == "" {
		return func() {}
	}
	x, version := s.srv.shared.enter(s.shareKey, s.id, s.reign, &s.floor, time.Now())
	return func() {
		if !s.inTransaction() {
			s.shareKey = ""
		}
		s.srv.shared.leave(x, version, s.id, &s.floor, s.place.read, time.Now())
	}
}
