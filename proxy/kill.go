package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// firstID is the least connection id that clients are given. It is beyond the
// thread ids that a server reaches, so that both can be told apart in KILL, and
// positive in 32 bits with a sign.
const firstID = 1 << 30

// askForID is the question by which drivers check what the greeting told them.
var askForID = regexp.MustCompile(`(?is)^\s*SELECT\s+(CONNECTION_ID\s*\(\s*\))\s*;?\s*$`)

// ownID puts the id of the client's greeting, by which others can kill it, in the
// place of the one that the node would answer.
func (s *session) ownID(sql []byte) (string, bool) {
	if len(sql) > 64 {
		return "", false
	}
	m := askForID.FindSubmatch(sql)
	if m == nil {
		return "", false
	}
	return "SELECT " + strconv.FormatUint(uint64(s.id), 10) + " AS `" + string(m[1]) + "`", true
}

// kill runs KILL. Its operand is the id that a client was given in its greeting,
// or the leader's own id, as SHOW PROCESSLIST and CONNECTION_ID() tell it. The
// servers judge who may kill whom: the statement is run as the client's user
// against the thread that works for the victim.
func (s *session) kill(ctx context.Context, req *request, sql []byte, st *router.Statement) error {
	if st.KillOther || st.Multi {
		_, err := s.runHome(ctx, wire.ComQuery, req, true, fateUnknown)
		return err
	}
	victim := s.srv.find(st.KillID)
	if victim == nil {
		_, err := s.runHome(ctx, wire.ComQuery, req, true, fateUnknown)
		return err
	}
	if victim == s {
		return s.killSelf(ctx, req, sql, st)
	}
	sql = bytes.Clone(sql) // the request's bytes are given up before they are used
	s.in.consume(len(req.bytes))
	return s.killVictim(ctx, victim, st.KillID, st.KillQuery, func(thread uint32) string {
		return string(sql[:st.KillSpan.Off]) + strconv.FormatUint(uint64(thread), 10) + string(sql[st.KillSpan.End:])
	})
}

// killSelf is a session that kills itself: the server's answer ends it.
func (s *session) killSelf(ctx context.Context, req *request, sql []byte, st *router.Statement) error {
	b, err := s.homeConn(ctx)
	if err != nil {
		s.in.consume(len(req.bytes))
		return s.explain(err)
	}
	text := string(sql[:st.KillSpan.Off]) + strconv.FormatUint(uint64(b.threadID), 10) + string(sql[st.KillSpan.End:])
	s.in.consume(len(req.bytes))
	own := s.ownQuery(text)
	if _, err := s.runHome(ctx, wire.ComQuery, &own, true, fateUnknown); err != nil {
		return err
	}
	if !st.KillQuery {
		return errKilled
	}
	return nil
}

// ownQuery makes a request of our own text.
func (s *session) ownQuery(text string) request {
	return request{bytes: appendCommand(nil, wire.ComQuery, s.caps, text), whole: true, own: true}
}

// killVictim has the servers kill what works for the victim, and answers the client.
func (s *session) killVictim(ctx context.Context, victim *session, id uint64, query bool, statement func(thread uint32) string) error {
	if b := victim.busy.Load(); b != nil && b.follower && b.hold(victim) {
		// It runs on a follower: the same user asks that follower. The victim must
		// know before, for it would run its read elsewhere.
		if !query {
			victim.killed.Store(true)
		}
		err := s.killOnFollower(ctx, b, statement(b.threadID))
		s.srv.unhold(b)
		if err != nil {
			victim.killed.Store(false)
			return s.explain(err)
		}
		if !query { // its end closes what it has on the leader, which a KILL there might not find any more
			victim.end()
		}
		return s.ok()
	}
	// Held, the connection remains the victim's until it is done: what another session
	// runs is not killed.
	var thread uint32
	if b := victim.homeNow.Load(); b != nil && b.hold(victim) {
		defer s.srv.unhold(b)
		thread = b.threadID
	}
	if thread == 0 { // nothing of it is on the leader: whose session it is decides
		if p := victim.public.Load(); p == nil || p.user != s.user {
			switch may, err := s.killsAll(ctx); {
			case err != nil:
				return s.explain(err)
			case !may:
				return s.fail(wire.ErKillDenied, "HY000", "You are not owner of thread "+strconv.FormatUint(id, 10))
			}
		}
		if !query {
			victim.end()
		}
		return s.ok()
	}
	own := s.ownQuery(statement(thread))
	if !query {
		victim.killed.Store(true)
	}
	a, err := s.runHome(ctx, wire.ComQuery, &own, true, fateUnknown)
	if err != nil {
		return err
	}
	switch {
	case a.code != 0:
		victim.killed.Store(false)
	case !query:
		victim.end()
	}
	return nil
}

// unhold ends a hold. Somebody may wait for what could not be taken meanwhile.
func (srv *Server) unhold(b *backend) {
	b.unhold()
	if p := srv.pools.of(b.node); p.wanted() {
		p.look()
	}
}

// killsAll asks the leader whether the client may kill the sessions of others.
func (s *session) killsAll(ctx context.Context) (bool, error) {
	b, err := s.homeConn(ctx)
	if err != nil {
		return false, err
	}
	count, err := b.queryText("SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES" +
		" WHERE PRIVILEGE_TYPE IN ('SUPER', 'CONNECTION ADMIN', 'CONNECTION_ADMIN')" +
		" AND GRANTEE = CONCAT('\\'', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '\\'@\\'', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '\\'')")
	return count != "" && count != "0", err
}

// end closes a session that was killed.
func (s *session) end() {
	s.killed.Store(true)
	s.cancel() // it may wait for a connection, or for a leader
	_ = s.socket.SetReadDeadline(time.Unix(1, 0))
}

// killOnFollower runs KILL on a follower as the client's user, on a connection
// of its own: the one that the session holds may be busy with nothing, but may
// also be to another follower.
func (s *session) killOnFollower(ctx context.Context, running *backend, statement string) error {
	node := s.snapshot().Node(running.node)
	if node == nil {
		return errNoLeader
	}
	b, err := s.connect(ctx, node, true)
	if err != nil {
		return err
	}
	defer s.giveBack(b)
	_, err = b.command(wire.ComQuery, statement)
	return err
}

// processKill is COM_PROCESS_KILL: KILL CONNECTION with a thread id of 32 bits.
func (s *session) processKill(ctx context.Context, req *request) error {
	payload := req.payload()
	if len(payload) < 5 {
		s.in.consume(len(req.bytes))
		return s.fail(wire.ErUnknownCom, "08S01", "Unknown command")
	}
	id := uint64(binary.LittleEndian.Uint32(payload[1:]))
	victim := s.srv.find(id)
	if victim == nil {
		return s.toHome(ctx, wire.ComProcessKill, req)
	}
	s.in.consume(len(req.bytes))
	if victim == s {
		b, err := s.homeConn(ctx)
		if err != nil {
			return s.explain(err)
		}
		own := s.ownQuery("KILL " + strconv.FormatUint(uint64(b.threadID), 10))
		if _, err := s.runHome(ctx, wire.ComQuery, &own, true, fateUnknown); err != nil {
			return err
		}
		return errKilled
	}
	return s.killVictim(ctx, victim, id, false, func(thread uint32) string {
		return "KILL " + strconv.FormatUint(uint64(thread), 10)
	})
}

// killAbandoned ends the statement of a client that is gone, with Bellwether's
// own account.
func (srv *Server) killAbandoned(ctx context.Context, s *session, b *backend) {
	node := srv.cfg.Topology.Load().Node(b.node)
	if node == nil || !b.hold(s) {
		return
	}
	defer srv.unhold(b)
	if err := srv.runAsSelf(ctx, node, "KILL QUERY "+strconv.FormatUint(uint64(b.threadID), 10)); err != nil {
		s.logger().Warn("the statement of a client that is gone could not be killed", "node", b.node, "err", err)
		return
	}
	srv.metrics.abandoned.Add(1)
	s.logger().Info("killed the statement of a client that is gone", "node", b.node, "thread", b.threadID)
}

// runAsSelf runs one statement on a node with Bellwether's own account.
func (srv *Server) runAsSelf(ctx context.Context, node *topology.Node, statement string) error {
	b, err := srv.dialAsSelf(ctx, node)
	if err != nil {
		return err
	}
	defer b.quit()
	_ = b.conn.SetDeadline(time.Now().Add(srv.settings.Load().ConnectTimeout))
	_, err = b.command(wire.ComQuery, statement)
	var e *wire.Err
	if errors.As(err, &e) && e.Code == wire.ErNoSuchThread {
		return nil // it ended by itself
	}
	return err
}

// dialAsSelf logs in to a node with Bellwether's own account.
func (srv *Server) dialAsSelf(ctx context.Context, node *topology.Node) (*backend, error) {
	set := srv.settings.Load()
	spec := &dialSpec{
		node: node, cred: passwordCredential(set.Probe.Name, set.Probe.Password),
		caps:      wire.ClientProtocol41 | wire.ClientLongFlag | wire.ClientSecureConnection,
		collation: 45, maxPacket: 16 << 20, // utf8mb4_general_ci
		mode: set.NodeTLS, tls: nodeTLS(set, node), timeout: set.ConnectTimeout,
	}
	if set.SendProxy != 0 {
		spec.proxyHdr = localProxyHeader(set.SendProxy)
	}
	b, greeting, err := dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	srv.offers.learn(node.Name, greeting)
	return b, nil
}
