package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// session is one client. Everything in it belongs to the client's goroutine but
// for the fields that say otherwise.
type session struct {
	srv *Server
	id  uint32

	conn   net.Conn        // the client's packets, under TLS and compression
	socket net.Conn        // the client's socket
	raw    syscall.RawConn // of socket
	local  bool            // the client came by the unix socket
	secure bool            // the client came by TLS or the unix socket
	addr   netip.AddrPort  // the client's address, as a PROXY header gives it where there is one
	in     input

	compressed *wire.CompressedConn // conn, where the client compresses

	caps      wire.Capability // negotiated with the client, and asked of the nodes
	collation byte
	attrs     []byte
	maxPacket uint32
	salt      []byte
	user      string
	account   *accounts.Account
	cred      *credential
	secret    string // fingerprint of cred, and of all rights at the login
	since     time.Time
	counted   string // the user under whom the session is counted
	waiting   bool   // not authenticated yet; guarded by the server's mu

	home     *backend // the leader's, nil while not needed
	follower *backend // at most one
	last     *backend // the one that ran the last statement: its diagnostics are there
	followed uint64   // the snapshot by which follower was last checked
	avoid    string   // a follower that failed this session, until the topology changes
	avoidSeq uint64   // the snapshot in which it failed
	unfit    []unfit  // followers to which this session's state could not be brought

	held        int  // bytes of the request under way, still in the buffer
	cursor      byte // the flags of the COM_STMT_EXECUTE under way
	scanner     wire.Scanner
	scratch     []byte // for packets that are rewritten
	kept        []byte // for session state that is filtered
	mode        router.Mode
	view        router.SessionView
	state       sessionState
	floor       floor
	reign       uint64       // the epoch whose leader is known to have the floor; see newReign
	level       router.Level // of the statement under way
	shareKey    string       // of the hint session=key, while the statement or its transaction runs
	taken       string       // the token that was last taken
	status      uint16       // the server status last told to the client
	tracked     trackList
	trackToken  bool            // the client is told of its token, see tellToken
	asked       map[string]bool // variables that statements named as @@name, see ask
	retrack     bool            // the client changed what is tracked: ask for everything again
	stateBefore uint64          // the version of state before the statement under way
	narrows     bool            // a text may narrow session_track_system_variables, see askTracked
	stmts       statements
	temps       router.TempTables
	hidden      bool // a text that may run later, unseen, makes temporary tables
	xa          bool // an XA transaction is open on the home connection
	role        bool // SET ROLE ran on the home connection: followers have the default role, and no reset brings it back
	locks       bool // LOCK TABLES, or FLUSH TABLES WITH READ LOCK, holds

	nailed          bool       // something is on the home connection that no other can be given, see boundHome
	replay          *recording // of the transaction under way; nil: it is not run again
	doubtful        bool       // a statement failed in a transaction: the server may have ended that
	insertID        insertID   // of the home connection
	needsID         bool       // the command under way may ask for it, see insertIDKnown
	lostAt          time.Time  // when a home connection was last lost under a read, see retryHome
	homeOffered     bool       // the home connection has been offered to others
	followerOffered bool       // the follower's connection has been
	begun           bool       // the login was answered
	changed         bool       // an answer told of a change that no variable tells
	wantClean       bool       // the next home connection is to be reset: the statement asks about the last
	about           about      // the last statement
	place           place      // the follower that the session reads from

	working atomic.Bool             // something is under way on the leader; read by Working
	public  atomic.Pointer[public]  // what others may know
	busy    atomic.Pointer[backend] // the backend that is executing; read by KILL and the watcher
	homeNow atomic.Pointer[backend] // home; read by the watcher
	stale   atomic.Bool             // the server has closed the home connection of an idle session
	homeID  atomic.Uint32           // thread id of the home connection; read by KILL
	turn    atomic.Uint64           // number of the statement; read by the watcher
	killed  atomic.Bool             // set by KILL
	cancel  context.CancelFunc      // ends what it waits for, for good
	ending  atomic.Bool             // the server shuts down: end when idle
	idle    atomic.Bool             // waiting for the client with nothing open; read by the drain
}

var (
	errKilled = errors.New("session was killed")
	errStale  = errors.New("the leader has closed the session's connection")
)

// logger names the session. It is made when there is something to say, for most
// sessions have nothing.
func (s *session) logger() *slog.Logger {
	l := s.srv.log.With("conn", s.id, "client", s.addr.String())
	if p := s.public.Load(); p != nil {
		l = l.With("user", p.user)
	}
	return l
}

// serve runs a session that has been greeted to its end.
func (s *session) serve(ctx context.Context) {
	defer s.finish()
	s.srv.entered(s)
	s.srv.metrics.open.Add(1)
	defer s.srv.metrics.open.Add(-1)
	err := s.loop(ctx)
	switch {
	case errors.Is(err, errKilled), errors.Is(err, context.Canceled) && s.killed.Load():
		s.logger().Info("session killed")
	case err == nil, errors.Is(err, errClientEnd):
		if s.srv.log.Enabled(ctx, slog.LevelDebug) {
			s.logger().Debug("session ended")
		}
	default:
		s.logger().Info("session ended", "err", err)
	}
}

// loop reads one command after the other and answers it.
func (s *session) loop(ctx context.Context) error {
	for {
		s.leaveLeader()
		s.rest()
		if s.ending.Load() && !s.inTransaction() {
			return nil
		}
		set := s.srv.settings.Load()
		if set.IdleTimeout > 0 && s.in.r == s.in.w {
			_ = s.socket.SetReadDeadline(time.Now().Add(set.IdleTimeout))
		}
		if s.compressed != nil {
			s.compressed.ResetSeq()
		}
		s.idle.Store(!s.inTransaction())
		req, err := s.in.next(s.conn, max(set.RetryBuffer, smallBuffer), set.MaxPacket)
		s.idle.Store(false)
		if err != nil {
			return s.inputError(err)
		}
		s.turn.Add(1)
		s.needsID = false
		if err := s.dispatch(ctx, &req); err != nil {
			return err
		}
		if s.killed.Load() {
			return errKilled
		}
	}
}

// inputError ends a session whose next command could not be read, telling the
// client why where that can be.
func (s *session) inputError(err error) error {
	switch {
	case s.killed.Load():
		return errKilled
	case s.ending.Load():
		return nil
	case s.stale.Load():
		return errStale
	case errors.Is(err, errSequence):
		_ = s.fail(wire.ErNetPacketsOutOfOrder, "08S01", "Got packets out of order")
	case errors.Is(err, errTooLarge):
		_ = s.fail(wire.ErNetPacketTooLarge, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
	case errors.Is(err, errEmpty):
		_ = s.fail(wire.ErUnknown, "HY000", "Malformed communication packet")
	case isTimeout(err):
		_ = s.fail(wire.ErMySQLClientInteractionTmo, "HY000",
			"The client was disconnected by the server because of inactivity.")
	default:
		return errClientEnd
	}
	return err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// finish gives back all that the session holds.
func (s *session) finish() {
	s.stmts.clear()
	s.releaseHome()
	s.releaseFollower()
	_ = s.socket.Close()
	s.in.consume(s.in.w - s.in.r)
}

func (s *session) inTransaction() bool {
	return wire.Status(s.status).Has(wire.StatusInTrans)
}

// reply sends one packet of our own.
func (s *session) reply(pkt []byte) error {
	_, err := s.conn.Write(pkt)
	return err
}

// fail answers the command with an error of our own.
func (s *session) fail(code uint16, state, message string) error {
	e := wire.Err{Code: code, State: state, Message: message}
	s.scratch = wire.AppendErr(s.scratch[:0], 1, &e, s.caps|wire.ClientProtocol41)
	return s.reply(s.scratch)
}

// ok answers the command with a plain OK of our own.
func (s *session) ok() error {
	ok := wire.OK{Status: wire.Status(s.status &^ uint16(wire.StatusSessionStateChange))}
	s.scratch = wire.AppendOK(s.scratch[:0], 1, &ok, s.caps)
	return s.reply(s.scratch)
}

// after takes over what an answer of the home connection tells of the session.
func (s *session) after(b *backend, a *answer) error {
	s.last = b
	if b.follower {
		return nil
	}
	if a.code == 0 {
		s.status = a.status
	}
	s.view.InTransaction = s.inTransaction()
	s.view.Autocommit = s.status&uint16(wire.StatusAutocommit) != 0
	switch {
	case a.code != 0:
		s.doubtful = s.doubtful || s.inTransaction() || !s.view.Autocommit
	case a.told:
		s.doubtful = false
	}
	if s.retrack {
		err := s.trackAgain(b)
		if s.retrack = mustChange(err); err != nil && !s.retrack {
			return s.lostHome(err, &answer{forwarded: true}, fateUnknown)
		}
	}
	return nil
}

// view of the cluster: one snapshot for a whole statement.
func (s *session) snapshot() *topology.Snapshot { return s.srv.cfg.Topology.Load() }
