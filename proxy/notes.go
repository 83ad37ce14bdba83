package proxy

import (
	"bytes"
	"context"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/router"
)

// notable says whether noteAfter has anything to do for a statement.
func notable(st *router.Statement) bool {
	return st.Verb == router.VerbXA || st.CreatesTempTable || st.DropsTable || st.AcquiresLock || st.ReleasesLock || st.AccountAdmin ||
		st.Opaque || st.UsesPrepareSQL || st.Verb == router.VerbSet
}

// noteAfter takes from a statement that ran at home what the server's trackers
// do not tell.
func (s *session) noteAfter(ctx context.Context, sql []byte, st *router.Statement, a *answer) {
	runs := st.Verb == router.VerbCall || st.Verb == router.VerbExecute || st.Verb == router.VerbCompound
	if a.code != 0 && !st.Multi && !runs {
		if st.Verb == router.VerbLockTables {
			s.locks = false // they failed, and let go of those held before
		}
		return
	}
	s.hidden = s.hidden || (st.Opaque || st.UsesPrepareSQL || st.Verb == router.VerbSet) && containsFold(sql, "temporary")
	if st.Opaque && (s.hidden || runs && s.srv.cfg.Routines().MakesTemporary()) {
		s.temps.MarkUnknown()
		s.view.TempTables = true
	}
	if st.Opaque && containsFold(sql, "call") && s.srv.cfg.Routines().CallsUnknown(sql, s.mode) {
		s.state.fixed = "a procedure"
	}
	switch {
	case st.CreatesTempTable || st.DropsTable:
		s.temps.Apply(sql, s.mode, st, s.state.schema)
		s.view.TempTables = s.temps.Any()
	case st.AcquiresLock && (st.Multi || st.Verb == router.VerbLockTables || st.Verb == router.VerbFlush):
		s.locks = true
	case st.Verb == router.VerbUnlockTables:
		s.locks = false
	case st.Verb == router.VerbXA:
		s.xa = containsFold(sql, "start", "begin", " end")
	}
	s.view.LockedTables = s.locks
	if st.AccountAdmin {
		// The answer has not been seen by the client's next connection yet: whoever
		// was created can log in at once, whoever was dropped cannot.
		_ = s.srv.cfg.RefreshAccounts(ctx)
	}
}

// aboutLast says whether a statement asks about the one before it, whose
// diagnostics are on the connection that ran it.
func aboutLast(sql []byte, st *router.Statement) bool {
	if st.Multi || st.UserVars || st.Hint.Present {
		return false
	}
	switch {
	case st.Class != router.ClassHome:
		return false
	case st.Verb == router.VerbShow:
		return containsFold(sql, "warnings", "errors")
	case st.Verb == router.VerbSelect && containsFold(sql, "found_rows", "row_count"):
		return !containsFold(sql, "last_insert_id", "connection_id", "sql_calc_found_rows", "@@")
	case st.Verb == router.VerbSelect && containsFold(sql, "@@warning_count", "@@error_count"):
		return bytes.Count(sql, []byte("@@")) == 1
	}
	return false
}

// containsFold says whether a text contains any of the words, which are in lower case.
func containsFold(sql []byte, words ...string) bool {
	for _, w := range words {
		if router.ContainsFold(sql, w) {
			return true
		}
	}
	return false
}

// elsewhere finds another follower for a read whose follower failed, nil where
// none has what the session must be able to see.
func (s *session) elsewhere(snap *topology.Snapshot, failed string) *topology.Node {
	eventual := s.level == router.LevelEventual
	if !eventual && !s.floor.open.IsZero() {
		return nil
	}
	n := len(snap.Nodes)
	for i := range n {
		node := snap.Nodes[(uint64(i)+s.view.Seed)%uint64(n)]
		if usable(node) && node.Name != failed && node.Weight > 0 &&
			(eventual || node.Position.Contains(s.floor.at)) {
			return node
		}
	}
	return nil
}

func (s *session) setSQLMode(value string) {
	s.mode.ANSIQuotes, s.mode.NoBackslashEscapes, s.mode.IgnoreSpace = false, false, false
	for m := range strings.SplitSeq(value, ",") {
		switch strings.ToUpper(m) {
		case "ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL":
			s.mode.ANSIQuotes = true
		case "NO_BACKSLASH_ESCAPES":
			s.mode.NoBackslashEscapes = true
		}
	}
}

func (s *session) setClientCharset(name string) { s.mode.Charset = router.CharsetByName(name) }

func (s *session) setCollation(id byte) { s.mode.Charset = router.CharsetByCollation(uint16(id)) }
