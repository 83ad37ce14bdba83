package router

// maxTempTables is how many names a session's set holds; with more, and where
// names are in doubt, any table may be a temporary one.
const maxTempTables = 256

// TempTables knows by name the temporary tables of one session, as far as texts
// tell, so that its reads may go to followers again once the tables are gone.
// The zero value is empty. It is not safe for concurrent use.
//
// What texts do not tell (tables made by a procedure, a trigger, an executed
// prepared statement) the server's tracker of session state does: see
// Statement.Opaque and MarkUnknown.
type TempTables struct {
	names   map[string]struct{} // without schema, lower case
	unknown bool
}

// Apply notes a statement that the server has accepted. It costs nothing where
// the statement cannot concern temporary tables.
func (t *TempTables) Apply(sql []byte, m Mode, st *Statement) {
	switch {
	case st.CreatesTempTable:
		name := ""
		if !st.Multi && !st.Opaque && st.Verb == VerbCreate {
			name = soleTable(sql, m, true)
		}
		if name == "" || len(t.names) >= maxTempTables {
			t.unknown = true
			return
		}
		if t.names == nil {
			t.names = make(map[string]struct{})
		}
		t.names[name] = struct{}{}
	case t.unknown || len(t.names) == 0:
	case st.Verb == VerbAlter || st.Verb == VerbRename:
		t.unknown = true // may have another name now
	case st.DropsTable && !st.Multi && !st.Opaque && st.Verb == VerbDrop:
		// Only a name that stands for one table leaves the set: of two schemas'
		// temporary tables of one name, one may be left.
		if name := soleTable(sql, m, false); name != "" {
			delete(t.names, name)
		}
	}
}

// MarkUnknown notes that there may be temporary tables whose names are not
// known, as when the server reports a change of state that no text explains.
func (t *TempTables) MarkUnknown() { t.unknown = true }

// Any says whether the session has, or may have, temporary tables.
func (t *TempTables) Any() bool { return t.unknown || len(t.names) > 0 }

// Reset forgets all: the connection was reset, or is a new one.
func (t *TempTables) Reset() { *t = TempTables{} }

// soleTable returns the name of the only table that CREATE TEMPORARY TABLE or
// DROP TABLE names, in lower case, or nothing where it is given with a schema,
// is not alone, or is not plain ASCII.
func soleTable(sql []byte, m Mode, create bool) string {
	l := lexer{b: sql, m: m}
	t := l.next()
	for t.kind != tokEOF && !t.wIs(kwTable) && !t.wIs(kwTables) {
		t = l.next()
	}
	t = l.next()
	for t.kind == tokWord && (equalFold(sql[t.start:t.end], "IF") || t.wIs(kwNot) || equalFold(sql[t.start:t.end], "EXISTS")) {
		t = l.next()
	}
	name := sql[t.start:t.end]
	switch t.kind {
	case tokQuoted:
		name = unquote(name)
	case tokWord:
	default:
		return ""
	}
	next := l.next()
	if next.kind == tokPunct && (next.c == '.' || next.c == ',' && !create) || !isASCII(name) {
		return ""
	}
	return lower(string(name))
}
