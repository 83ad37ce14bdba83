package router

import (
	"slices"
	"strings"
)

// Routine is a stored routine, as information_schema.routines gives it.
type Routine struct {
	Schema, Name string
	Function     bool
	DataAccess   string // SQL_DATA_ACCESS: NO SQL, READS SQL DATA, CONTAINS SQL, MODIFIES SQL DATA
	Body         string // ROUTINE_DEFINITION; empty where it may not be seen
}

// View is a view, as information_schema.views gives it.
type View struct {
	Schema, Name string
	Definition   string // VIEW_DEFINITION; empty where it may not be seen
}

// Catalog is what is known of stored functions and views: which of them can be
// used on a follower. It is immutable. A nil Catalog knows nothing.
type Catalog struct {
	byName    map[string]bool // lower-case name -> all functions of that name, in whatever schema, are safe
	qualified map[string]bool // lower-case schema, NUL, lower-case name -> safe
	views     map[string]bool // lower-case names of views that are no plain reads, in whatever schema
	// watchesNames: there are such views, so that names have to be looked up.
	watchesNames bool
	// foreignViews: one of them has a name beyond ASCII, whose case is not
	// folded here: any such name is taken for it.
	foreignViews bool
	temporary    bool     // a routine may make temporary tables
	assigns      []string // variables that routines name as @@name
}

type routineState uint8

const (
	routineUnknown routineState = iota
	routineSafe
	routineUnsafe
)

// maxName is the longest name of an object, in bytes: 64 characters.
const maxName = 64 * 4

// function says what is known of a function; schema is nil where the call does
// not give it: then all functions of the name must be safe.
func (c *Catalog) function(schema, name []byte) routineState {
	if c == nil {
		return routineUnknown
	}
	var buf [2*maxName + 1]byte
	if len(name) > maxName || len(schema) > maxName || !isASCII(name) || !isASCII(schema) {
		return routineUnknown
	}
	n := 0
	if schema != nil {
		n = copyLower(buf[:], schema)
		buf[n] = 0
		n++
	}
	n += copyLower(buf[n:], name)
	var safe, known bool
	if schema != nil {
		safe, known = c.qualified[string(buf[:n])]
	} else {
		safe, known = c.byName[string(buf[:n])]
	}
	switch {
	case !known:
		return routineUnknown
	case safe:
		return routineSafe
	}
	return routineUnsafe
}

// hasNone says whether it is known that there is no routine of the name.
func (c *Catalog) hasNone(name []byte) bool {
	if c == nil || len(name) > maxName {
		return false
	}
	var buf [maxName]byte
	n := copyLower(buf[:], name)
	_, known := c.byName[string(buf[:n])]
	return !known
}

// unsafeView says whether a name may be that of a view that is no plain read.
func (c *Catalog) unsafeView(name []byte) bool {
	if len(name) > maxName {
		return false
	}
	if c.foreignViews && !isASCII(name) {
		return true
	}
	var buf [maxName]byte
	n := copyLower(buf[:], name)
	return c.views[string(buf[:n])]
}

func copyLower(dst, src []byte) int {
	for i, c := range src {
		dst[i] = lowerByte(c)
	}
	return len(src)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// NewCatalog judges routines and views. A function is safe when it is declared
// not to modify data and nothing in its body does more than read; functions and
// views that use others are judged by those. What cannot be seen is not safe.
func NewCatalog(routines []Routine, views []View) *Catalog {
	c := &Catalog{byName: map[string]bool{}, qualified: map[string]bool{}, views: map[string]bool{}}
	// First believe in all that are declared harmless, then take away, until
	// nothing changes: safety of functions that call each other is a greatest
	// fixed point.
	safe := make([]bool, len(routines))
	for i := range routines {
		if r := &routines[i]; !containsFold(serverSchemas, r.Schema) {
			for name := range VariablesNamed([]byte(r.Body)) {
				if !slices.Contains(c.assigns, name) {
					c.assigns = append(c.assigns, name)
				}
			}
			c.temporary = c.temporary || r.Body == "" || mentionsTemporary(r.Body)
		}
		safe[i] = declaredHarmless(&routines[i])
	}
	unsafe := make([]bool, len(views))
	c.publish(routines, safe, views, unsafe)
	for changed := true; changed; {
		changed = false
		for i := range routines {
			if safe[i] && !bodySafe(routines[i].Body, c) {
				safe[i], changed = false, true
			}
		}
		for i := range views {
			if !unsafe[i] && !viewSafe(views[i].Definition, c) {
				unsafe[i], changed = true, true
			}
		}
		c.publish(routines, safe, views, unsafe)
	}
	return c
}

// publish fills the maps from what is believed now.
func (c *Catalog) publish(routines []Routine, safe []bool, views []View, unsafe []bool) {
	clear(c.byName)
	clear(c.qualified)
	for i := range routines {
		name, schema := lower(routines[i].Name), lower(routines[i].Schema)
		and(c.byName, name, safe[i])
		and(c.qualified, schema+"\x00"+name, safe[i])
	}
	for i := range views {
		if unsafe[i] {
			c.views[lower(views[i].Name)] = true
			c.watchesNames = true
			c.foreignViews = c.foreignViews || !isASCII([]byte(views[i].Name))
		}
	}
}

func and(m map[string]bool, key string, v bool) {
	old, ok := m[key]
	m[key] = v && (old || !ok)
}

// declaredHarmless says whether a routine is a function, is declared not to
// modify data, and can be looked into.
func declaredHarmless(r *Routine) bool {
	if !r.Function || r.Body == "" || !isASCII([]byte(r.Name)) {
		return false
	}
	switch strings.ToUpper(r.DataAccess) {
	case "NO SQL", "READS SQL DATA", "CONTAINS SQL":
		return true
	}
	return false
}

// storedModes are the ways in which the text of a stored object may have to be
// split: it was written under a sql_mode of its own.
var storedModes = []Mode{
	{}, {ANSIQuotes: true}, {NoBackslashEscapes: true}, {ANSIQuotes: true, NoBackslashEscapes: true},
}

func viewSafe(definition string, c *Catalog) bool {
	for _, m := range storedModes {
		if st := Classify([]byte(definition), m, c); !st.IsRead() {
			return false
		}
	}
	return true
}

func bodySafe(body string, c *Catalog) bool {
	for _, m := range storedModes {
		if !bodySafeIn(m, body, c) {
			return false
		}
	}
	return true
}

// bodySafeIn looks for anything in the body of a function that changes more
// than its own variables.
func bodySafeIn(m Mode, body string, c *Catalog) bool {
	var st Statement
	st.Verb = VerbSelect
	s := scanner{lexer: lexer{b: []byte(body), m: m}, st: &st, cat: c}
	s.t, s.p1, s.p2, s.p3 = &s.tokens[0], &s.tokens[1], &s.tokens[2], &s.tokens[3]
	vars := map[string]bool{}
	declaring, setting := false, false // in a list of names after DECLARE; in the assignments of SET
	for {
		more := s.advance()
		end := s.t.kind == tokPunct && s.t.c == ';'
		if s.found == ReasonInto {
			s.found = ReasonNone // a local variable; OUTFILE and DUMPFILE are forbidden below
		}
		switch {
		case s.found != ReasonNone:
			return false
		case end:
			declaring, setting = false, false
		case !more:
			return !s.weird && !s.exec
		case s.is(kwDeclare):
			declaring = true
		case s.is(kwSet) && !s.p1.wIs(kwCharacter):
			setting = true
		case declaring && (s.t.kind == tokWord || s.t.kind == tokQuoted) && declares(&s):
			vars[s.variable()] = true
		case setting && assigns(&s) && !vars[s.variable()]:
			return false // a parameter, or a system variable
		case s.is(kwHandler) && (s.p1.kind == tokWord && (s.spells(s.p1, "CONTINUE") || s.spells(s.p1, "EXIT"))):
			declaring = false
		case s.t.w != nil && forbiddenInBody(s.t.w):
			return false
		}
	}
}

func (t *token) wIs(k kw) bool { return t.w != nil && t.w.kw == k }

// spells says whether a token is the word, given in capitals.
func (s *scanner) spells(t *token, name string) bool { return equalFold(s.b[t.start:t.end], name) }

// variable returns the present token as the name of a variable.
func (s *scanner) variable() string {
	b := s.b[s.t.start:s.t.end]
	if s.t.kind == tokQuoted {
		b = unquote(b)
	}
	return lower(string(b))
}

// declares says whether the present token is a name in the list after DECLARE.
func declares(s *scanner) bool {
	return s.p1.wIs(kwDeclare) || s.p1.kind == tokPunct && s.p1.c == ','
}

// assigns says whether the present token is what SET assigns to.
func assigns(s *scanner) bool {
	return s.depth == 0 && (s.p1.wIs(kwSet) || s.p1.kind == tokPunct && s.p1.c == ',')
}

// forbiddenInBody says whether a word has no place in a function that only reads.
func forbiddenInBody(w *word) bool {
	switch w.kw {
	case kwOutfile, kwDumpfile, kwCall, kwCreate, kwDrop, kwAlter, kwTruncate, kwRename, kwPrepare, kwExecute,
		kwDeallocate, kwHandler, kwLoad, kwFlush, kwKill, kwGrant, kwRevoke, kwGlobal, kwPersist, kwTemporary, kwAdmin,
		kwCommit, kwRollback, kwSavepoint, kwStart, kwAutocommit, kwUse, kwLock, kwUnlock, kwXA, kwShow:
		return true
	}
	return false
}

// MakesTemporary says whether a stored routine may make temporary tables: what a
// CALL may leave behind without the server's trackers telling. With a nil Catalog
// any may.
func (c *Catalog) MakesTemporary() bool { return c == nil || c.temporary }

func mentionsTemporary(body string) bool { return strings.Contains(strings.ToLower(body), "temporary") }

// Assigns returns the system variables that stored routines name as @@name, in
// lower case: what a CALL may change without the server's trackers telling.
func (c *Catalog) Assigns() []string {
	if c == nil {
		return nil
	}
	return c.assigns
}

// CallsUnknown says whether a text that holds CALL names a procedure that is not
// in the Catalog: one made since it was read, or a package's. Nothing is known of
// what such a call leaves behind. A nil Catalog knows none.
func (c *Catalog) CallsUnknown(sql []byte, m Mode) bool {
	l := lexer{b: sql, m: m}
	for t := l.next(); t.kind != tokEOF; {
		if !t.wIs(kwCall) {
			t = l.next()
			continue
		}
		name, ok := plainName(sql, l.next())
		t = l.next()
		for ok && t.kind == tokPunct && t.c == '.' {
			name, ok = plainName(sql, l.next())
			t = l.next()
		}
		if _, known := c.known(name); !ok || !known {
			return true
		}
	}
	return false
}

func (c *Catalog) known(name string) (safe, known bool) {
	if c == nil {
		return false, false
	}
	safe, known = c.byName[lower(name)]
	return safe, known
}
