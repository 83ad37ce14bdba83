package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// dispatch answers one command. An error ends the session.
func (s *session) dispatch(ctx context.Context, req *request) error {
	payload := req.payload()
	cmd := wire.Command(payload[0])
	s.stateBefore = s.state.version
	if s.replay != nil && !keepsRecord(cmd) {
		s.replay.spoilt = true
	}
	switch cmd {
	case wire.ComQuery:
		return s.query(ctx, req)
	case wire.ComStmtExecute:
		return s.execute(ctx, req)
	case wire.ComStmtPrepare:
		return s.prepare(ctx, req)
	case wire.ComStmtClose:
		return s.closeStatement(req)
	case wire.ComStmtSendLongData, wire.ComStmtFetch, wire.ComStmtReset, wire.ComStmtBulkExecute:
		return s.onStatement(ctx, cmd, req)
	case wire.ComQuit:
		return errClientEnd
	case wire.ComPing:
		if s.home == nil || s.homeOffered {
			s.in.consume(len(req.bytes))
			return s.ok()
		}
		return s.toHome(ctx, cmd, req)
	case wire.ComInitDB:
		return s.initDB(ctx, req)
	case wire.ComFieldList, wire.ComStatistics, wire.ComProcessInfo, wire.ComDebug, wire.ComSetOption, wire.ComRefresh, wire.ComShutdown:
		return s.toHome(ctx, cmd, req)
	case wire.ComProcessKill:
		return s.processKill(ctx, req)
	case wire.ComChangeUser:
		return s.changeUser(ctx, req)
	case wire.ComResetConnection:
		return s.resetConnection(ctx, req)
	case wire.ComBinlogDump, wire.ComBinlogDumpGTID, wire.ComRegisterSlave:
		return s.replicate(ctx, cmd, req)
	default:
		if err := s.skip(req); err != nil {
			return err
		}
		return s.fail(wire.ErUnknownCom, "08S01", "Unknown command")
	}
}

// keepsRecord says whether a command can come in a transaction that is to be run again.
func keepsRecord(cmd wire.Command) bool {
	switch cmd {
	case wire.ComQuery, wire.ComStmtExecute, wire.ComStmtPrepare, wire.ComStmtClose, wire.ComPing:
		return true
	}
	return false
}

// toHome runs a command on the home connection, whatever it is.
func (s *session) toHome(ctx context.Context, cmd wire.Command, req *request) error {
	if cmd == wire.ComSetOption || cmd == wire.ComRegisterSlave {
		s.nailed = true
	}
	f := fateUnknown
	switch cmd {
	case wire.ComPing, wire.ComFieldList, wire.ComStatistics, wire.ComProcessInfo:
		f = fateNothing
	}
	_, err := s.runHome(ctx, cmd, req, true, f)
	if s.home != nil && cmd == wire.ComSetOption {
		s.home.spoilt = true // no reset brings that back
	}
	s.forgetLastAnswer()
	return err
}

// runHome runs a command on the home connection and relays the answer. What only
// reads, by f, runs once more where the leader was lost.
func (s *session) runHome(ctx context.Context, cmd wire.Command, req *request, dirty bool, f fate) (answer, error) {
	for tried := false; ; tried = true {
		b, err := s.homeConn(ctx)
		if err != nil {
			return s.notRun(req, err)
		}
		if dirty {
			b.dirty = true
		}
		s.begin(b)
		a, err := s.exchange(b, cmd, req)
		s.done(b)
		if be, lost := errors.AsType[*backendError](err); lost {
			again, err := s.lostUnder(ctx, be, req, &a, f, tried)
			if again {
				continue
			}
			return a, err
		}
		s.answered()
		if err != nil {
			return a, err
		}
		return a, s.after(b, &a)
	}
}

// begin marks a backend connection as executing for this session, done as idle.
func (s *session) begin(b *backend) {
	b.load.Outstanding.Add(1)
	b.load.Statements.Add(1)
	s.busy.Store(b)
}

func (s *session) done(b *backend) {
	s.busy.Store(nil)
	b.load.Outstanding.Add(-1)
}

// exchange sends a command to a node and relays the answer. The request stays in
// the client's buffer until it is answered: a read may have to run elsewhere.
func (s *session) exchange(b *backend, cmd wire.Command, req *request) (answer, error) {
	if req.whole {
		if !req.own {
			s.held = len(req.bytes)
		}
		return s.relay(b, cmd, req.bytes)
	}
	if _, err := b.conn.Write(req.bytes); err != nil {
		b.broken = true
		if err := s.skip(req); err != nil { // what follows is not a command
			return answer{}, err
		}
		return answer{}, &backendError{err}
	}
	if err := s.in.passOn(s.conn, b.conn, req, s.srv.settings.Load().MaxPacket); err != nil {
		b.broken = true
		return answer{}, err
	}
	return s.relay(b, cmd, nil)
}

// query routes and runs COM_QUERY.
func (s *session) query(ctx context.Context, req *request) error {
	if !req.whole {
		s.srv.metrics.count(router.TargetLeader, router.ReasonTooLarge)
		s.nailed = true // by what is not looked at
		_, err := s.runHome(ctx, wire.ComQuery, req, true, fateUnknown)
		return err
	}
	payload := req.payload()
	at, err := wire.QueryText(payload, s.caps)
	if err != nil {
		s.in.consume(len(req.bytes))
		return s.fail(wire.ErUnknown, "HY000", "Malformed communication packet")
	}
	sql := payload[at:]
	st := router.Classify(sql, s.mode, s.srv.cfg.Routines())
	switch st.Verb {
	case router.VerbKill:
		return s.kill(ctx, req, sql, &st)
	case router.VerbExplainRoute:
		return s.explainRoute(ctx, req, sql, &st)
	}
	if st.Reason == router.ReasonConnectionFunction {
		if text, ok := s.ownID(sql); ok {
			s.in.consume(len(req.bytes))
			own := s.ownQuery(text)
			s.srv.metrics.count(router.TargetLeader, st.Reason)
			_, err := s.runHome(ctx, wire.ComQuery, &own, true, fateOf(&st))
			return err
		}
	}
	if o := s.ownStatement(sql, &st); o != nil {
		s.in.consume(len(req.bytes))
		return s.own(ctx, o, false)
	}
	q := router.Query{SQL: sql, Mode: s.mode}
	return s.route(ctx, wire.ComQuery, req, &q, &st, nil)
}

// route decides where a statement runs, runs it there and counts it. stmt is its
// prepared statement, nil for text.
func (s *session) route(ctx context.Context, cmd wire.Command, req *request, q *router.Query, st *router.Statement, stmt *statement) error {
	weight := s.sample()
	if weight == 0 {
		r, err := s.routed(ctx, cmd, req, q, st, stmt)
		s.srv.metrics.count(r.target, r.reason)
		return err
	}
	start := time.Now()
	entry := s.srv.digests.entry(q) // the text is gone when the request is answered
	r, err := s.routed(ctx, cmd, req, q, st, stmt)
	s.srv.metrics.count(r.target, r.reason)
	entry.add(weight, time.Since(start), r)
	return err
}

func (s *session) routed(ctx context.Context, cmd wire.Command, req *request, q *router.Query, st *router.Statement, stmt *statement) (ran, error) {
	if e := s.newReign(ctx); e != nil {
		s.in.consume(len(req.bytes))
		return ran{router.TargetRefuse, router.ReasonLostWrite, true}, s.fail(e.Code, e.State, e.Message)
	}
	if stmt == nil && s.claimLast(q.SQL, st) {
		return s.answerGone(ctx, req, q, st)
	}
	if s.asksSequence(q.SQL, st) {
		return ran{router.TargetRefuse, router.ReasonSequence, true}, s.refuseSequence(req)
	}
	if e := s.hinted(ctx, &st.Hint); e != nil {
		s.in.consume(len(req.bytes))
		return ran{router.TargetRefuse, router.ReasonBadHint, true}, s.fail(e.Code, e.State, e.Message)
	}
	defer s.share(&st.Hint)()
	d := s.decide(ctx, q, st, true)
	switch {
	case d.Target == router.TargetRefuse:
		s.in.consume(len(req.bytes))
		return ran{d.Target, d.Reason, true}, s.fail(wire.ErUnknown, "HY000",
			"Bellwether: no follower may serve this statement ("+d.Reason.String()+")")
	case d.Target == router.TargetFollower:
		a, reason, err := s.runFollower(ctx, cmd, req, q, d, stmt)
		if err == nil {
			s.noteLast(st, &a)
		}
		if err != errElsewhere { //nolint:errorlint // a signal between the two, never wrapped
			return ran{d.Target, d.Reason, err != nil || a.code != 0}, err
		}
		d.Reason = reason
	case s.last != nil && s.last == s.follower && stmt == nil && aboutLast(q.SQL, st):
		a, err := s.diagnostics(ctx, cmd, req)
		s.noteLast(st, &a)
		return ran{router.TargetFollower, router.ReasonDiagnostics, err != nil || a.code != 0}, err
	}
	if redirected(d.Reason) {
		set := s.srv.settings.Load()
		if err := s.srv.redirects.enter(ctx, set.MaxLeaderReads, set.RedirectWait); err != nil {
			s.in.consume(len(req.bytes))
			return ran{router.TargetRefuse, d.Reason, true}, s.explain(err)
		}
		defer s.srv.redirects.leave(set.MaxLeaderReads)
	}
	var a answer
	var err error
	if stmt != nil {
		a, err = s.executeHome(ctx, cmd, req, stmt, false)
	} else {
		a, err = s.queryHome(ctx, req, q, st)
	}
	return ran{router.TargetLeader, d.Reason, err != nil || a.code != 0}, err
}

// queryHome runs the text of a statement on the home connection.
func (s *session) queryHome(ctx context.Context, req *request, q *router.Query, st *router.Statement) (answer, error) {
	switch {
	case st.Verb == router.VerbLockTables:
		s.locks = true
	case st.Verb == router.VerbSetRole, st.Multi && containsFold(q.SQL, "role"):
		s.role = true
	}
	s.foresee(q.SQL, st)
	// The request's bytes are another's when it is answered: only a copy may be
	// looked at then.
	var text []byte
	if notable(st) || st.MayChangeSession {
		text = bytes.Clone(q.SQL)
	}
	if st.AccountAdmin {
		s.srv.changes.Add(1)
		defer s.srv.changes.Add(-1) // when noteAfter has read the accounts again
	}
	if err := s.insertIDKnown(ctx, q.SQL, st); err != nil {
		return s.notRun(req, err)
	}
	err := s.readyHome(ctx, st)
	if mayReady(err) {
		err = s.readyHome(ctx, st)
	}
	if err != nil {
		return s.notRun(req, err)
	}
	f := fateOf(st)
	if st.Verb == router.VerbBegin && !st.Multi && !s.inTransaction() && s.view.Autocommit {
		f = fateNothing
	}
	step := s.toRecord(wire.ComQuery, req, q.SQL, st, nil)
	a, err := s.runHome(ctx, wire.ComQuery, req, st.Class != router.ClassRead, f)
	if a.lost {
		return a, err
	}
	if err == nil {
		s.record(step, &a)
		s.noteChange(st, &a)
		s.noteLast(st, &a)
		s.noteAfter(ctx, text, st, &a)
		s.saw(st, &a)
		if a.code == 0 {
			err = s.askHome(text, st)
		}
		if err == nil && st.Release && a.code == 0 {
			return a, errClientEnd // the server has closed the connection
		}
	}
	return a, err
}

// decide asks the router, with what the session knows now. wait lets it wait for a
// follower.
func (s *session) decide(ctx context.Context, q *router.Query, st *router.Statement, wait bool) router.Decision {
	snap := s.snapshot()
	s.view.Pinned = ""
	if s.place.node != "" && s.followed != snap.Seq {
		s.followed = snap.Seq
		if !s.place.standsAt(snap.Node(s.place.node)) {
			s.releaseFollower() // the name means another server now
		}
	}
	s.view.Pinned = s.place.node
	s.view.Schema = s.state.schema
	s.view.HomeOnly = router.ReasonNone
	switch {
	case s.locks:
		s.view.HomeOnly = router.ReasonLockedTables
	case s.xa:
		s.view.HomeOnly = router.ReasonXA
	case s.state.fixed != "", s.role:
		s.view.HomeOnly = router.ReasonSessionVariable
	}
	set := s.srv.settings.Load()
	s.floor.close(snap)
	s.view.Floor, s.view.FloorOpen = s.floor.at, !s.floor.open.IsZero()
	s.view.Stay = s.place.read
	d := set.Policy.Route(&s.view, st, q, snap)
	if d.Ask && s.raise(ctx) == nil {
		s.floorRaised()
		d = set.Policy.Route(&s.view, st, q, s.snapshot())
	}
	if d.Reason == router.ReasonFloor && wait {
		d = s.catchUp(ctx, set, q, st, d)
	}
	s.view.Asked = false
	s.level = d.Level
	if d.Reason == router.ReasonFloor {
		s.srv.cfg.Topology.Hurry(time.Now().Add(hurry))
		if s.view.Stay && !usable(snap.Node(s.place.node)) {
			s.releaseFollower()
		}
	}
	if d.Target == router.TargetFollower && s.avoid == d.Node.Name && s.avoidSeq == snap.Seq {
		if other := s.elsewhere(snap, s.avoid); other != nil {
			d.Node = other
		} else {
			d.Target, d.Node, d.Reason = router.TargetLeader, snap.Leader, router.ReasonFollowerFailed
		}
	}
	return d
}

// hurry is for how long newer positions are wanted after a read that went to the
// leader for lack of them. The next such read asks again.
const hurry = 100 * time.Millisecond

// usable says whether a follower may be read from at all, apart from what one
// session must see.
func usable(n *topology.Node) bool {
	return n != nil && n.Eligible && n.State == topology.StateUp && n.Role == topology.RoleFollower
}

// errElsewhere says that a statement did not run on its follower, that nothing
// of an answer reached the client, and that it may run on another node.
var errElsewhere = errors.New("run elsewhere")

// runFollower runs a read on a follower. Where the follower cannot, it tries one
// other; errElsewhere then sends the read to the leader, for the reason given.
func (s *session) runFollower(ctx context.Context, cmd wire.Command, req *request, q *router.Query, d router.Decision, stmt *statement) (answer, router.Reason, error) {
	why := router.ReasonFollowerFailed
	for range 2 {
		b, err := s.followerConn(ctx, d.Node)
		switch {
		case errors.Is(err, errStateUnfit):
			why = router.ReasonStateUnfit
			s.releaseFollower() // pinned to it, the session would read from no other
		case errors.Is(err, errRestarted):
			return answer{}, router.ReasonFloor, errElsewhere
		case err != nil && ctx.Err() != nil:
			return answer{}, 0, ctx.Err()
		case err != nil:
			s.logger().Info("no connection to a follower; the read runs elsewhere", "node", d.Node.Name, "err", err)
		default:
			var a answer
			if stmt != nil {
				key := b.stmtKey(stmt, false)
				if b.prepared.find(&key) == nil && !s.sameMeaning(b, stmt) {
					return answer{}, router.ReasonStateUnfit, errElsewhere
				}
				err = s.prepareOn(b, stmt, false)
			}
			if err == nil {
				s.begin(b)
				a, err = s.exchangeRead(b, cmd, req, stmt)
				s.busy.Store(nil)
				b.load.Outstanding.Add(-1)
			}
			if err == nil {
				s.answered()
				s.place.read = true
				if a.code != 0 && refusal(a.code) && d.Reason != router.ReasonReadOnlyTxn {
					s.srv.learn(q) // refused after the first rows went out: the next time it is right
				}
				return a, 0, s.after(b, &a)
			}
			switch reason, fatal := s.readFailed(b, &a, err, q); {
			case fatal != nil:
				return a, 0, fatal
			case reason != router.ReasonNone:
				return a, reason, errElsewhere
			}
		}
		snap := s.snapshot()
		s.avoid, s.avoidSeq = d.Node.Name, snap.Seq
		if d.Node = s.elsewhere(snap, s.avoid); d.Node == nil {
			break
		}
	}
	return answer{}, why, errElsewhere
}

// readFailed sorts out why a read on a follower failed: fatal ends the session, a
// reason sends the read to the leader, neither lets it try another follower.
func (s *session) readFailed(b *backend, a *answer, err error, q *router.Query) (router.Reason, error) {
	var be *backendError
	var refused *wire.Err
	switch {
	case errors.Is(err, errRefused):
		s.srv.learn(q)
		s.logger().Info("a follower refused a statement that looked like a read; it runs on the leader from now on",
			"node", b.node, "code", a.code, "digest", router.DigestText(q.SQL, q.Mode))
		return router.ReasonRefused, nil
	case errors.As(err, &refused): // it could not be prepared there
		return router.ReasonStateUnfit, nil
	case errors.As(err, &be):
		s.dropFollower()
		if s.killed.Load() {
			return 0, errKilled
		}
		if a.forwarded {
			return 0, fmt.Errorf("the follower was lost in the middle of an answer: %w", be)
		}
		s.logger().Info("a follower was lost while it read; the read runs elsewhere", "node", b.node, "err", be)
		return router.ReasonNone, nil
	default:
		return 0, err
	}
}

// exchangeRead sends a request to a follower without giving it up.
func (s *session) exchangeRead(b *backend, cmd wire.Command, req *request, stmt *statement) (answer, error) {
	if stmt == nil {
		return s.exchange(b, cmd, req)
	}
	return s.exchangeStatement(b, cmd, req, stmt, false)
}

// diagnostics runs a statement about the last one where that one ran.
func (s *session) diagnostics(ctx context.Context, cmd wire.Command, req *request) (answer, error) {
	b := s.last
	s.begin(b)
	a, err := s.exchange(b, cmd, req)
	s.done(b)
	if _, ok := errors.AsType[*backendError](err); ok {
		s.dropFollower()
		if a.forwarded {
			return a, err
		}
		return s.runHome(ctx, cmd, req, true, fateUnknown)
	}
	s.answered()
	return a, err
}

// initDB is USE as a command.
func (s *session) initDB(ctx context.Context, req *request) error {
	schema := string(req.payload()[1:])
	if err := s.readyHome(ctx, &router.Statement{MayChangeSession: true}); err != nil {
		_, err := s.notRun(req, err)
		return err
	}
	a, err := s.runHome(ctx, wire.ComInitDB, req, true, fateUnknown)
	if err == nil && a.code == 0 && s.home != nil {
		s.state.use(schema)
		s.home.schema = schema
		s.changed = false
	}
	s.forgetLastAnswer()
	return err
}

// resetConnection forgets the session's state on both sides.
func (s *session) resetConnection(ctx context.Context, req *request) error {
	s.releaseFollower()
	a, err := s.runHome(ctx, wire.ComResetConnection, req, true, fateUnknown)
	if err != nil || a.code != 0 {
		return err
	}
	s.forgetState()
	if s.home == nil {
		return nil
	}
	s.home.prepared.forget()
	if err := s.learnReset(); err != nil {
		return s.lostHome(err, &answer{forwarded: true}, fateUnknown)
	}
	if err := s.home.setUp(s.mariadb()); err != nil {
		return s.lostHome(err, &answer{forwarded: true}, fateUnknown)
	}
	return nil
}

// forgetState drops what the session knows of its state, at a reset.
func (s *session) forgetState() {
	s.stmts.clear()
	s.state.forget()
	s.locks, s.xa = false, false
	s.nailed, s.changed, s.doubtful = false, false, false
	s.insertID.forget()
	s.about = about{}
	s.temps.Reset()
	s.view.Level = router.LevelNone
	s.trackToken = false
	s.asked, s.hidden, s.narrows = nil, false, false
	s.view.TempTables = false
	s.view.LockedTables = false
	info := s.srv.cfg.Server()
	s.tracked.parse(info.TrackedVars)
	s.setSQLMode(info.SQLMode)
	s.setCollation(s.collation)
}

// statementID reads the id of a prepared statement from a command's payload.
func statementID(payload []byte) (uint32, bool) {
	if len(payload) < 5 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(payload[1:]), true
}
