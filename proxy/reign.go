package proxy

import (
	"context"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// newReign is called before a statement where another leader reigns than when the
// session's floor was last compared with one. A leader that was lost may have taken with it
// what the session wrote, though it was acknowledged; on MariaDB, where numbers go on from
// leader to leader, followers would then reach the floor without it. The session is told
// once, and nothing of the statement is executed. Where the leader cannot be asked the
// statement runs, and the next one asks.
func (s *session) newReign(ctx context.Context) *wire.Err {
	snap := s.snapshot()
	if s.reign == snap.Epoch || snap.Leader == nil || s.inTransaction() {
		return nil
	}
	if s.reign == 0 || s.floor.at.IsEmpty() {
		s.reign = snap.Epoch
		return nil
	}
	holds, err := s.leaderHolds(ctx, snap, s.floor.at)
	if err != nil {
		return nil
	}
	old := s.reign
	if holds {
		s.reign, s.taken = snap.Epoch, ""
		return nil
	}
	wrote := s.floor.last
	kept := true
	if !wrote.IsEmpty() {
		if kept, err = s.leaderHolds(ctx, snap, wrote); err != nil {
			return nil
		}
	}
	// What it read, if no more, is lost; there is nothing newer to wait for than what there is.
	now, err := s.leaderPosition(ctx)
	if err != nil {
		return nil
	}
	s.floor = floor{at: now, risen: time.Now()}
	s.reign, s.taken, s.place.read = snap.Epoch, "", false
	if kept {
		s.floor.last = wrote
		return nil
	}
	s.logger().Warn("the last write of a session was lost with its leader", "gtid", wrote.String(), "epoch", old)
	return wire.NewErr(wire.ErUnknown, "Bellwether: this session's last write (%.200s) was acknowledged, and lost with the leader of "+
		"epoch %d; nothing of this statement was executed, and what follows does not see that write", wrote.String(), old)
}

// leaderHolds says whether the leader has all of set in its past, asking it where what is
// known of it is not enough.
func (s *session) leaderHolds(ctx context.Context, snap *topology.Snapshot, set gtid.Set) (bool, error) {
	if l := snap.Leader; l != nil && snap.Flavor == gtid.MySQL && l.Position.Contains(set) {
		return true, nil
	}
	if s.srv.cfg.Positions == nil {
		return false, errNoPositions
	}
	return s.srv.cfg.Positions.LeaderHolds(ctx, set)
}
