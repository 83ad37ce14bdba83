package proxy

import (
	"context"
	"errors"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// skip drops a command that nobody gets.
func (s *session) skip(req *request) error {
	switch {
	case req.own:
		return nil
	case req.whole:
		s.in.consume(len(req.bytes))
		return nil
	}
	return s.in.passOn(s.conn, nowhere{}, req, 0)
}

// nowhere is a writer that drops everything.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// notRun tells the client why its command could not be run at all.
func (s *session) notRun(req *request, cause error) (answer, error) {
	s.held = 0 // of an attempt before
	if err := s.skip(req); err != nil {
		return answer{}, err
	}
	return answer{code: erConnHost, lost: true}, s.explain(cause)
}

// explain tells the client why its command could not be run at all.
func (s *session) explain(err error) error {
	var e *wire.Err
	switch {
	case errors.As(err, &e):
		return s.fail(e.Code, e.State, e.Message)
	case errors.Is(err, errPoolFull):
		return s.fail(wire.ErConCount, "08004", "Bellwether: "+errPoolFull.Error())
	case errors.Is(err, errLeaderBusy):
		return s.fail(wire.ErLockWaitTimeout, "HY000", "Bellwether: "+err.Error()+" (routing.max_leader_reads); nothing was executed")
	case errors.Is(err, errNoLeader):
		return s.fail(erConnHost, "HY000", "Bellwether: no leader is available; nothing was executed")
	case errors.Is(err, errTransactionLost):
		return s.fail(wire.ErLockDeadlock, "40001", "Bellwether: "+err.Error()+": run it again")
	case errors.Is(err, errTransactionUnknown):
		return s.fail(wire.ErServerShutdown, "08007", "Bellwether: "+err.Error()+"; of this statement nothing was executed")
	case errors.Is(err, errLeaderLeft):
		_ = s.fail(wire.ErServerShutdown, "08S01",
			"Bellwether: the leader was lost, or is another node now, and with it the session; connect again; nothing was executed")
		return err
	case errors.Is(err, context.Canceled):
		return err
	default:
		s.logger().Warn("no connection to a node", "err", err)
		return s.fail(erConnHost, "HY000", "Bellwether: "+err.Error()+"; nothing was executed")
	}
}
