package router

import "github.com/bellwetherdb/bellwether/internal/gtid"

// call judges a name that is followed by a parenthesis: s.p1 is the name, s.t
// the parenthesis.
func (s *scanner) call() {
	if s.dots > 0 {
		s.storedCall() // schema.name(...) is never a built-in
		return
	}
	if w := s.p1.w; w != nil && w.fn != fnNone {
		s.builtin(w)
		return
	}
	if w := s.p1.w; w != nil && w.kw == kwLateral && s.m.Flavor == gtid.MySQL {
		return // LATERAL (SELECT ...), MEMBER OF (...)
	}
	if w := s.p1.w; w != nil && w.kw == kwAny && s.p2.kind == tokPunct && s.peekQuery() {
		return // = ANY (SELECT ...)
	}
	if !s.aliasBefore() {
		s.storedCall()
	}
}

// peekQuery says whether the next token begins a query.
func (s *scanner) peekQuery() bool {
	p := s.lexer.pos
	for p < len(s.b) && isSpace(s.b[p]) {
		p++
	}
	q := p
	for q < len(s.b) && identByte[s.b[q]] != 0 {
		q++
	}
	w := lookupBytes(s.b[p:q])
	return w != nil && (w.kw == kwSelect || w.kw == kwWith || w.kw == kwValues || w.kw == kwTable)
}

// aliasBefore says whether the name s.p1 cannot be a call, because of what
// stands before it: the name of a WITH query or the alias of a derived table,
// which a list of columns can follow, or a keyword after an operand, such as
// MATCH (...) AGAINST (...).
func (s *scanner) aliasBefore() bool {
	switch s.p2.kind {
	case tokString, tokNumber:
		return true
	case tokPunct:
		switch s.p2.c {
		case ')':
			return true
		case ',':
			return s.cteOpen && s.depth == s.cteDepth+1 && s.p3.kind == tokPunct && s.p3.c == ')'
		}
	case tokWord:
		if s.p2.w == nil {
			return false
		}
		switch s.p2.w.kw {
		case kwAs:
			return true
		case kwWith, kwRecursive:
			return s.cteOpen && s.depth == s.cteDepth+1
		}
	}
	return false
}

// builtin judges a name that is known as a function, or as a word that a
// parenthesis can follow.
func (s *scanner) builtin(w *word) {
	switch w.fn {
	case fnKeyword, fnSafe:
	case fnTight:
		if s.p1.end == s.t.start || s.m.IgnoreSpace || s.aliasBefore() || s.cat.hasNone(s.b[s.p1.start:s.p1.end]) {
			return
		}
		s.storedCall()
	case fnLater:
		if s.aliasBefore() || s.cat.hasNone(s.b[s.p1.start:s.p1.end]) {
			return
		}
		s.storedCall()
	case fnConnection:
		s.st.UsesHome = true
		s.note(ReasonConnectionFunction)
	case fnLock:
		s.st.UsesHome, s.st.AcquiresLock, s.st.MayChangeSession = true, true, true
		s.note(ReasonLockFunction)
	case fnUnlock:
		s.st.UsesHome, s.st.ReleasesLock, s.st.MayChangeSession = true, true, true
		s.note(ReasonLockFunction)
	case fnLockState:
		s.st.UsesHome = true
		s.note(ReasonLockFunction)
	case fnSequence:
		s.st.UsesHome = true
		s.note(ReasonSequence)
	case fnServer:
		s.note(ReasonServerFunction)
	}
}

// storedCall judges a call of what must be a stored or loadable function.
func (s *scanner) storedCall() {
	name := s.b[s.p1.start:s.p1.end]
	if s.p1.kind == tokQuoted {
		name = unquote(name)
	}
	switch {
	case s.dots > 1: // a package of MariaDB's, which is not catalogued
	case s.dots == 1:
		schema := s.b[s.p3.start:s.p3.end]
		if s.p3.kind == tokQuoted {
			schema = unquote(schema)
		}
		switch s.cat.function(schema, name) {
		case routineSafe:
			s.st.ReadsTables = true // a temporary table of the session hides one that it reads
			return
		case routineUnsafe:
			s.foreign(ReasonUnsafeRoutine)
			return
		}
	default:
		// A quoted name of a built-in can be either.
		if s.p1.kind == tokQuoted {
			if w := lookupBytes(name); w != nil && w.fn > fnKeyword && w.fn != fnSafe && w.fn != fnTight && w.fn != fnLater {
				s.builtin(w)
				return
			}
		}
		switch s.cat.function(nil, name) {
		case routineSafe:
			s.st.ReadsTables = true // a temporary table of the session hides one that it reads
			return
		case routineUnsafe:
			s.foreign(ReasonUnsafeRoutine)
			return
		}
	}
	s.foreign(ReasonUnknownFunction)
}

// foreign reports a call whose effects are not in the text. In INSERT INTO t (a)
// and in definitions the name before a parenthesis is no call until a word that
// expressions follow.
func (s *scanner) foreign(r Reason) {
	s.note(r)
	switch s.st.Verb {
	case VerbInsert, VerbReplace, VerbLoadData, VerbLoadLocal, VerbCreate, VerbAlter, VerbDrop, VerbRename, VerbTruncate:
		if !s.exprs {
			return
		}
	}
	s.st.Opaque = true
}
