package router

// setStatement reads SET.
func (s *scanner) setStatement() {
	s.session(VerbSet, ReasonSessionStatement)
	if !s.advance() || s.t.w == nil {
		return
	}
	switch s.t.w.kw {
	case kwPassword:
		s.account(VerbSetPassword)
	case kwDefault:
		if s.advance() && s.is(kwRole) {
			s.account(VerbSetPassword)
		}
	case kwRole:
		s.session(VerbSetRole, ReasonSessionStatement)
	case kwTransaction:
		s.session(VerbSetTransaction, ReasonSessionStatement)
	case kwGlobal, kwSession, kwLocal:
		if s.advance() && s.is(kwTransaction) {
			s.session(VerbSetTransaction, ReasonSessionStatement)
		}
	case kwStatement:
		s.session(VerbSetStatement, ReasonSessionStatement)
		s.st.Opaque = true
	}
}

// show reads SHOW. Only what all servers of a cluster share may be asked of a
// follower: the names and definitions of schema objects, which replicate.
func (s *scanner) show() {
	s.set(VerbShow, ClassRead, ReasonRead)
	s.st.ReadsTables = true
	if !s.advance() {
		s.note(ReasonUnlexable)
		return
	}
	for s.is(kwFull) || s.is(kwExtended) {
		if !s.advance() {
			break
		}
	}
	k := kwNone
	if s.t.w != nil {
		k = s.t.w.kw
	}
	switch k {
	case kwTables, kwColumns, kwFields, kwDatabases, kwSchemas, kwTriggers, kwCollation:
	case kwCharacter: // SHOW CHARACTER SET
	case kwProcedure, kwFunction: // PROCEDURE STATUS, but not PROCEDURE CODE
		if !s.advance() || !s.is(kwStatus) {
			s.note(ReasonServerState)
		}
	case kwCreate:
		s.showCreate()
	case kwGlobal, kwStorage, kwOpen, kwTable: // TABLE STATUS has each server's own estimates
		s.note(ReasonServerState)
	case kwWarnings, kwErrors, kwCount, kwProfile, kwProfiles, kwSession, kwLocal, kwVariables, kwStatus:
		s.st.UsesHome = true
		s.note(ReasonSessionState)
	default:
		s.note(ReasonServerState)
	}
}

// showCreate reads what follows SHOW CREATE. Users and events differ between a
// leader and its followers.
func (s *scanner) showCreate() {
	s.create = false
	if !s.advance() || s.t.w == nil {
		s.note(ReasonServerState)
		return
	}
	switch s.t.w.kw {
	case kwTable, kwView, kwDatabase, kwSchema, kwProcedure, kwFunction, kwTrigger, kwPackage:
	default:
		s.note(ReasonServerState)
	}
}

// explain reads EXPLAIN, DESCRIBE and DESC.
func (s *scanner) explain() {
	word := s.t.w.kw
	s.set(VerbDescribe, ClassRead, ReasonRead)
	s.st.ReadsTables = true
	for s.advance() {
		if s.t.kind == tokPunct && s.t.c == '(' {
			s.st.Verb = VerbExplain
			return
		}
		if s.t.kind == tokString {
			s.note(ReasonUnknownStatement) // EXPLAIN 'text' of other dialects
			return
		}
		if s.t.w == nil {
			return // the name of a table
		}
		switch s.t.w.kw {
		case kwExtended, kwPartitions, kwAnalyze:
		case kwFormat: // FORMAT = JSON
			if s.peekByte() != '=' || !s.advance() || !s.advance() {
				return
			}
		case kwFor: // CONNECTION n
			s.note(ReasonServerState)
			return
		case kwSelect, kwWith, kwValues, kwTable:
			s.st.Verb = VerbExplain
			return
		case kwInsert, kwReplace, kwUpdate, kwDelete:
			s.st.Verb = VerbExplain
			s.note(ReasonWrite)
			return
		case kwRoute:
			if word == kwExplain {
				s.explainRoute()
			}
			return
		default:
			if beginsStatement(s.t.w.kw) {
				s.note(ReasonUnknownStatement) // EXPLAIN ALTER TABLE of other dialects
			}
			return
		}
	}
}

// explainRoute reads EXPLAIN ROUTE, unless route is the name of a table here.
func (s *scanner) explainRoute() {
	at := int(s.t.end)
	peek := s.lexer
	t := peek.next()
	if !(t.kind == tokPunct && t.c == '(') && (t.w == nil || !beginsStatement(t.w.kw)) {
		return
	}
	end := len(s.b)
	for end > at && (isSpace(s.b[end-1]) || s.b[end-1] == ';') {
		end--
	}
	s.set(VerbExplainRoute, ClassOther, ReasonExplainRoute)
	s.st.Arg = Span{at, end}
	s.lexer.pos = len(s.b)
	s.advance()
}

// beginsStatement says whether a statement can begin with the keyword.
func beginsStatement(k kw) bool {
	switch k {
	case kwAdmin, kwAlter, kwAnalyze, kwBegin, kwCall, kwCommit, kwCompound, kwCreate, kwDeallocate, kwDelete,
		kwDesc, kwDescribe, kwDo, kwDrop, kwExecute, kwExplain, kwFlush, kwGrant, kwHandler, kwHelp, kwInsert,
		kwKill, kwLoad, kwLock, kwPrepare, kwRelease, kwRename, kwReplace, kwRevoke, kwRollback, kwSavepoint,
		kwSelect, kwSet, kwShow, kwStart, kwTable, kwTruncate, kwUnlock, kwUpdate, kwUse, kwValues, kwWith, kwXA:
		return true
	}
	return false
}

// analyze reads ANALYZE: MariaDB's runs a statement and shows its plan; ANALYZE
// TABLE is administration.
func (s *scanner) analyze() {
	s.set(VerbAdmin, ClassOther, ReasonAdmin)
	if !s.advance() {
		return
	}
	if s.is(kwFormat) && s.peekByte() == '=' {
		for range 3 { // FORMAT, the sign, the format
			if !s.advance() {
				return
			}
		}
	}
	paren := s.t.kind == tokPunct && s.t.c == '('
	if paren || s.is(kwSelect) || s.is(kwWith) || s.is(kwValues) {
		s.set(VerbExplain, ClassRead, ReasonRead)
	} else if s.is(kwInsert) || s.is(kwReplace) || s.is(kwUpdate) || s.is(kwDelete) {
		s.set(VerbExplain, ClassWrite, ReasonWrite)
	}
}

// peekByte returns the next byte that is not space, or 0.
func (s *scanner) peekByte() byte {
	for p := s.lexer.pos; p < len(s.b); p++ {
		if !isSpace(s.b[p]) {
			return s.b[p]
		}
	}
	return 0
}

// transaction reads what begins, ends or divides transactions.
func (s *scanner) transaction() {
	k := s.t.w.kw
	s.set(VerbBegin, ClassTxn, ReasonTransaction)
	switch k {
	case kwBegin:
		if s.advance() && !s.word("WORK") {
			s.opaque(VerbCompound, ReasonCall) // BEGIN NOT ATOMIC, and blocks of sql_mode ORACLE
		}
	case kwStart:
		if !s.advance() || !s.is(kwTransaction) {
			s.set(VerbAdmin, ClassOther, ReasonAdmin) // START REPLICA
			return
		}
		for s.advance() {
			if s.is(kwOnly) && s.p1.w != nil && s.p1.w.kw == kwRead {
				s.st.Verb = VerbStartReadOnly
			}
		}
	case kwCommit, kwRollback:
		s.st.Verb = VerbCommit
		if k == kwRollback {
			s.st.Verb = VerbRollback
		}
		for s.advance() {
			no := s.p1.w != nil && s.p1.w.kw == kwNo
			switch {
			case s.is(kwTo):
				s.st.Verb = VerbSavepoint
			case s.is(kwChain):
				s.st.Chain = !no
			case s.is(kwRelease):
				s.st.Release = !no
			}
		}
	case kwSavepoint, kwRelease:
		s.st.Verb = VerbSavepoint
	case kwXA:
		s.st.Verb = VerbXA
		s.st.MayChangeSession = true
	}
}

// word says whether the present token is the word, given in capitals.
func (s *scanner) word(name string) bool {
	return s.t.kind == tokWord && equalFold(s.b[s.t.start:s.t.end], name)
}

// ddl reads CREATE, ALTER, DROP, RENAME and TRUNCATE.
func (s *scanner) ddl() {
	verb := VerbTruncate
	switch s.t.w.kw {
	case kwCreate:
		verb = VerbCreate
	case kwAlter:
		verb = VerbAlter
	case kwDrop:
		verb = VerbDrop
	case kwRename:
		verb = VerbRename
	}
	s.set(verb, ClassWrite, ReasonDDL)
	if !s.advance() {
		return
	}
	for s.word("OR") || s.is(kwReplace) {
		if !s.advance() {
			return
		}
	}
	switch {
	case s.is(kwUser), s.is(kwRole):
		s.account(VerbAccountAdmin)
	case s.is(kwPrepare) && verb == VerbDrop:
		s.prepare(VerbDeallocate)
	case s.is(kwInstance), s.is(kwServer):
		s.st.Verb = VerbAdmin
	}
}

// load reads LOAD DATA and LOAD XML.
func (s *scanner) load() {
	s.set(VerbLoadData, ClassWrite, ReasonLoadData)
	if !s.advance() {
		return
	}
	if !s.is(kwData) && !s.is(kwXML) {
		s.set(VerbAdmin, ClassOther, ReasonAdmin) // LOAD INDEX INTO CACHE
		return
	}
	for s.advance() {
		switch {
		case s.is(kwLocal):
			s.st.Verb = VerbLoadLocal
			return
		case s.t.kind == tokString:
			return
		}
	}
}

// flush reads FLUSH.
func (s *scanner) flush() {
	s.set(VerbFlush, ClassOther, ReasonAdmin)
	for s.advance() {
		switch {
		case s.is(kwPrivileges), s.word("USER_RESOURCES"):
			s.st.AccountAdmin = true
			s.st.Class, s.st.Reason = ClassWrite, ReasonAccountAdmin
		case s.is(kwLock), s.is(kwExport): // WITH READ LOCK, FOR EXPORT
			s.session(VerbFlush, ReasonLockTables)
			s.st.AcquiresLock = true
		}
	}
}

// kill reads KILL [HARD|SOFT] [CONNECTION|QUERY] id.
func (s *scanner) kill() {
	s.set(VerbKill, ClassOther, ReasonKill)
	s.st.KillOther = true
	more := s.advance()
	if more && (s.is(kwHard) || s.is(kwSoft)) {
		s.st.KillSoft = s.is(kwSoft)
		more = s.advance()
	}
	if more && (s.is(kwConnection) || s.is(kwQuery)) {
		s.st.KillQuery = s.is(kwQuery)
		more = s.advance()
	}
	if !more || s.t.kind != tokNumber {
		return
	}
	id, ok := decimal(s.b[s.t.start:s.t.end])
	span := Span{int(s.t.start), int(s.t.end)}
	if ok && !s.advance() {
		s.st.KillOther, s.st.KillID, s.st.KillSpan = false, id, span
	}
}

// decimal reads digits; ok is false for anything else, and for what is too large.
func decimal(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
