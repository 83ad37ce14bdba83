package router

import "slices"

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
	names   map[tableName]int // how often each may have been made
	unknown bool
}

type tableName struct{ schema, name string }

// Apply notes a statement that the server has accepted; schema is the default
// schema that it ran under. It costs nothing where the statement cannot concern
// temporary tables.
func (t *TempTables) Apply(sql []byte, m Mode, st *Statement, schema string) {
	switch {
	case st.CreatesTempTable:
		names, ok := tableNames(sql, m, schema)
		if !ok || len(names) < 1 || st.Multi || st.Opaque || st.Verb != VerbCreate || len(t.names) >= maxTempTables {
			t.unknown = true
			return
		}
		if t.names == nil {
			t.names = make(map[tableName]int)
		}
		t.names[names[0]]++
	case t.unknown || len(t.names) == 0:
	case st.Verb == VerbAlter || st.Verb == VerbRename:
		t.unknown = true // may have another name now
	case st.Verb == VerbDrop && st.DropsTable && !st.Multi && !st.Opaque:
		names, ok := tableNames(sql, m, schema)
		if !ok {
			return
		}
		for _, n := range names {
			if t.names[n]--; t.names[n] <= 0 {
				delete(t.names, n)
			}
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

// tableNames returns the names that CREATE TEMPORARY TABLE or DROP TABLE gives.
// Names are not folded: where a server folds them, a table may stay in the set
// that is gone, which is the careful mistake. ok is false where the list cannot
// be read.
func tableNames(sql []byte, m Mode, schema string) (names []tableName, ok bool) {
	l := lexer{b: sql, m: m}
	t := l.next()
	for !t.wIs(kwTable) && !t.wIs(kwTables) {
		if t.kind == tokEOF {
			return nil, false
		}
		t = l.next()
	}
	t = l.next()
	for t.kind == tokWord && (equalFold(sql[t.start:t.end], "IF") || t.wIs(kwNot) || equalFold(sql[t.start:t.end], "EXISTS")) {
		t = l.next()
	}
	for {
		n := tableName{schema: schema}
		if n.name, ok = plainName(sql, t); !ok {
			return nil, false
		}
		t = l.next()
		if t.kind == tokPunct && t.c == '.' {
			n.schema = n.name
			if n.name, ok = plainName(sql, l.next()); !ok {
				return nil, false
			}
			t = l.next()
		}
		names = append(names, n)
		if t.kind != tokPunct || t.c != ',' {
			return names, true
		}
		t = l.next()
	}
}

// plainName returns the name that a token spells; ok is false where it is none,
// or has a quote in it.
func plainName(sql []byte, t token) (name string, ok bool) {
	b := sql[t.start:t.end]
	switch t.kind {
	case tokWord:
	case tokQuoted:
		quote := b[0]
		b = unquote(b)
		if slices.Contains(b, quote) {
			return "", false
		}
	default:
		return "", false
	}
	return string(b), len(b) > 0
}
