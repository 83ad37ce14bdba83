package router

import (
	"bytes"
	"strings"
)

// OwnKind says what a statement wants of Bellwether's own variables.
type OwnKind uint8

// Kinds of statements about Bellwether's own variables.
const (
	OwnNone   OwnKind = iota // nothing: the servers' affair
	OwnSet                   // SET bellwether_x = value, ...
	OwnSelect                // SELECT @@bellwether_x, ...
	OwnShow                  // SHOW VARIABLES LIKE 'bellwether%'
	OwnBad                   // names one in a way that cannot be answered; Own.Err says why
)

// Own is what a statement says about Bellwether's own variables, whose names begin
// with bellwether_. No server knows them.
type Own struct {
	Kind    OwnKind
	Items   []OwnItem // OwnSet: assignments; OwnSelect: columns
	Pattern string    // OwnShow: of LIKE
	Err     string    // OwnBad
}

// OwnItem is one assignment, or one column.
type OwnItem struct {
	Name  string // in lower case
	Title string // OwnSelect: the column's name, as a server would give it
	Value string // OwnSet: a literal without its quotes, or a word
	// Default: OwnSet to DEFAULT, not in quotes.
	Default bool
	Global  bool // named with GLOBAL or PERSIST
}

const ownPrefix = "bellwether_"

// MayBeOwn says whether ParseOwn has anything to look at: cheap, and no for all
// plain reads and writes.
func (s *Statement) MayBeOwn(sql []byte) bool {
	switch {
	case s.Verb == VerbSet, s.Verb == VerbSelect && s.Class == ClassHome:
		return ContainsFold(sql, ownPrefix)
	case s.Verb == VerbShow && s.Reason == ReasonSessionState, s.Verb == VerbShow && s.Reason == ReasonServerState:
		return ContainsFold(sql, "bellwether")
	}
	return false
}

// ContainsFold says whether b contains word, which is in lower case, in whatever case.
// Only ASCII letters are folded, as servers do with keywords. It does not allocate.
func ContainsFold(b []byte, word string) bool {
	first := word[:1]
	if c := word[0]; c >= 'a' && c <= 'z' {
		first = string([]byte{c, c - 'a' + 'A'})
	}
	for {
		i := bytes.IndexAny(b, first)
		if i < 0 || len(b)-i < len(word) {
			return false
		}
		if b = b[i:]; equalsLower(b[:len(word)], word) {
			return true
		}
		b = b[1:]
	}
}

// equalsLower says whether b is the word, which is in lower case.
func equalsLower(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if lowerByte(b[i]) != word[i] {
			return false
		}
	}
	return true
}

// ParseOwn says what a SET, SELECT or SHOW is about. Whatever does not name one of
// Bellwether's variables is OwnNone.
func ParseOwn(sql []byte, m Mode) Own {
	p := ownParser{lexer: lexer{b: sql, m: m}}
	p.next()
	switch {
	case p.take("set"):
		return p.set()
	case p.take("select"):
		return p.selects()
	case p.take("show"):
		return p.show()
	}
	return Own{}
}

// ownParser reads a statement token by token; t is the next one.
type ownParser struct {
	lexer
	t token
}

func (p *ownParser) next() { p.t = p.lexer.next() }

func (p *ownParser) text() []byte { return p.b[p.t.start:p.t.end] }

func (p *ownParser) is(word string) bool { return p.t.kind == tokWord && equalsLower(p.text(), word) }

func (p *ownParser) take(word string) bool {
	if p.is(word) {
		p.next()
		return true
	}
	return false
}

func (p *ownParser) punct(c byte) bool {
	if p.t.kind == tokPunct && p.t.c == c {
		p.next()
		return true
	}
	return false
}

// end says whether nothing follows but a semicolon.
func (p *ownParser) end() bool {
	p.punct(';')
	return p.t.kind == tokEOF
}

// scope reads SESSION, LOCAL, GLOBAL ... where one is given.
func (p *ownParser) scope() (global bool) {
	switch {
	case p.take("session"), p.take("local"):
	case p.take("global"), p.take("persist"), p.take("persist_only"):
		return true
	}
	return false
}

// variable reads @@[scope.]name, or [scope] name where bare is set. own says whether
// it is one of ours.
func (p *ownParser) variable(bare bool) (item OwnItem, own bool) {
	at := p.t.kind == tokAtAt
	switch {
	case at:
		p.next()
		if item.Global = p.scope(); p.t.kind == tokPunct && p.t.c == '.' {
			p.next()
		}
	case bare:
		item.Global = p.scope()
	default:
		return item, false
	}
	name := p.text()
	if p.t.kind == tokQuoted {
		name = unquote(name)
	} else if p.t.kind != tokWord {
		return item, false
	}
	if len(name) < len(ownPrefix) || !equalsLower(name[:len(ownPrefix)], ownPrefix) {
		return item, false
	}
	item.Name = lower(string(name))
	p.next()
	return item, true
}

// set reads the assignments of SET.
func (p *ownParser) set() Own {
	o := Own{Kind: OwnSet}
	own, others, bad := 0, 0, ""
	for {
		item, ours := p.variable(true)
		if !ours {
			others++
			p.skipItem()
		} else {
			own++
			if !p.assignment(&item) {
				bad = "the value of " + item.Name + " must be a literal or DEFAULT"
				p.skipItem()
			}
			o.Items = append(o.Items, item)
		}
		if !p.punct(',') {
			break
		}
	}
	switch {
	case own == 0:
		return Own{}
	case others > 0:
		return Own{Kind: OwnBad, Err: "a SET of Bellwether's variables and the server's must be two statements; nothing was set"}
	case bad == "" && !p.end():
		bad = "a SET of Bellwether's variables must be a statement of its own"
	}
	if bad != "" {
		return Own{Kind: OwnBad, Err: bad + "; nothing was set"}
	}
	return o
}

// assignment reads = value, and says whether that is one that can be understood.
func (p *ownParser) assignment(item *OwnItem) bool {
	if p.t.kind == tokAssign {
		p.next()
	} else if !p.punct('=') {
		return false
	}
	text := p.text()
	switch p.t.kind {
	case tokString, tokQuoted:
		item.Value = string(unquote(text))
	case tokWord, tokNumber:
		item.Value = string(text)
		item.Default = equalsLower(text, "default")
	default:
		return false
	}
	p.next()
	return p.t.kind == tokEOF || p.t.kind == tokPunct && (p.t.c == ',' || p.t.c == ';')
}

// skipItem goes to the comma or semicolon that ends an assignment.
func (p *ownParser) skipItem() {
	for depth := 0; p.t.kind != tokEOF; p.next() {
		if p.t.kind != tokPunct {
			continue
		}
		switch p.t.c {
		case '(':
			depth++
		case ')':
			depth--
		case ',', ';':
			if depth <= 0 {
				return
			}
		}
	}
}

// selects reads SELECT @@bellwether_x [AS title], ...
func (p *ownParser) selects() Own {
	o := Own{Kind: OwnSelect}
	simple := true
	for simple {
		start := p.t.start
		item, ours := p.variable(false)
		if !ours {
			simple = false
			break
		}
		item.Title = string(bytes.TrimSpace(p.b[start:p.before()]))
		simple = p.title(&item)
		o.Items = append(o.Items, item)
		if !p.punct(',') {
			break
		}
	}
	if simple && p.take("limit") && p.t.kind == tokNumber {
		simple = string(p.text()) != "0"
		p.next()
	}
	if simple && p.end() {
		return o
	}
	if len(o.Items) == 0 && !p.names() {
		return Own{}
	}
	return Own{Kind: OwnBad, Err: "Bellwether's variables can only be selected by themselves, as in SELECT @@bellwether_token"}
}

// before is where the last token ended.
func (p *ownParser) before() int32 {
	end := p.t.start
	for end > 0 && isSpace(p.b[end-1]) {
		end--
	}
	return end
}

// title reads [AS] name after a column.
func (p *ownParser) title(item *OwnItem) bool {
	as := p.take("as")
	switch text := p.text(); {
	case p.t.kind == tokString, p.t.kind == tokQuoted:
		item.Title = string(unquote(text))
	case p.t.kind == tokWord && (as || !p.is("limit") && !p.is("from") && !p.is("into")):
		item.Title = string(text)
	default:
		return !as
	}
	p.next()
	return true
}

// names says whether one of Bellwether's variables is named in what is left.
func (p *ownParser) names() bool {
	for p.t.kind != tokEOF {
		if p.t.kind != tokAtAt {
			p.next()
			continue
		}
		if _, ours := p.variable(false); ours {
			return true
		}
	}
	return false
}

// show reads SHOW VARIABLES LIKE 'bellwether...', or WHERE variable_name = it.
func (p *ownParser) show() Own {
	p.scope()
	if !p.take("variables") {
		return Own{}
	}
	if p.take("where") {
		if p.t.kind == tokQuoted && equalsLower(unquote(p.text()), "variable_name") {
			p.next()
		} else if !p.take("variable_name") {
			return Own{}
		}
		if !p.punct('=') && !p.take("like") {
			return Own{}
		}
	} else if !p.take("like") {
		return Own{}
	}
	if p.t.kind != tokString && p.t.kind != tokQuoted {
		return Own{}
	}
	pattern := string(unquote(p.text()))
	p.next()
	if !p.end() || len(pattern) < len("bellwether") || !equalsLower([]byte(pattern[:len("bellwether")]), "bellwether") {
		return Own{}
	}
	return Own{Kind: OwnShow, Pattern: pattern}
}

// Like says whether a name matches a pattern of SQL's LIKE, in capitals or not.
func Like(pattern, name string) bool {
	return like(strings.ToLower(pattern), strings.ToLower(name))
}

// like matches by going back to the last % only, so its time is bounded by the
// product of the lengths.
func like(pattern, s string) bool {
	star, mark, i, j := -1, 0, 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '%':
			star, mark = i, j
			i++
			continue
		case i+1 < len(pattern) && pattern[i] == '\\' && pattern[i+1] == s[j]:
			i, j = i+2, j+1
			continue
		case i < len(pattern) && (pattern[i] == '_' || pattern[i] == s[j]):
			i, j = i+1, j+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star+1, mark
	}
	return strings.Trim(pattern[i:], "%") == ""
}
