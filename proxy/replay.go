package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// With routing.transaction_replay a transaction that is lost with the leader is run again on
// the next one, statement by statement, as long as every answer is the same as before: its client
// notices nothing but the time that it takes. Where an answer differs the transaction is rolled
// back, and the client told so (1213), as it always is without. A COMMIT that was sent is never
// sent again.

// mostReplayed is how many bytes of statements of one transaction are kept.
const mostReplayed = 1 << 20

// recording is what the transaction under way has run. It begins with BEGIN or START
// TRANSACTION.
type recording struct {
	steps  []replayStep
	leader string // address of the one that it runs on
	bytes  int
	spoilt bool // something ran that cannot be run again, or cannot be told apart when it is
	mute   bool // it is being run again: answers go to sum only
	sum    maphash.Hash
}

// replayStep is one statement, and what came of it.
type replayStep struct {
	cmd     wire.Command
	request []byte
	stmt    *statement // nil for text
	insert  bool       // INSERT or REPLACE
	id      uint64     // what it numbered, so that it numbers alike
	sum     uint64     // of the answer as the client got it
}

// toRecord is called before a statement of the client runs on the home connection. It returns
// what is to be remembered of it once it has run; nil where it cannot be run again.
func (s *session) toRecord(cmd wire.Command, req *request, sql []byte, st *router.Statement, stmt *statement) *replayStep {
	begins := st.Verb == router.VerbBegin && !st.Multi && !s.inTransaction() && s.view.Autocommit
	switch {
	case begins && s.srv.settings.Load().ReplayTransactions:
		s.replay = new(recording)
	case s.replay == nil:
		return nil
	case !s.inTransaction() && !begins:
		s.replay = nil
		return nil
	}
	s.replay.sum.Reset()
	if !begins && fateOf(st) == fateUnknown || asksInsertID(sql, st) || !req.whole || s.replay.bytes+len(req.bytes) > mostReplayed {
		return nil
	}
	insert := st.Verb == router.VerbInsert || st.Verb == router.VerbReplace
	return &replayStep{cmd: cmd, request: bytes.Clone(req.bytes), stmt: stmt, insert: insert}
}

// record is called when it has run.
func (s *session) record(step *replayStep, a *answer) {
	r := s.replay
	switch {
	case r == nil:
	case !s.inTransaction():
		s.replay = nil
	case step == nil || a.code != 0:
		r.spoilt = true
	default:
		if step.sum = r.sum.Sum64(); len(r.steps) == 0 {
			r.leader = s.home.address
		}
		if step.insert {
			step.id = a.insertID
		}
		r.steps = append(r.steps, *step)
		r.bytes += len(step.request)
	}
}

// heard takes what goes to the client in answer. It is true where that is all.
func (r *recording) heard(p []byte) bool {
	_, _ = r.sum.Write(p)
	return r.mute
}

// mayReplay says whether the transaction that was lost can be run again.
func (s *session) mayReplay() bool {
	r := s.replay
	return r != nil && !r.spoilt && !r.mute && len(r.steps) > 0 && !s.killed.Load()
}

// mayReplayUnder says whether it can, and the statement after it that was under way: nothing
// of an answer to that went out, and it committed nothing.
func (s *session) mayReplayUnder(req *request, a *answer, f fate) bool {
	return s.mayReplay() && f != fateUnknown && req.whole && !a.forwarded && s.unfinished() && !s.boundHome() && !s.outdated()
}

// errSameLeader says that it was only the connection that was lost: somebody may have ended it,
// because of this transaction.
var errSameLeader = errors.New("the leader is still the same")

// errReplay says that a transaction was run again, and did not come out as before.
var errReplay = errors.New("run again on the new leader it gave another answer")

// errNamed says that an INSERT numbers nothing: all has to begin anew without its id.
var errNamed = errors.New("an INSERT names its id")

// replayTries is how many leaders in a row may be lost under it.
const replayTries = 3

// runAgain runs the lost transaction on the leader's connection, a new one. When it returns
// false nothing of it is left there.
func (s *session) runAgain(ctx context.Context) bool {
	r := s.replay
	cursor := s.cursor // of the statement under way
	r.mute = true
	defer func() { r.mute, s.cursor = false, cursor }()
	began := time.Now()
	var err error
	for try := 0; try < replayTries; try++ {
		s.abandonHome()
		s.lostAt = time.Now()
		s.leaveLeader()
		if err = s.runSteps(ctx, r); err == nil {
			r.leader = s.home.address
			r.sum.Reset() // for the statement that was under way
			s.srv.metrics.replays[replayDone].Add(1)
			s.logger().Info("a transaction was lost with the leader, and run again on the next", "statements", len(r.steps), "after", time.Since(began))
			return true
		}
		if errors.Is(err, errNamed) {
			try-- // it does so once for each statement
			continue
		}
		if _, broken := errors.AsType[*backendError](err); !broken && !errors.Is(err, errTransactionLost) {
			break
		}
	}
	s.abandonHome()
	s.replay = nil
	outcome := replayFailed
	if errors.Is(err, errReplay) {
		outcome = replayDiffered
	}
	s.srv.metrics.replays[outcome].Add(1)
	s.logger().Info("a transaction that was lost with the leader could not be run again", "err", err)
	return false
}

func (s *session) runSteps(ctx context.Context, r *recording) error {
	b, err := s.homeConn(ctx)
	if err != nil {
		return err
	}
	if b.address == r.leader {
		return errSameLeader
	}
	for i := range r.steps {
		step := &r.steps[i]
		r.sum.Reset()
		a, err := s.runStep(ctx, step)
		if err != nil {
			return err
		}
		if a.code != 0 || r.sum.Sum64() != step.sum || !s.inTransaction() {
			return fmt.Errorf("statement %d of %d: %w (error %d)", i+1, len(r.steps), errReplay, a.code)
		}
	}
	return nil
}

func (s *session) runStep(ctx context.Context, step *replayStep) (a answer, err error) {
	req := request{bytes: step.request, whole: true, own: true, size: len(step.request)}
	var b *backend
	if step.stmt == nil {
		b, err = s.homeConn(ctx)
	} else {
		s.cursor = 0 // whether or not the client has closed it meanwhile
		b, err = s.readyStatement(ctx, step.stmt, false)
	}
	if err != nil {
		return a, err
	}
	b.dirty = true
	if step.id != 0 {
		if _, err := b.command(wire.ComQuery, fmt.Sprintf("SET insert_id = %d", step.id)); err != nil {
			return a, &backendError{err}
		}
	}
	s.begin(b)
	if step.stmt == nil {
		a, err = s.exchange(b, step.cmd, &req)
	} else {
		a, err = s.exchangeStatement(b, step.cmd, &req, step.stmt, false)
	}
	s.done(b)
	if err == nil {
		err = s.after(b, &a)
	}
	if err != nil || step.id == 0 {
		return a, err
	}
	switch left, err := b.queryText("SELECT @@insert_id"); {
	case err != nil:
		return a, &backendError{err}
	case left != "0": // it named its number itself, and the next INSERT would get this one
		step.id = 0
		return a, errNamed
	}
	return a, nil
}

// replayFails tells the client that its transaction is gone.
func (s *session) replayFails(a *answer) error {
	a.lost, a.code = true, wire.ErLockDeadlock
	return s.fail(a.code, "40001", "Bellwether: the transaction was rolled back: the connection to the leader was lost; run it again")
}

// Outcomes of running a transaction again.
const (
	replayDone = iota
	replayDiffered
	replayFailed
	numReplays
)

var replayOutcomes = [numReplays]string{"done", "differed", "failed"}
