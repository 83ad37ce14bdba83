package proxy

import (
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// floor is what a session must be able to see: its own writes, and everything
// that it has read. A follower below it would take the session back in time.
//
// Of a write the servers tell the GTID, in the trailer of the answer. Of a read
// they tell nothing; but what a read saw was committed on the leader before the
// read ended, so that any upper bound of the leader's position from a later moment
// is one of what the read saw. Until there is such a position the floor
// is open, and the session reads from the leader. A session that stays on one
// follower needs none: the follower does not go back.
type floor struct {
	at    gtid.Set
	last  gtid.Set  // the session's own last write
	risen time.Time // when at was last raised
	open  time.Time // what was read until then is not in at yet; zero: all of it is
}

// wrote takes the GTID of a transaction of this session.
func (f *floor) wrote(snap *topology.Snapshot, text string) {
	if set, err := gtid.Parse(snap.Flavor, text); err == nil && !set.IsEmpty() {
		f.last = set
		if !f.at.Contains(set) {
			f.raised(set)
		}
	}
	if snap.Flavor == gtid.MariaDB && snap.Leader != nil && snap.Leader.Position.Domains() <= 1 {
		// A position holds all that was committed before it in its domain: what the
		// transaction read is in there.
		f.open = time.Time{}
	}
}

// raised takes over what must be seen from now on.
func (f *floor) raised(set gtid.Set) { f.at, f.risen = f.at.Union(set), time.Now() }

// read notes that the session may have seen all that was committed until now.
func (f *floor) read(now time.Time) { f.open = now }

// close brings the floor to the leader's position, where one is known that is
// later than what was read.
func (f *floor) close(snap *topology.Snapshot) {
	if f.open.IsZero() {
		return
	}
	l := snap.Leader
	if l == nil || !l.Lag.Known || !l.Lag.Measured.After(f.open) {
		return
	}
	f.at = f.at.Union(l.Bound)
	f.open = time.Time{}
}

// saw notes what an answer of the home connection may have shown.
func (s *session) saw(st *router.Statement, a *answer) {
	if a.rows == 0 || st.Verb == router.VerbSet {
		return
	}
	if st.ReadsTables || st.Opaque || st.Multi || st.Class == router.ClassWrite {
		s.floor.read(time.Now())
	}
}

// learnGTID takes the GTIDs that MySQL's tracker reports.
func (s *session) learnGTID(e *wire.StateEntry) {
	s.wrote(string(e.Value))
}

// wrote takes the GTID of a transaction of this session, which the server has answered.
func (s *session) wrote(gtid string) {
	s.floor.wrote(s.snapshot(), gtid)
	if s.srv.cfg.KeepAnswers {
		s.srv.answered.note(gtid, time.Now())
	}
}
