package proxy

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// about is what is known of the last statement beyond its connection.
type about struct {
	known bool  // the rest is
	rows  int64 // ROW_COUNT()
	found int64 // FOUND_ROWS(), -1 where that is not known
	kept  bool  // there are warnings, an error or the number of all rows: others get the connection later
	gone  bool  // the connection is another session's, or lost
}

// noteLast notes what a client may ask about the statement that was answered.
func (s *session) noteLast(st *router.Statement, a *answer) {
	old := s.about
	n := about{known: true, rows: -1, found: -1}
	switch {
	case a.code != 0:
	case a.plain:
		n.rows = int64(a.affected)
	default:
		n.found = int64(a.rows)
	}
	calc := st.Reason == router.ReasonFoundRows
	if calc || st.Multi || st.Opaque || st.Verb == router.VerbShow || st.Class == router.ClassWrite && a.rows > 0 {
		n.known = false
	}
	// A statement that names no tables leaves the warnings of the last one, on MariaDB.
	n.kept = calc || a.code != 0 || a.warnings > 0 ||
		old.kept && !(st.Class == router.ClassWrite || st.ReadsTables)
	s.about = n
}

// noteLost notes that the last statement's connection was lost with its answer.
func (s *session) noteLost() { s.about = about{kept: true, gone: true} }

// forgetLastAnswer notes that a command ran of whose traces nothing is known.
func (s *session) forgetLastAnswer() { s.about = about{kept: s.about.kept} }

// claimLast takes back what was offered, where a statement asks about the last one,
// which must run where that ran.
func (s *session) claimLast(sql []byte, st *router.Statement) (asks bool) {
	if !aboutLast(sql, st) {
		return false
	}
	s.claimHome()
	s.claimFollower()
	if s.last != nil && s.last == s.home && s.homeGone() {
		s.about.gone = true
	}
	return s.about.gone || s.last == nil && s.home == nil && s.shares()
}

// homeGone says whether the next statement will find that the home connection is lost.
func (s *session) homeGone() bool {
	return s.home != nil && (!s.homeStands() || s.home.alive() != nil)
}

// askForCounts are the questions about the last statement that can be answered without
// its connection.
var askForCounts = regexp.MustCompile(`(?is)^\s*SELECT\s+((ROW_COUNT|FOUND_ROWS)\s*\(\s*\))\s*;?\s*$`)

// lastGone is the answer where nobody knows any more.
const lastGone = "Bellwether: what this asks about the last statement is gone: its connection is lost, or another session's now (pool.mode: transaction)"

// answerGone answers a statement about the last one whose connection another session
// has now, from what is known; nothing of a stranger's is ever answered. Where no
// statement has run yet a connection is taken that has forgotten all of its last session.
func (s *session) answerGone(ctx context.Context, req *request, q *router.Query, st *router.Statement) (ran, error) {
	r := ran{router.TargetLeader, router.ReasonDiagnostics, false}
	known := s.about
	counts := askForCounts.FindSubmatch(q.SQL)
	var err error
	switch {
	case !known.gone, counts == nil && !known.kept && st.Verb == router.VerbShow && s.cleanHome():
		s.wantClean = true
		var a answer
		a, err = s.queryHome(ctx, req, q, st)
		s.wantClean = false
		r.failed = err != nil || a.code != 0
		return r, err
	case counts != nil && known.known:
		value, name := known.rows, string(counts[1])
		if counts[2][0]|0x20 == 'f' {
			value = known.found
			if value < 0 {
				break
			}
		}
		s.in.consume(len(req.bytes))
		own := s.ownQuery(fmt.Sprintf("SELECT CAST(%d AS SIGNED) AS `%s`", value, name))
		_, err = s.runHome(ctx, wire.ComQuery, &own, true, fateNothing)
		s.about = about{known: true, rows: -1, found: 1, kept: known.kept}
		return r, err
	}
	s.in.consume(len(req.bytes))
	r.failed = true
	return r, s.fail(wire.ErUnknown, "HY000", lastGone)
}

// cleanHome sees to it that the next statement on the home connection finds nothing of
// an earlier one there: what the session ran last left nothing, elsewhere. Where there is
// no home connection, the next one comes clean.
func (s *session) cleanHome() bool {
	b := s.home
	if b == nil || s.homeGone() {
		return true
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	_ = b.conn.SetDeadline(time.Now().Add(s.srv.settings.Load().ConnectTimeout))
	if _, err := b.queryText(clearsDiagnostics); err != nil {
		return false
	}
	return b.conn.SetDeadline(time.Time{}) == nil
}

// clearsDiagnostics reads a table, if none that exists: what reads none leaves the
// warnings of the statement before it, on MariaDB.
const clearsDiagnostics = "SELECT COUNT(*) FROM (SELECT 1) AS nothing"
