package proxy

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// When the leader is lost, a session goes on with the next one, unless something was
// on the old one that no other can be given. What is known of the statement under way
// decides what its client is told: a read runs again; a transaction that did not
// reach its commit is rolled back for certain, and gets the error that drivers run
// it again for; of anything else it is not known whether it took effect.

// fate is what a statement can have done when its connection breaks.
type fate uint8

const (
	fateUnknown  fate = iota // it may have committed something
	fateNothing              // it only reads
	fateInternal             // it changes rows, and commits nothing by itself
)

// fateOf foresees it. Whatever may commit on its own, or cannot be seen through,
// is unknown.
func fateOf(st *router.Statement) fate {
	if st.Multi || st.Opaque {
		return fateUnknown
	}
	if st.Class == router.ClassRead && !st.MayChangeSession {
		return fateNothing
	}
	switch st.Verb {
	case router.VerbInsert, router.VerbUpdate, router.VerbDelete, router.VerbReplace, router.VerbSelect, router.VerbSavepoint, router.VerbRollback:
		return fateInternal
	}
	return fateUnknown
}

var (
	errTransactionLost    = errors.New("the leader was lost, and the transaction with it, which was rolled back")
	errTransactionUnknown = errors.New("the leader was lost; whether the transaction in which the last statement failed had ended before, by a commit or a rollback, is unknown")
)

// unfinished says whether what the statement under way changed was still to be
// committed by another one. After an error it is not known whether the server ended the
// transaction, as it does at a deadlock and before DDL: an error tells no status.
func (s *session) unfinished() bool {
	return (s.inTransaction() || !s.view.Autocommit) && !s.doubtful
}

// boundHome says whether the home connection has something beside a transaction that no
// other connection can be given.
func (s *session) boundHome() bool {
	return s.nailed || s.locks || s.xa || s.role || s.hidden || s.view.TempTables || s.retrack ||
		s.state.fixed != "" || s.state.unmoved != "" || s.openCursor()
}

// lossOf is what the loss of the home connection b means to a session that has nothing
// under way there, nil for nothing.
func (s *session) lossOf(b *backend) error {
	switch {
	case b.dirty && (s.boundHome() || s.outdated()):
		return errLeaderLeft
	case s.inTransaction() && s.doubtful:
		return errTransactionUnknown
	case s.inTransaction():
		return errTransactionLost
	}
	return nil
}

// leaveHome gives up a home connection that is no longer the leader's, or dead. The
// error is what the client must be told instead of running its statement.
func (s *session) leaveHome(b *backend) error {
	loss := s.lossOf(b)
	if loss == nil && b.dirty && s.keepInsertID(b) {
		s.dropHome()
		return nil
	}
	s.abandonHome()
	return loss
}

// abandonHome gives the home connection up, and with it the transaction; the session
// goes on elsewhere.
func (s *session) abandonHome() {
	if b := s.home; b != nil {
		s.wasTaken(b) // what asks about the last statement there gets no stranger's answer
		s.dropHome()
	}
	s.insertID.lose()
	s.status &^= uint16(wire.StatusInTrans | wire.StatusInTransReadonly)
	s.view.InTransaction = false
	s.doubtful = false
}

// lostHome is called when the home connection failed while it was at work. It tells
// the client what is known, where its packets are still in order: not in the middle of
// an answer, which only the end of the connection can end. The session ends where its
// state is gone.
func (s *session) lostHome(cause error, a *answer, f fate) error {
	bound := s.boundHome() || s.home != nil && s.outdated()
	unfinished, nothing := s.unfinished(), f == fateNothing && !s.inTransaction()
	s.abandonHome()
	s.replay = nil
	a.lost = true
	s.noteLost()
	if s.killed.Load() || a.forwarded {
		return cause
	}
	s.logger().Info("the connection to the leader was lost while a statement ran", "err", cause, "session_goes_on", !bound)
	a.code = wire.ErLockDeadlock
	state, message := "40001", "; run it again"
	if bound {
		a.code, state, message = wire.ErServerShutdown, "08S01", ", and with it the session; connect again"
	}
	var err error
	switch {
	case nothing:
		err = s.fail(a.code, state, "Bellwether: the statement changed nothing: the connection to the leader was lost"+message)
	case f != fateUnknown && unfinished:
		err = s.fail(a.code, state, "Bellwether: the transaction was rolled back: the connection to the leader was lost"+message)
	default:
		a.code = wire.ErServerShutdown
		if state = "08007"; bound {
			state = "08S01"
		}
		err = s.fail(a.code, state, "Bellwether: the connection to the leader was lost while the statement ran; whether it took effect is unknown")
	}
	if bound {
		return cause
	}
	return err
}

// lostUnder is called when the home connection failed under a command. again: it is to run once
// more, on the next leader, where what came before it in its transaction has been run again. Else
// the client has been told what is known.
func (s *session) lostUnder(ctx context.Context, cause *backendError, req *request, a *answer, f fate, tried bool) (again bool, err error) {
	if !tried && s.again(req, a, f) {
		s.retryHome(cause)
		return true, nil
	}
	replay := s.mayReplayUnder(req, a, f)
	if replay && s.runAgain(ctx) {
		return true, nil
	}
	s.answered()
	if replay {
		return false, s.replayFails(a)
	}
	return false, s.lostHome(cause, a, f)
}

// again says whether a statement whose home connection was lost may simply run on the
// next one: it only read, nothing of an answer went out, and it is still in the buffer.
func (s *session) again(req *request, a *answer, f fate) bool {
	return f == fateNothing && req.whole && !a.forwarded && !s.inTransaction() && !s.killed.Load() && !s.boundHome() && !s.outdated()
}

// retryHome gives the home connection up for one on the next leader, where the statement
// under way runs once more. What the pool has may be of the same server, whose sockets the
// kernel has not closed yet: it is asked before it is used.
func (s *session) retryHome(cause error) {
	s.logger().Info("the connection to the leader was lost while a read ran; it runs again", "err", cause)
	s.abandonHome()
	s.lostAt = time.Now()
	s.leaveLeader() // so that it waits while the leader changes
}

// retryPause is how long nothing is tried after a leader could not be connected to,
// unless the topology changes.
const retryPause = 50 * time.Millisecond

// awaitChange waits for another topology, and returns false when the time is over.
func (s *session) awaitChange(ctx context.Context, deadline time.Time) bool {
	s.srv.cfg.Topology.Hurry(time.Now().Add(hurry))
	_, changed := s.srv.cfg.Topology.Changed()
	t := time.NewTimer(min(retryPause, time.Until(deadline)))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return time.Now().Before(deadline)
}

// unreached says whether it is the leader's end that an error of homeConn came from:
// it may be dead, and another one lead soon.
func unreached(err error) bool {
	if _, refused := errors.AsType[*wire.Err](err); refused {
		return false
	}
	for _, final := range []error{
		errPoolFull, errNoLeader, errLeaderLeft, errTransactionLost, errTransactionUnknown, errStateUnfit, context.Canceled,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	return err != nil
}

// asksInsertID says whether a statement may depend on what LAST_INSERT_ID() answers.
func asksInsertID(sql []byte, st *router.Statement) bool {
	vars := bytes.Contains(sql, []byte("@@"))
	return st.Opaque || (st.UsesHome || st.Multi || vars) && containsFold(sql, "last_insert_id") || vars && containsFold(sql, "identity")
}

// insertIDKnown is asked before a statement runs that may name LAST_INSERT_ID(): after
// that was lost with the leader, it is known again when the new connection has made one. A
// home connection without it is not given to the command from then on.
func (s *session) insertIDKnown(ctx context.Context, sql []byte, st *router.Statement) error {
	if !s.insertID.lost && !s.insertID.unsure || !asksInsertID(sql, st) {
		return nil
	}
	b, err := s.homeConn(ctx)
	if err != nil {
		return err
	}
	if s.insertID.lost && s.insertID.unsure && !s.keepInsertID(b) && b.broken {
		return s.unprepared(errors.New("the connection was lost when LAST_INSERT_ID() was asked for"))
	}
	if s.insertID.lost {
		return errInsertID
	}
	s.needsID = true
	return nil
}

// errInsertID is what a statement gets that needs a LAST_INSERT_ID() which is gone.
var errInsertID = wire.NewErr(wire.ErUnknown,
	"Bellwether: what LAST_INSERT_ID() answered was lost with the leader's connection, and this statement may ask for it; nothing was executed")

// unprepared is what a statement gets that did not run because the home connection broke
// while it was made ready: what was lost with that, or unready, where nothing was.
func (s *session) unprepared(cause error) error {
	if b := s.home; b != nil {
		if loss := s.leaveHome(b); loss != nil {
			return loss
		}
	}
	s.leaveLeader()
	return &unready{cause}
}

// unready says that a statement may be made ready on another home connection.
type unready struct{ error }

func (e *unready) Unwrap() error { return e.error }

func mayReady(err error) bool {
	_, ok := errors.AsType[*unready](err)
	return ok
}
