package router

// Classify says what a text is. cat may be nil: nothing is known then, and any
// function that is not built in belongs to the leader. It allocates nothing for
// texts without a hint, and never panics.
func Classify(sql []byte, m Mode, cat *Catalog) (st Statement) {
	s := scanner{lexer: lexer{b: sql, m: m}, st: &st, cat: cat}
	s.t, s.p1, s.p2, s.p3 = &s.tokens[0], &s.tokens[1], &s.tokens[2], &s.tokens[3]
	st.Verb, st.Reason = VerbEmpty, ReasonEmpty
	for n := 0; ; {
		if !s.advance() {
			if s.t.kind == tokEOF {
				break
			}
			st.Multi = st.Multi || s.semicolon()
			continue
		}
		if n++; n == 1 {
			s.first()
		} else {
			s.further()
		}
		if s.t.kind == tokEOF {
			break
		}
		st.Multi = st.Multi || s.semicolon()
	}
	s.conclude()
	if s.hints > 0 {
		st.Hint = s.leadingHint()
	}
	return st
}

// semicolon begins the next statement of the text, and says whether there is
// anything more than space and comments.
func (s *scanner) semicolon() bool {
	s.tokens = [4]token{}
	s.depth, s.dots = 0, 0
	s.cteOpen, s.exprs, s.create, s.drop, s.grants = false, false, false, false, false
	s.skip()
	return s.pos < len(s.b)
}

// first classifies the first statement, whose first token is read.
func (s *scanner) first() {
	s.st.Verb, s.st.Class, s.st.Reason = VerbUnknown, ClassOther, ReasonUnknownStatement
	s.statement()
	if s.t.kind != tokEOF && (s.t.kind != tokPunct || s.t.c != ';') {
		s.rest()
	}
	if s.st.Class == ClassRead {
		s.verdict()
	}
}

// further adds the flags of a later statement. Its verb is what flags depend on
// while it is read, and is not reported.
func (s *scanner) further() {
	verb, class, reason := s.st.Verb, s.st.Class, s.st.Reason
	s.first()
	s.st.Verb, s.st.Class, s.st.Reason = verb, class, reason
}

// verdict says what a statement that begins like a read is, after all.
func (s *scanner) verdict() {
	switch s.found {
	case ReasonNone:
		s.st.Reason = ReasonRead
		return
	case ReasonWrite:
		s.st.Class = ClassWrite
	default:
		s.st.Class = ClassHome
	}
	s.st.Reason = s.found
}

// conclude applies what holds for the text as a whole.
func (s *scanner) conclude() {
	st := s.st
	unsure := ReasonNone
	switch {
	case s.weird:
		unsure = ReasonUnlexable
	case s.high || s.m.Charset >= CharsetUnknown:
		unsure = ReasonCharset
	case s.exec:
		unsure = ReasonExecutableComment
	}
	if s.weird || s.exec || s.high {
		st.Opaque = true
	}
	switch {
	case st.Multi:
		st.Class, st.Reason = ClassOther, ReasonMultiStatement
	case unsure != ReasonNone && (st.Class == ClassRead || st.Class == ClassHome || st.Verb == VerbEmpty):
		st.Class, st.Reason = ClassHome, unsure
	}
	if st.Multi || st.Opaque || st.CreatesTempTable || st.AcquiresLock {
		st.MayChangeSession = true
	}
}

// set reports what the statement is.
func (s *scanner) set(v Verb, c Class, r Reason) {
	s.st.Verb, s.st.Class, s.st.Reason = v, c, r
}

// session reports a statement that changes the state of the session.
func (s *scanner) session(v Verb, r Reason) {
	s.set(v, ClassSession, r)
	s.st.MayChangeSession = true
}

// opaque reports a statement whose effects are not in its text.
func (s *scanner) opaque(v Verb, r Reason) {
	s.set(v, ClassOther, r)
	s.st.Opaque = true
}

// is says whether the present token is the keyword.
func (s *scanner) is(k kw) bool { return s.t.w != nil && s.t.w.kw == k }

// statement reads the beginning of a statement as far as its kind needs.
func (s *scanner) statement() {
	for s.t.kind == tokPunct && s.t.c == '(' {
		if !s.advance() {
			return
		}
		if s.is(kwSelect) || s.is(kwWith) || s.is(kwValues) || s.is(kwTable) {
			break
		}
		if s.t.kind != tokPunct {
			s.st.Opaque = true
			return
		}
	}
	if s.t.w == nil {
		s.st.Opaque = true
		return
	}
	switch s.t.w.kw {
	case kwSelect, kwWith, kwValues, kwTable:
		s.set(VerbSelect, ClassRead, ReasonRead)
	case kwInsert:
		s.set(VerbInsert, ClassWrite, ReasonWrite)
	case kwUpdate:
		s.set(VerbUpdate, ClassWrite, ReasonWrite)
	case kwDelete:
		s.set(VerbDelete, ClassWrite, ReasonWrite)
	case kwReplace:
		s.set(VerbReplace, ClassWrite, ReasonWrite)
	case kwSet:
		s.setStatement()
	case kwShow:
		s.show()
	case kwDesc, kwDescribe, kwExplain:
		s.explain()
	case kwAnalyze:
		s.analyze()
	case kwBegin, kwStart, kwCommit, kwRollback, kwSavepoint, kwRelease, kwXA:
		s.transaction()
	case kwCreate, kwAlter, kwDrop, kwRename, kwTruncate:
		s.ddl()
	default:
		s.statementRest()
	}
}

// statementRest goes on where statement leaves off: the rarer verbs.
func (s *scanner) statementRest() {
	switch s.t.w.kw {
	case kwUse:
		s.session(VerbUse, ReasonSessionStatement)
	case kwCall:
		s.opaque(VerbCall, ReasonCall)
	case kwDo:
		s.set(VerbDo, ClassOther, ReasonWrite)
	case kwPrepare:
		s.prepare(VerbPrepare)
	case kwExecute:
		s.prepare(VerbExecute)
		s.st.Opaque = true
	case kwDeallocate:
		s.prepare(VerbDeallocate)
	case kwLock:
		s.session(VerbLockTables, ReasonLockTables)
		s.st.AcquiresLock = true
	case kwUnlock:
		s.session(VerbUnlockTables, ReasonLockTables)
		s.st.ReleasesLock = true
	case kwHandler:
		s.session(VerbHandler, ReasonHandler)
		s.st.AcquiresLock = true
	case kwKill:
		s.kill()
	case kwLoad:
		s.load()
	case kwFlush:
		s.flush()
	case kwGrant:
		s.account(VerbGrant)
	case kwRevoke:
		s.account(VerbRevoke)
	case kwHelp:
		s.set(VerbHelp, ClassOther, ReasonAdmin)
	case kwCompound, kwDeclare:
		s.opaque(VerbCompound, ReasonCall)
	case kwAdmin:
		s.set(VerbAdmin, ClassOther, ReasonAdmin)
		if s.t.w.name == "BACKUP" {
			s.session(VerbAdmin, ReasonLockTables)
			s.st.AcquiresLock = true
		}
	default:
		s.st.Opaque = true
	}
}

func (s *scanner) prepare(v Verb) {
	s.session(v, ReasonPrepareSQL)
	s.st.UsesPrepareSQL = true
	s.st.UsesHome = true
}

func (s *scanner) account(v Verb) {
	s.set(v, ClassWrite, ReasonAccountAdmin)
	s.st.AccountAdmin = true
	s.grants = true
}
