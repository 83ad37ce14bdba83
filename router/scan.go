package router

// scanner walks over the tokens of one text and notes, for each, what it means
// for the statement: every token counts, whatever the verb, because a flag that
// the session needs may stand anywhere.
type scanner struct {
	lexer
	st  *Statement
	cat *Catalog

	found Reason // why it is no plain read, as far as seen
	depth int    // open parentheses

	t          *token // the present token
	p1, p2, p3 *token // the ones before it
	tokens     [4]token
	dots       int // how many names are joined by dots, up to the last token, less one

	cteOpen  bool // in the list of WITH, whose names can have column lists
	cteDepth int

	exprs   bool // a word has been seen after which expressions come
	create  bool // CREATE has been seen in this statement
	drop    bool
	grants  bool // a@b names an account in this statement
	pending bool // the last token was @@
}

// note records why the statement is no plain read. What a hint cannot widen
// counts more than what it can; else the first reason stands.
func (s *scanner) note(r Reason) {
	if s.found == ReasonNone || s.found.widenable() && !r.widenable() {
		s.found = r
	}
}

// advance reads the next token of the statement into s.t and inspects it. It
// returns false at the end of the statement: at a semicolon or of the text.
func (s *scanner) advance() bool {
	s.t, s.p1, s.p2, s.p3 = s.p3, s.t, s.p1, s.p2
	s.lexer.read(s.t)
	if s.pending && s.t.kind != tokAtAt {
		s.systemVariable()
	}
	switch s.t.kind {
	case tokWord:
		if s.p1.kind != tokPunct || s.p1.c != '.' {
			s.dots = 0
		}
		if s.t.w != nil {
			s.keyword(s.t.w)
		}
		if s.cat != nil && s.cat.watchesNames {
			s.name()
		}
	case tokQuoted:
		if s.p1.kind != tokPunct || s.p1.c != '.' {
			s.dots = 0
		}
		if s.cat != nil && s.cat.watchesNames {
			s.name()
		}
	case tokPunct:
		return s.punct()
	case tokAt:
		s.userVariable()
	case tokAtAt:
		s.pending = true
	case tokAssign:
		s.note(ReasonUserVariable)
	case tokEOF:
		return false
	}
	return true
}

// rest reads the statement to its end.
func (s *scanner) rest() {
	for s.advance() {
	}
}

func (s *scanner) punct() bool {
	switch s.t.c {
	case '(':
		s.depth++
		if s.p1.kind == tokWord || s.p1.kind == tokQuoted {
			s.call()
		} else if s.cteOpen && s.depth == s.cteDepth+1 {
			s.cteOpen = s.p1.kind != tokPunct || s.p1.c != ')' // WITH a AS (...) (SELECT ...)
		}
	case ')':
		s.depth--
	case '.':
		if s.p1.kind == tokWord || s.p1.kind == tokQuoted {
			s.dots++
			s.schema()
		}
	case ';':
		return false
	}
	return true
}

// systemVariable judges the token after @@.
func (s *scanner) systemVariable() {
	s.pending = false
	w := s.t.w
	if w != nil && (w.kw == kwGlobal || w.kw == kwPersist || w.serverVar) {
		s.note(ReasonServerVariable)
		return
	}
	s.st.UsesHome = true
	s.note(ReasonSessionVariable)
}

// userVariable judges @. In statements about accounts, and after a name in what
// is no query, it joins a user and a host.
func (s *scanner) userVariable() {
	s.note(ReasonUserVariable)
	account := s.p1.end == s.t.start &&
		(s.p1.kind == tokString || s.p1.kind == tokQuoted || s.p1.kind == tokWord && s.p1.w == nil)
	if s.grants || account && (s.create || s.drop || s.st.Verb == VerbAlter || s.st.Verb == VerbShow) {
		return
	}
	s.st.UserVars = true
	s.st.UsesHome = true
}

// schema judges a name before a dot.
func (s *scanner) schema() {
	w := s.p1.w
	if s.p1.kind == tokQuoted {
		w = lookupBytes(unquote(s.b[s.p1.start:s.p1.end]))
	}
	if w == nil {
		return
	}
	switch w.kw {
	case kwMysql:
		s.note(ReasonServerSchema)
		switch s.st.Verb {
		case VerbInsert, VerbUpdate, VerbDelete, VerbReplace, VerbTruncate, VerbDrop, VerbAlter, VerbRename,
			VerbLoadData, VerbLoadLocal, VerbUnknown:
			s.st.AccountAdmin = true // tables of accounts may be among them
		}
	case kwSysSchema:
		s.note(ReasonServerSchema)
	}
}

// keyword judges a word. A column can be called like some of these after a dot,
// or where they are not reserved: then the leader gets a statement too many.
func (s *scanner) keyword(w *word) {
	switch w.kw {
	case kwNone, kwOther:
	case kwInto, kwOutfile, kwDumpfile:
		s.note(ReasonInto)
	case kwUpdate:
		if s.p1.w != nil && s.p1.w.kw == kwFor {
			s.note(ReasonForUpdate)
		} else {
			s.note(ReasonWrite)
		}
	case kwShare:
		if s.p1.w != nil && s.p1.w.kw == kwFor {
			s.note(ReasonForUpdate)
		}
	case kwLock:
		s.note(ReasonForUpdate)
	case kwDelete:
		s.note(ReasonWrite)
	case kwProcedure:
		if s.st.Verb != VerbShow {
			s.note(ReasonProcedureAnalyse)
		}
	case kwFor:
		if s.p1.w != nil && s.p1.w.kw == kwValue {
			s.note(ReasonSequence)
		}
	case kwSequenceColumn:
		if s.p1.kind == tokPunct && s.p1.c == '.' {
			s.note(ReasonSequence)
		}
	case kwSQLCalcFoundRows:
		s.st.UsesHome = true
		s.note(ReasonFoundRows)
	case kwCurrentUser:
		s.st.UsesHome = true
		s.note(ReasonConnectionFunction)
	case kwUnsafeIntroducer:
		s.note(ReasonCharset)
	default:
		s.structure(w.kw)
	}
}

// structure notes the words that say what the rest of a statement is about.
func (s *scanner) structure(k kw) {
	switch k {
	case kwFrom, kwJoin:
		s.st.ReadsTables = true
	case kwTable:
		s.st.ReadsTables = true
		s.cteOpen = false
		s.st.DropsTable = s.st.DropsTable || s.drop
	case kwTables:
		s.st.DropsTable = s.st.DropsTable || s.drop
	case kwSelect, kwValues:
		if s.depth == s.cteDepth {
			s.cteOpen = false
		}
		s.exprs = true
	case kwSet, kwValue:
		s.exprs = true
	case kwWith:
		if s.atQueryStart() {
			s.cteOpen, s.cteDepth = true, s.depth
		}
	case kwCreate:
		s.create = true
	case kwDrop:
		s.drop = true
	case kwTemporary:
		s.st.CreatesTempTable = s.st.CreatesTempTable || s.create
	case kwAutocommit:
		s.st.SetsAutocommit = s.st.SetsAutocommit || s.st.Verb >= VerbSet && s.st.Verb <= VerbSetStatement || s.exec
	case kwInsert, kwReplace:
		// As functions they follow an operator, a comma or a word; at the head of
		// a statement they follow nothing or a WITH list.
		if !s.peekParen() || s.p1.kind == tokPunct && s.p1.c == ')' || s.p1.kind == tokEOF {
			s.note(ReasonWrite)
		}
	}
}

// atQueryStart says whether the present token can begin a query.
func (s *scanner) atQueryStart() bool {
	switch s.p1.kind {
	case tokEOF:
		return true
	case tokPunct:
		return s.p1.c == '(' || s.p1.c == ';'
	case tokWord:
		return s.p1.w != nil && (s.p1.w.kw == kwExplain || s.p1.w.kw == kwDescribe || s.p1.w.kw == kwDesc ||
			s.p1.w.kw == kwAnalyze)
	}
	return false
}

// peekParen says whether the next token is an opening parenthesis, comments
// between not counted: they are rare, and the answer no is the careful one.
func (s *scanner) peekParen() bool {
	for p := s.lexer.pos; p < len(s.b); p++ {
		if !isSpace(s.b[p]) {
			return s.b[p] == '('
		}
	}
	return false
}

// name looks a name up among the views that are no plain reads.
func (s *scanner) name() {
	b := s.b[s.t.start:s.t.end]
	if s.t.kind == tokQuoted {
		b = unquote(b)
	}
	if s.cat.unsafeView(b) {
		s.note(ReasonUnsafeView)
	}
}

// unquote takes the quotes off a quoted name. Doubled quotes within stay.
func unquote(b []byte) []byte {
	if len(b) < 2 {
		return nil
	}
	return b[1 : len(b)-1]
}
