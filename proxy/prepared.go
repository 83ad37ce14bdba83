package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// lastPrepared is the statement id by which MariaDB's clients name the statement
// that they prepared last, to execute it without waiting for its id.
// https://mariadb.com/kb/en/com_stmt_execute/
const lastPrepared = 0xffffffff

// statement is a prepared statement of the client.
type statement struct {
	id     uint32 // the client's
	sql    []byte
	schema string           // the session's when it was prepared: names in sql mean what they meant then
	query  router.Query     // of sql, with its digest
	class  router.Statement // as classified with cat
	cat    *router.Catalog  // what was known of routines and views then
	params int
	print  string      // of the session's variables then
	shared stmtKey     // by which it is found on shared connections; made at the first need
	types  string      // the parameter types that the client bound last, as sent
	long   bool        // long data was sent: the next execution belongs to the home connection
	own    *router.Own // about Bellwether's own variables: no server knows it
	cursor bool        // a cursor may be open, on the home connection
}

// statements are the prepared statements of a session. The client's ids count up
// from one, as a server's do.
type statements struct {
	byID    map[uint32]*statement
	lastID  uint32
	pending *statement // being prepared

	outdated   bool // the answer of session.outdated, while outdatedAt is the same
	outdatedAt outdatedAt
}

func (st *statements) clear() { *st = statements{} }

// find returns the statement of a command's payload, nil where there is none.
func (st *statements) find(payload []byte) *statement {
	id, ok := statementID(payload)
	if !ok {
		return nil
	}
	if id == lastPrepared {
		id = st.lastID
	}
	return st.byID[id]
}

// prepare runs COM_STMT_PREPARE on the leader: the client learns the statement's
// shape from the one node that is never behind. Followers prepare it when they
// first execute it.
func (s *session) prepare(ctx context.Context, req *request) error {
	s.stmts.pending = &statement{id: s.stmts.lastID + 1}
	if req.whole {
		sql := req.payload()[1:]
		p := s.stmts.pending
		p.sql = append([]byte(nil), sql...)
		p.schema, p.print = s.state.schema, s.state.current(true).print
		p.query = router.Query{SQL: p.sql, Mode: s.mode}
		p.classify(s.srv.cfg.Routines())
	}
	s.nailed = s.nailed || !req.whole // its text is on the server only
	if p := s.stmts.pending; req.whole {
		if o := s.ownStatement(p.sql, &p.class); o != nil {
			s.stmts.pending = nil
			s.in.consume(len(req.bytes))
			return s.prepareOwn(o)
		}
	}
	_, err := s.runHome(ctx, wire.ComStmtPrepare, req, false, fateNothing)
	s.stmts.pending = nil
	s.forgetLastAnswer()
	return err
}

// key names the statement on a connection. own: rows, or parts of parameters, wait in
// it, or are about to.
func (b *backend) stmtKey(p *statement, own bool) stmtKey {
	if own || !b.key.shared || p.sql == nil {
		return stmtKey{id: p.id}
	}
	if p.shared.text == "" {
		p.shared = stmtKey{text: string(p.sql), schema: p.schema, print: p.print}
	}
	return p.shared
}

// inspectPrepared gives a statement that was prepared the client's own id for it.
func (s *session) inspectPrepared(b *backend, pkt []byte, a *answer) []byte {
	p := s.stmts.pending
	if p == nil || wire.DecodeStmtPrepareOK(pkt[wire.HeaderLen:], b.caps, &a.stmt) != nil {
		return nil
	}
	p.params = int(a.stmt.Params)
	if s.stmts.byID == nil {
		s.stmts.byID = make(map[uint32]*statement)
	}
	s.stmts.byID[p.id] = p
	s.stmts.lastID = p.id
	b.remember(p, a.stmt.ID, false)
	binary.LittleEndian.PutUint32(pkt[wire.HeaderLen+1:], p.id)
	return nil
}

// remember notes that a statement is prepared here. One of the same text is closed.
func (b *backend) remember(p *statement, id uint32, own bool) {
	key := b.stmtKey(p, own)
	b.closeStatements(b.prepared.add(&key, id))
	b.owes = true
}

// unknownStatement is the server's message for a statement id that it does not know.
func unknownStatement(id uint32, call string) string {
	return fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", id, call)
}

// classify classifies the statement anew where more is known of routines and views
// than when that was done last: a function may be another one by now.
func (p *statement) classify(cat *router.Catalog) {
	if p.class.Verb == router.VerbUnknown || p.cat != cat {
		p.class, p.cat = router.Classify(p.sql, p.query.Mode, cat), cat
	}
}

// statementCall is the name by which the server's messages call a command.
func statementCall(cmd wire.Command) string {
	switch cmd {
	case wire.ComStmtFetch:
		return "mysqld_stmt_fetch"
	case wire.ComStmtReset:
		return "mysqld_stmt_reset"
	case wire.ComStmtBulkExecute:
		return "mysqld_stmt_bulk_execute"
	default:
		return "mysqld_stmt_execute"
	}
}

// execute routes and runs COM_STMT_EXECUTE.
func (s *session) execute(ctx context.Context, req *request) error {
	p := s.stmts.find(req.payload())
	if p == nil {
		if err := s.skip(req); err != nil {
			return err
		}
		id, _ := statementID(req.payload())
		return s.fail(wire.ErUnknownStmtHandler, "HY000", unknownStatement(id, "mysqld_stmt_execute"))
	}
	if p.own != nil {
		if err := s.skip(req); err != nil {
			return err
		}
		return s.own(ctx, p.own, true)
	}
	if p.sql != nil {
		p.classify(s.srv.cfg.Routines())
	}
	s.cursor, _ = wire.StmtExecuteFlags(req.payload())
	p.cursor = s.cursor&cursorFlags != 0
	s.bound(req, p)
	if !req.whole || p.sql == nil || p.long || p.cursor {
		own := p.long || p.cursor
		p.long = false
		if !req.whole && s.unbound(req, p, own) {
			if err := s.skip(req); err != nil {
				return err
			}
			return s.fail(wire.ErUnknown, "HY000", "Bellwether: an execution of this size must bind the types of its parameters")
		}
		if e := s.hinted(ctx, &p.class.Hint); e != nil {
			if err := s.skip(req); err != nil {
				return err
			}
			return s.fail(e.Code, e.State, e.Message)
		}
		defer s.share(&p.class.Hint)()
		s.srv.metrics.count(router.TargetLeader, router.ReasonOpenCursor)
		_, err := s.executeHome(ctx, wire.ComStmtExecute, req, p, own)
		return err
	}
	return s.route(ctx, wire.ComStmtExecute, req, &p.query, &p.class, p)
}

// unbound says whether an execution that is too long to be rewritten relies on
// types that the home connection was never told, because those before it ran on a
// follower.
func (s *session) unbound(req *request, p *statement, own bool) bool {
	at, _, ok := s.parameters(req.payload(), p)
	if !ok || req.payload()[at] != 0 {
		return false
	}
	s.claimHome()
	if s.home == nil {
		return true
	}
	key := s.home.stmtKey(p, own)
	here := s.home.prepared.find(&key)
	return here == nil || here.types != p.types
}

// cursorFlags are the bits of COM_STMT_EXECUTE's flags that ask for a cursor.
// https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html enum_cursor_type
const cursorFlags = 0x07

// executeHome runs a command about a statement on the home connection; own as in
// [backend.stmtKey].
func (s *session) executeHome(ctx context.Context, cmd wire.Command, req *request, p *statement, own bool) (answer, error) {
	if p.class.AccountAdmin {
		s.srv.changes.Add(1)
		defer s.srv.changes.Add(-1)
	}
	f := fateUnknown
	if (cmd == wire.ComStmtExecute || cmd == wire.ComStmtBulkExecute) && !own && p.sql != nil {
		f = fateOf(&p.class)
	}
	var step *replayStep
	if f != fateUnknown || s.replay != nil {
		step = s.toRecord(cmd, req, p.sql, &p.class, p)
	}
	if own || p.cursor || p.long || cmd != wire.ComStmtExecute {
		step = nil
	}
	a, err := s.runStatement(ctx, cmd, req, p, own, f)
	if err != nil || a.lost {
		return a, err
	}
	s.noteChange(&p.class, &a)
	s.noteAfter(ctx, p.sql, &p.class, &a)
	if cmd == wire.ComStmtExecute && !own {
		s.noteLast(&p.class, &a)
	} else {
		s.forgetLastAnswer()
	}
	if cmd == wire.ComStmtExecute {
		s.saw(&p.class, &a)
		if err := s.askHome(p.sql, &p.class); err != nil {
			return a, err
		}
	}
	err = s.after(s.home, &a)
	s.record(step, &a)
	return a, err
}

// readyStatement returns a home connection on which the statement is prepared. The error
// is for explain; nothing has been executed.
func (s *session) readyStatement(ctx context.Context, p *statement, own bool) (*backend, error) {
	if err := s.insertIDKnown(ctx, p.sql, &p.class); err != nil {
		return nil, err
	}
	b, err := s.homeConn(ctx)
	if err != nil {
		return nil, err
	}
	err = s.prepareOn(b, p, own)
	if err == nil && p.class.MayChangeSession {
		err = s.prepareAll(b)
	}
	if err == nil {
		err = s.settleChange(b, &p.class)
	}
	if _, refused := errors.AsType[*wire.Err](err); err != nil && !refused {
		return nil, s.unprepared(err)
	}
	return b, err
}

// runStatement runs a command about a statement on the home connection and relays the
// answer; again, as runHome does, where it only reads by f.
func (s *session) runStatement(ctx context.Context, cmd wire.Command, req *request, p *statement, own bool, f fate) (answer, error) {
	for tried := false; ; tried = true {
		b, err := s.readyStatement(ctx, p, own)
		if mayReady(err) && !tried && !own {
			continue
		}
		if err != nil {
			return s.notRun(req, err)
		}
		b.dirty = true
		s.foresee(p.sql, &p.class)
		s.nailed = s.nailed || p.sql == nil
		s.begin(b)
		a, err := s.exchangeStatement(b, cmd, req, p, own)
		s.done(b)
		if be, lost := errors.AsType[*backendError](err); lost {
			again, err := s.lostUnder(ctx, be, req, &a, f, tried)
			if again {
				continue
			}
			return a, err
		}
		s.answered()
		return a, err
	}
}

// sameMeaning says whether preparing the statement on b now gives what it gave first.
func (s *session) sameMeaning(b *backend, p *statement) bool {
	return p.schema == s.state.schema && p.query.Mode == s.mode && (!b.key.shared || p.print == s.state.current(true).print)
}

// prepareAll prepares all statements of the session on a shared home connection before
// the session's state may change: they mean what they meant when the client prepared them.
func (s *session) prepareAll(b *backend) error {
	if !b.key.shared {
		return nil
	}
	for _, p := range s.stmts.byID {
		err := s.prepareOn(b, p, false)
		if _, refused := errors.AsType[*wire.Err](err); err != nil && !refused {
			return err
		}
	}
	return nil
}

// prepareOn prepares the statement on a connection that does not know it yet.
func (s *session) prepareOn(b *backend, p *statement, own bool) error {
	key := b.stmtKey(p, own)
	if b.prepared.find(&key) != nil {
		return nil
	}
	if p.sql == nil { // it was there and nowhere else
		return wire.NewErr(wire.ErUnknownStmtHandler, "%s", unknownStatement(p.id, "mysqld_stmt_execute"))
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	if _, err := b.conn.Write(appendCommand(nil, wire.ComStmtPrepare, b.caps, string(p.sql))); err != nil {
		b.broken = true
		return &backendError{err}
	}
	prep, err := b.discardAnswer(&s.scanner, wire.ComStmtPrepare)
	if err != nil {
		if _, ok := errors.AsType[*wire.Err](err); ok {
			return err
		}
		return &backendError{err}
	}
	b.remember(p, prep.ID, own)
	return nil
}

// exchangeStatement sends a command about a statement under the id that the node
// knows it by, and relays the answer.
func (s *session) exchangeStatement(b *backend, cmd wire.Command, req *request, p *statement, own bool) (answer, error) {
	key := b.stmtKey(p, own)
	here := b.prepared.find(&key)
	payload := req.payload()
	binary.LittleEndian.PutUint32(payload[1:], here.id)
	if b.key.shared && !own && cmd == wire.ComStmtExecute {
		// An execution ends what waits in the statement.
		b.closeStatements(b.prepared.remove(&stmtKey{id: p.id}))
	}
	if cmd == wire.ComStmtBulkExecute {
		here.types = "" // it binds types of its own
	}
	if cmd == wire.ComStmtExecute && here.types != p.types {
		here.types = p.types
		if full, ok := s.withTypes(req, p); ok && req.whole {
			if !req.own {
				s.held = len(req.bytes)
			}
			return s.relay(b, cmd, full)
		}
	}
	return s.exchange(b, cmd, req)
}

// parameters finds the null bitmap's end in COM_STMT_EXECUTE: the offset of the
// byte new-params-bound, and the number of parameters. ok is false where the
// statement has none or the packet is not understood.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
func (s *session) parameters(payload []byte, p *statement) (bound, n int, ok bool) {
	const fixed = 10 // command, id, flags, iteration count
	if len(payload) < fixed {
		return 0, 0, false
	}
	n = p.params
	at := fixed
	if s.caps&wire.ClientQueryAttributes != 0 && payload[5]&parameterCountAvailable != 0 {
		v, size := wire.LenencInt(payload[at:])
		if size == 0 || v > 1<<16 {
			return 0, 0, false
		}
		n = int(v)
		at += size
	}
	if n == 0 {
		return 0, 0, false
	}
	at += (n + 7) / 8
	if at >= len(payload) {
		return 0, 0, false
	}
	return at, n, true
}

// parameterCountAvailable is PARAMETER_COUNT_AVAILABLE of COM_STMT_EXECUTE's flags.
const parameterCountAvailable = 0x08

// bound remembers the parameter types that the client binds.
func (s *session) bound(req *request, p *statement) {
	payload := req.payload()
	at, n, ok := s.parameters(payload, p)
	if !ok || payload[at] != 1 {
		return
	}
	end := s.typesEnd(payload, at+1, n)
	if end < 0 {
		return
	}
	if types := payload[at+1 : end]; string(types) != p.types {
		p.types = string(types)
	}
}

// typesEnd walks the parameter types, which bear names where query attributes
// were negotiated. It returns -1 where they are cut short.
func (s *session) typesEnd(payload []byte, at, n int) int {
	if s.caps&wire.ClientQueryAttributes == 0 {
		if at += 2 * n; at > len(payload) {
			return -1
		}
		return at
	}
	for range n {
		if at += 2; at > len(payload) {
			return -1
		}
		v, size := wire.LenencInt(payload[at:])
		if size == 0 || v > uint64(len(payload)-at-size) {
			return -1
		}
		at += size + int(v)
	}
	return at
}

// withTypes rewrites an execution that relies on types bound earlier, for a
// connection that was not told them.
func (s *session) withTypes(req *request, p *statement) ([]byte, bool) {
	payload := req.payload()
	at, _, ok := s.parameters(payload, p)
	if !ok || payload[at] != 0 || len(p.types) == 0 {
		return nil, false
	}
	out := make([]byte, wire.HeaderLen, len(req.bytes)+len(p.types))
	out = append(out, payload[:at]...)
	out = append(out, 1)
	out = append(out, p.types...)
	out = append(out, payload[at+1:]...)
	if len(out)-wire.HeaderLen >= wire.MaxPayload {
		return nil, false
	}
	wire.PutHeader(out, len(out)-wire.HeaderLen, 0)
	return out, true
}

// onStatement runs the commands about a statement that belong to the home
// connection: long data, cursors, bulk execution.
func (s *session) onStatement(ctx context.Context, cmd wire.Command, req *request) error {
	p := s.stmts.find(req.payload())
	if p == nil {
		if err := s.skip(req); err != nil {
			return err
		}
		if cmd == wire.ComStmtSendLongData {
			return nil // it has no answer, not even an error
		}
		id, _ := statementID(req.payload())
		return s.fail(wire.ErUnknownStmtHandler, "HY000", unknownStatement(id, statementCall(cmd)))
	}
	if p.own != nil {
		return s.onOwn(cmd, req)
	}
	if cmd == wire.ComStmtSendLongData {
		return s.longData(ctx, req, p)
	}
	own := p.cursor || p.long || cmd == wire.ComStmtFetch
	if cmd == wire.ComStmtReset {
		p.long, p.cursor = false, false
	}
	_, err := s.executeHome(ctx, cmd, req, p, own)
	return err
}

// longData forwards a piece of a parameter; there is no answer.
func (s *session) longData(ctx context.Context, req *request, p *statement) error {
	b, err := s.homeConn(ctx)
	if err == nil {
		err = s.prepareOn(b, p, true)
	}
	switch _, refused := errors.AsType[*wire.Err](err); {
	case err == nil:
	case refused:
		s.logger().Warn("long data cannot be delivered", "err", err)
		return s.skip(req)
	default:
		return err // there is no answer by which the client could be told
	}
	p.long = true
	b.dirty = true
	key := b.stmtKey(p, true)
	binary.LittleEndian.PutUint32(req.payload()[1:], b.prepared.find(&key).id)
	if _, err := b.conn.Write(req.bytes); err != nil {
		return s.lostHome(&backendError{err}, &answer{forwarded: true}, fateUnknown)
	}
	if !req.whole {
		if err := s.in.passOn(s.conn, b.conn, req, s.srv.settings.Load().MaxPacket); err != nil {
			b.broken = true
			return err
		}
		return nil
	}
	s.in.consume(len(req.bytes))
	return nil
}

// closeStatement forgets a statement wherever it is prepared; there is no answer.
func (s *session) closeStatement(req *request) error {
	p := s.stmts.find(req.payload())
	s.in.consume(len(req.bytes))
	if p == nil {
		return nil
	}
	delete(s.stmts.byID, p.id)
	s.claimHome()
	s.claimFollower()
	for _, b := range []*backend{s.home, s.follower} {
		if b != nil { // what is shared stays for others
			b.closeStatements(b.prepared.remove(&stmtKey{id: p.id}))
		}
	}
	return nil
}
