package proxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// While the leader changes by plan, what would go to it is held: nobody begins
// anything there, and what has begun may end. Neither side takes a lock: a session
// says that it is at work and then looks at the gate; who holds closes the gate and
// then looks at the sessions. One of the two sees the other.

// closure is a gate that is closed.
type closure struct {
	open  chan struct{} // closed when the gate opens
	until time.Time     // nobody waits longer
}

// Hold makes sessions wait that would begin something on the leader, each at most
// for limit. Transactions and statements that are under way go on.
func (srv *Server) Hold(limit time.Duration) {
	srv.gate.CompareAndSwap(nil, &closure{open: make(chan struct{}), until: time.Now().Add(limit)})
}

// Release lets all go on that Hold made wait.
func (srv *Server) Release() {
	if c := srv.gate.Swap(nil); c != nil {
		close(c.open)
	}
}

// Working is how many sessions have something under way on the leader: a
// statement, a transaction, locks on tables.
func (srv *Server) Working() int {
	n := 0
	for _, s := range srv.all() {
		if s.working.Load() {
			n++
		}
	}
	return n
}

// enterLeader is called before a session uses its home connection. It waits while
// the leader changes, unless the session is in the middle of something.
func (s *session) enterLeader(ctx context.Context) error {
	for !s.working.Load() {
		s.working.Store(true)
		c := s.srv.gate.Load()
		if c == nil {
			return nil
		}
		s.working.Store(false)
		t := time.NewTimer(time.Until(c.until))
		select {
		case <-c.open:
		case <-t.C:
			return errNoLeader
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
	return nil
}

// leaveLeader is called between two commands.
func (s *session) leaveLeader() {
	if s.working.Load() && !s.inTransaction() && !s.locks && !s.xa && !s.openCursor() {
		s.working.Store(false)
	}
}

// openCursor says whether rows, or parts of parameters, wait on the home connection.
func (s *session) openCursor() bool {
	for _, p := range s.stmts.byID {
		if p.cursor || p.long {
			return true
		}
	}
	return false
}

// foresee notes, before a statement runs at home, whether it may leave something
// there that no other connection can be given.
func (s *session) foresee(sql []byte, st *router.Statement) {
	switch st.Verb {
	case router.VerbUnknown, router.VerbSetTransaction, router.VerbHandler, router.VerbAdmin:
		s.nailed = true
	}
	s.nailed = s.nailed || st.UserVars || st.Opaque || st.UsesPrepareSQL || st.AcquiresLock || st.Multi && st.MayChangeSession ||
		st.UsesHome && containsFold(sql, "last_insert_id") && !containsFold(sql, "last_insert_id()")
}

// tied says whether the home connection has something of the session that no other
// connection can be given.
func (s *session) tied() bool {
	return s.nailed || s.inTransaction() || s.locks || s.xa || s.role || s.hidden || s.view.TempTables || s.retrack ||
		s.state.fixed != "" || s.state.unmoved != "" || s.openCursor()
}

// keepInsertID asks a home connection that is given up what LAST_INSERT_ID() answers
// there, and says whether that is known. The answers to statements do not tell: after
// an INSERT with an id of its own they give that id, and LAST_INSERT_ID() stays as it was.
func (s *session) keepInsertID(b *backend) bool {
	if s.insertID == 0 {
		return true
	}
	if b.alive() != nil {
		return false
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	_ = b.conn.SetDeadline(time.Now().Add(s.srv.settings.Load().ConnectTimeout))
	text, err := b.queryText("SELECT LAST_INSERT_ID()")
	if err != nil {
		return false
	}
	s.insertID, err = strconv.ParseUint(text, 10, 64)
	return err == nil
}

// moveHome brings to a new home connection what the session had on the last one.
func (s *session) moveHome(b *backend) error {
	sql := s.state.since(0)
	if !s.view.Autocommit {
		sql = joinSet(sql, "autocommit=0")
	}
	if s.insertID != 0 { // what LAST_INSERT_ID() answers
		sql = joinSet(sql, fmt.Sprintf("last_insert_id=%d", s.insertID))
	}
	if sql == "" {
		return nil
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	b.dirty = true
	_, err := b.command(wire.ComQuery, sql)
	return err
}

func joinSet(sql, assignment string) string {
	if sql == "" {
		return "SET SESSION " + assignment
	}
	return strings.Join([]string{sql, "SESSION " + assignment}, ",")
}

// homeAt makes a home connection on the leader. What the session had on one that
// was given up is brought there; moved says that there was one.
func (s *session) homeAt(ctx context.Context, leader *topology.Node, moved bool) (*backend, error) {
	b, err := s.connect(ctx, leader, false)
	if err != nil || !moved {
		return b, err
	}
	if err := s.moveHome(b); err != nil {
		b.broken = true
		s.srv.pools.of(b.node).discard(b)
		return nil, fmt.Errorf("bring the session to %s: %w", b.node, err)
	}
	return b, nil
}
