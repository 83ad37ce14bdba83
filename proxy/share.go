package proxy

import (
	"context"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// Between its commands a session rests: it offers its connections to others, where
// nothing is left on them that another session could notice or that it could not take
// along, see docs/pooling.md.

// place is the follower that a session reads from. It stays there when another session
// takes its connection: on one follower time does not go back.
type place struct {
	node, address string    // empty: none
	read          bool      // the session has read there
	at            time.Time // when it last offered its connection there
}

// shares says whether the session shares its connections while it lives.
func (s *session) shares() bool {
	return s.srv.settings.Load().Pool.Share && s.srv.shares() && !s.account.PasswordExpired
}

// rest is called between two commands.
func (s *session) rest() {
	if s.changed { // by a command of which nothing is known
		s.changed, s.nailed = false, true
	}
	if b := s.home; b != nil && b.key.shared && !s.homeOffered && s.leavable() {
		s.pack(b, true)
		b.inherit = s.insertID.leave()
		s.homeOffered = true
		s.offer(b, time.Now())
	}
	if b := s.follower; b != nil && b.key.shared && !s.followerOffered {
		b.single = s.srv.unsettled(b)
		s.pack(b, false)
		s.followerOffered = true
		s.place.at = time.Now()
		s.offer(b, s.place.at)
	}
}

// leavable says whether nothing of the session is on its home connection but what it
// can take along.
func (s *session) leavable() bool {
	return !s.tied() && !s.home.spoilt && !s.home.broken && !s.outdated()
}

// outdated says whether the session has statements that mean something else than if
// they were prepared now.
func (s *session) outdated() bool {
	at := outdatedAt{s.state.version, s.state.schema, s.mode, len(s.stmts.byID), s.stmts.lastID}
	if s.stmts.outdatedAt == at {
		return s.stmts.outdated
	}
	s.stmts.outdatedAt, s.stmts.outdated = at, false
	for _, p := range s.stmts.byID {
		if p.own == nil && !s.sameMeaning(s.home, p) {
			s.stmts.outdated = true
			break
		}
	}
	return s.stmts.outdated
}

// outdatedAt is what the answer of outdated depends on: while it is the same, so is that.
type outdatedAt struct {
	version uint64 // of the session's state
	schema  string
	mode    router.Mode
	count   int    // of statements
	lastID  uint32 // of them
}

// pack makes a connection ready for another session.
func (s *session) pack(b *backend, home bool) {
	if home {
		b.vars = s.state.current(true)
		b.lastID, b.unsureID = s.insertID.id, s.insertID.unsure
	}
	b.key.schema = sharedSchema(b.schema)
	b.closeStatements(b.prepared.trim(s.srv.settings.Load().Pool.MaxPrepared)...)
}

// offer lets others have the connection from now on.
func (s *session) offer(b *backend, now time.Time) {
	kept := s.last == b && s.about.kept
	b.unclean = b.unclean || kept
	p := b.pool
	b.offer(now, kept) // and it may be another's
	if p.wanted() {
		p.look()
	}
}

// diagnosticsTime is for how long a connection with warnings, an error or
// SQL_CALC_FOUND_ROWS is left to the session that may ask about them, where another
// session can get no connection but this one. Where it can, it is never taken.
const diagnosticsTime = 2 * time.Second

// probeAfter is for how long a connection that was offered is believed to live.
const probeAfter = 100 * time.Millisecond

// claimHome takes the home connection back that was offered. Where another has taken
// it the session has none now.
func (s *session) claimHome() {
	b := s.home
	if b == nil || !s.homeOffered {
		return
	}
	s.homeOffered = false
	if b.claim(s) {
		if time.Since(b.lease.since) > probeAfter && b.alive() != nil {
			// The server has closed it meanwhile. Nothing but this is lost with it.
			s.insertID.lose()
			s.wasTaken(b)
			s.dropHome()
		}
		return
	}
	s.home = nil
	s.wasTaken(b)
	s.insertID.taken()
}

// claimFollower is claimHome for the connection to the follower.
func (s *session) claimFollower() {
	b := s.follower
	if b == nil || !s.followerOffered {
		return
	}
	s.followerOffered = false
	if b.claim(s) {
		return
	}
	s.follower = nil
	s.wasTaken(b)
}

// wasTaken notes that another session has a connection now.
func (s *session) wasTaken(b *backend) {
	if s.last == b {
		s.last, s.about.gone = nil, true
	}
}

// settleAt notes to which follower a connection is that the session got. It is false
// where the session has read from that follower and cannot know that it is the same
// still: a connection that is older than the last read shows that the server did not
// start anew since, perhaps without its last transactions.
func (s *session) settleAt(b *backend) bool {
	if s.place.node == b.node && s.place.address == b.address {
		if !s.place.read || b.born.Before(s.place.at) || s.level == router.LevelEventual {
			return true
		}
		s.leavePlace()
		s.place = place{node: b.node, address: b.address}
		return false
	}
	s.leavePlace()
	s.place = place{node: b.node, address: b.address}
	return true
}

// leavePlace ends a session's stay on its follower: what it may have read there it
// must find wherever it reads next.
func (s *session) leavePlace() {
	if s.place.read {
		s.floor.read(time.Now())
	}
	s.place = place{}
}

// standsAt says whether the session's follower is at the address that it had.
func (p *place) standsAt(n *topology.Node) bool { return n == nil || n.Address == p.address }

// asksSequence says whether a statement asks for the last value that the session took
// from a sequence of MariaDB, which is on the connection that took it, and which may not
// be this one. A session that takes one by name keeps its connection.
func (s *session) asksSequence(sql []byte, st *router.Statement) bool {
	if st.Reason != router.ReasonSequence && st.Class != router.ClassWrite || s.nailed || !s.mariadb() || !s.shares() {
		return false
	}
	if containsFold(sql, "lastval(", "previous value for") {
		return true
	}
	s.nailed = containsFold(sql, "nextval", "setval", "next value for")
	return false
}

func (s *session) refuseSequence(req *request) error {
	s.in.consume(len(req.bytes))
	return s.fail(wire.ErUnknown, "HY000", "Bellwether: the last value of a sequence is on the connection that took it, which "+
		"may be another session's now; take it by NEXTVAL() in this session before, or set pool.mode: session")
}

// readyHome makes a shared home connection ready for a statement, where the session can
// have one. The error is for explain; nothing of the statement has run.
func (s *session) readyHome(ctx context.Context, st *router.Statement) error {
	if !s.shares() || !st.MayChangeSession && st.Class != router.ClassWrite {
		return nil
	}
	b, err := s.homeConn(ctx)
	if err != nil {
		return err
	}
	if st.MayChangeSession {
		err = s.prepareAll(b)
	}
	if err == nil {
		err = s.settleChange(b, st)
	}
	if err != nil {
		return s.unprepared(err)
	}
	return nil
}

// settleChange lets a shared home connection tell, before a write, of the changes that
// it owes: that a statement was prepared, which is no change to anyone. What it then
// tells of is the write's own doing.
func (s *session) settleChange(b *backend, st *router.Statement) error {
	if !b.owes || !b.key.shared || st.Class != router.ClassWrite {
		return nil
	}
	b.owes = false
	_, err := b.command(wire.ComPing, "")
	return err
}

// noteChange takes from an answer of the home connection whether the session changed in
// a way that no variable tells, as by a trigger that sets a user variable.
func (s *session) noteChange(st *router.Statement, a *answer) {
	changed := s.changed
	s.changed = false
	if st.Class == router.ClassWrite && a.rows > 0 && !s.caps.Has(wire.ClientDeprecateEOF) {
		changed = true // INSERT ... RETURNING: the end of such an answer tells nothing
	}
	if !changed {
		return
	}
	switch {
	case st.Multi || st.Opaque:
	case st.Class == router.ClassRead, st.Class == router.ClassHome:
		return // a statement was prepared before, which is told late
	case st.DropsTable, st.Verb == router.VerbSet, st.Verb == router.VerbUse, st.Verb == router.VerbSetTransaction, st.CreatesTempTable:
		return // seen by other means
	}
	s.nailed = true
}
