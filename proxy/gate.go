package proxy

import (
	"bytes"
	"context"
	"time"

	"github.com/bellwetherdb/bellwether/router"
)

// While the leader changes by plan, what would go to it is held: nobody begins
// anything there, and what has begun may end. Neither side takes a lock: a session
// says that it is at work and then looks at the gate; who holds closes the gate and
// then looks at the sessions. One of the two sees the other.

// closure is a gate that is closed.
type closure struct {
	open  chan struct{} // closed when the gate opens
	until time.Time     // nobody waits longer; zero: as long as each waits for a leader
}

// Hold makes sessions wait that would begin something on the leader, each at most
// for limit; with 0 each as long as it would wait for a leader. Transactions and
// statements that are under way go on.
func (srv *Server) Hold(limit time.Duration) {
	c := &closure{open: make(chan struct{})}
	if limit > 0 {
		c.until = time.Now().Add(limit)
	}
	srv.gate.CompareAndSwap(nil, c)
}

// Cut breaks the home connections of all sessions to that node, to any where it is
// empty. What runs there gets an error that says what is known of its outcome.
func (srv *Server) Cut(node string) {
	for _, s := range srv.all() {
		if b := s.homeNow.Load(); b != nil && (node == "" || b.node == node) {
			b.cut()
		}
	}
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
		wait := s.srv.settings.Load().Pool.Wait
		if !c.until.IsZero() {
			wait = time.Until(c.until)
		}
		t := time.NewTimer(wait)
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
	case router.VerbUnknown, router.VerbHandler, router.VerbAdmin:
		s.nailed = true
	case router.VerbSetTransaction:
		s.nailed = s.nailed || !sessionScope(sql) // else it is of the next transaction, and no variable tells
	case router.VerbSet:
		s.nailed = s.nailed || s.mariadb() && unreported(sql)
	}
	s.nailed = s.nailed || st.UserVars && !onlyReads(sql, st) || st.Opaque || st.UsesPrepareSQL || st.AcquiresLock || st.Multi && st.MayChangeSession ||
		st.UsesHome && containsFold(sql, "last_insert_id") && !containsFold(sql, "last_insert_id()")
}

// onlyReads says whether a query that names user variables sets none.
func onlyReads(sql []byte, st *router.Statement) bool {
	return st.Verb == router.VerbSelect && st.Class == router.ClassHome && !bytes.Contains(sql, []byte(":=")) && !containsFold(sql, "into")
}

// sessionScope says whether a SET begins with SESSION or another scope. The answer no
// is the careful one.
func sessionScope(sql []byte) bool {
	words := bytes.Fields(sql[:min(len(sql), 64)])
	if len(words) < 2 {
		return false
	}
	scope := string(bytes.ToLower(words[1]))
	return scope == "session" || scope == "local" || scope == "global"
}

// unreported says whether a SET may set a variable by its name alone, as @@name, of
// which MariaDB tells nothing and for which nobody asks.
func unreported(sql []byte) bool {
	for name := range router.VariablesNamed(sql) {
		if !asks[name] {
			return true
		}
	}
	return false
}

// tied says whether the home connection has something of the session that no other
// connection can be given.
func (s *session) tied() bool {
	return s.inTransaction() || s.boundHome()
}
