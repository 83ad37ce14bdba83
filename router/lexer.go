package router

// tokKind is what a token is.
type tokKind uint8

const (
	tokEOF    tokKind = iota
	tokWord           // an unquoted name or keyword
	tokQuoted         // a quoted name
	tokString         // a string, without its introducer
	tokNumber
	tokPunct  // one byte, in token.c
	tokAt     // @: a user variable, or part of an account's name
	tokAtAt   // @@: a system variable
	tokAssign // :=
)

// token is a piece of the text: text[start:end].
type token struct {
	w          *word // of tokWord: what is known of it, or nil
	start, end int32 // no packet is that large
	kind       tokKind
	c          byte // of tokPunct
}

// lexer splits a text as the servers do. What two servers could split in
// different ways, or what none would accept, sets a flag.
type lexer struct {
	b   []byte
	pos int
	m   Mode

	weird bool // a byte, or an open quote or comment, that makes the split unsure
	high  bool // a byte over 0x7f outside quotes, in a character set where it could be space
	exec  bool // an executable comment: the code in it is code for some servers only

	inExec      int  // executable comments that are open
	started     bool // a token has been seen
	afterSelect bool // the last token was SELECT, or an option of it

	hint  Span // the content of a leading comment that begins with "bellwether:"
	hints int  // how many of those there were
}

// Byte classes, in identByte: 0 is not part of a name; others are the capital.
var identByte = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z':
			t[c] = byte(c) &^ 0x20
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '$', c >= 0x80:
			t[c] = byte(c)
		}
	}
	return t
}()

// charClass says how the token or the gap begins that a byte begins.
var charClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case isSpace(byte(c)) || c == '#' || c == '-' || c == '/' || c == '*':
			t[c] = classSkip // or an operator
		case identByte[c] != 0 && !isDigit(byte(c)):
			t[c] = classLetter
		}
	}
	return t
}()

const (
	classOther = iota
	classSkip
	classLetter
)

func isSpace(c byte) bool { return c == ' ' || (c >= '\t' && c <= '\r') }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// next returns the next token, skipping space and comments.
func (l *lexer) next() (t token) {
	l.read(&t)
	return t
}

// read reads the next token into t, skipping space and comments.
func (l *lexer) read(t *token) {
	if l.pos < len(l.b) && charClass[l.b[l.pos]] == classSkip {
		l.skip()
	}
	t.w, t.kind, t.c = nil, tokEOF, 0
	t.start = int32(l.pos)
	if l.pos >= len(l.b) {
		t.end = int32(l.pos)
		l.weird = l.weird || l.inExec > 0
		return
	}
	l.started = true
	c := l.b[l.pos]
	switch {
	case charClass[c] == classLetter:
		l.word(t)
	case isDigit(c) || c == '.' && l.pos+1 < len(l.b) && isDigit(l.b[l.pos+1]):
		l.number(t)
	default:
		l.other(t, c)
	}
	t.end = int32(l.pos)
	l.afterSelect = t.w != nil && (t.w.kw == kwSelect || l.afterSelect && t.w.kw == kwSQLNoCache)
}

// word reads an unquoted name.
func (l *lexer) word(t *token) {
	b, p, h, high := l.b, l.pos, uint32(hashBasis), byte(0)
	for p < len(b) {
		f := identByte[b[p]]
		if f == 0 {
			break
		}
		high |= b[p]
		h = (h ^ uint32(f)) * hashPrime
		p++
	}
	t.kind = tokWord
	l.pos = p
	if high >= 0x80 {
		l.high = l.high || l.m.Charset != CharsetUTF8
		return
	}
	if b[t.start] == '$' {
		l.weird = true // MySQL 9 quotes strings with $$ and $tag$
	}
	t.w = lookupWord(h, b[t.start:p])
}

// number reads a number, or a name that begins with digits. The server ends a
// number where the name of the next token may begin at once: 1.5FOR is two.
func (l *lexer) number(t *token) {
	b, p := l.b, l.pos
	t.kind = tokNumber
	for p < len(b) && isDigit(b[p]) {
		p++
	}
	switch {
	case p < len(b) && b[p] == '.':
		p++
		for p < len(b) && isDigit(b[p]) {
			p++
		}
		p = exponent(b, p)
	case p < len(b) && identByte[b[p]] != 0:
		if e := exponent(b, p); e > p {
			p = e
			break
		}
		// 0x1f, 0b01, or a name such as 1st.
		high := byte(0)
		for p < len(b) && identByte[b[p]] != 0 {
			high |= b[p]
			p++
		}
		if high >= 0x80 {
			l.high = l.high || l.m.Charset != CharsetUTF8
		}
		if !isPrefixedNumber(b[t.start:p]) {
			t.kind = tokWord
		}
	}
	l.pos = p
}

// exponent returns the end of e10, E+10 or e-10 at p, or p where there is none.
func exponent(b []byte, p int) int {
	if p >= len(b) || b[p]|0x20 != 'e' {
		return p
	}
	q := p + 1
	if q < len(b) && (b[q] == '+' || b[q] == '-') {
		q++
	}
	if q >= len(b) || !isDigit(b[q]) {
		return p
	}
	for q < len(b) && isDigit(b[q]) {
		q++
	}
	return q
}

func isPrefixedNumber(b []byte) bool {
	if len(b) < 3 || b[0] != '0' {
		return false
	}
	for _, c := range b[2:] {
		switch {
		case b[1] == 'x' && (isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f'):
		case b[1] == 'b' && (c == '0' || c == '1'):
		default:
			return false
		}
	}
	return b[1] == 'x' || b[1] == 'b'
}

// other reads a token that begins with neither a letter nor a digit.
func (l *lexer) other(t *token, c byte) {
	t.kind, t.c = tokPunct, c
	l.pos++
	switch c {
	case '\'':
		t.kind = tokString
		l.str('\'')
	case '"':
		if l.m.ANSIQuotes {
			t.kind = tokQuoted
			l.quoted('"')
		} else {
			t.kind = tokString
			l.str('"')
		}
	case '`':
		t.kind = tokQuoted
		l.quoted('`')
	case '@':
		t.kind = tokAt
		if l.pos < len(l.b) && l.b[l.pos] == '@' {
			t.kind = tokAtAt
			l.pos++
		}
	case ':':
		if l.pos < len(l.b) && l.b[l.pos] == '=' {
			t.kind = tokAssign
			l.pos++
		} else {
			l.weird = true // labels and host variables of stored programs
		}
	case '\\':
		if l.pos < len(l.b) && l.b[l.pos] == 'N' { // \N is NULL
			l.pos++
			t.kind = tokNumber
		} else {
			l.weird = true
		}
	case '(', ')', ',', ';', '.', '*', '=', '<', '>', '!', '+', '-', '/', '%', '&', '|', '^', '~', '?', '{', '}':
	default:
		l.weird = true // control bytes, NUL (which ends the text for a server's parser), [ and ]
	}
}

// str reads a string after its opening quote.
func (l *lexer) str(quote byte) {
	b, p, escapes := l.b, l.pos, !l.m.NoBackslashEscapes
	for p < len(b) {
		c := b[p]
		switch {
		case c == quote:
			if p+1 < len(b) && b[p+1] == quote {
				p += 2
				continue
			}
			l.pos = p + 1
			return
		case c == '\\' && escapes:
			p += 2
		case c >= 0x80 && l.m.Charset > CharsetSafe:
			n := charLen(l.m.Charset, b[p:])
			if n == 1 && p+1 < len(b) && isSpecialTail(b[p+1]) && !isSingle(l.m.Charset, c) {
				l.weird = true // not a character: servers need not agree where it ends
			}
			p += n
		default:
			p++
		}
	}
	l.pos = len(b)
	l.weird = true
}

// quoted reads a quoted name after its opening quote. Nothing escapes in it but
// the doubled quote; the server goes by the length that a first byte announces.
func (l *lexer) quoted(quote byte) {
	b, p := l.b, l.pos
	for p < len(b) {
		c := b[p]
		switch {
		case c == quote:
			if p+1 < len(b) && b[p+1] == quote {
				p += 2
				continue
			}
			l.pos = p + 1
			return
		case c == 0:
			l.weird = true // ends the name for a server
			p++
		case c >= 0x80 && l.m.Charset > CharsetSafe:
			n := charLen(l.m.Charset, b[p:])
			if n == 1 && !isSingle(l.m.Charset, c) {
				l.weird = true
			}
			p += n
		case c >= 0x80:
			n := announced(l.m.Charset, c)
			for i := 1; i < n; i++ {
				if p+i >= len(b) || b[p+i] < 0x80 {
					l.weird = true
				}
			}
			p++
		default:
			p++
		}
	}
	l.pos = len(b)
	l.weird = true
}

// skip moves over space and comments.
func (l *lexer) skip() {
	b := l.b
	for l.pos < len(b) {
		c := b[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '#':
			l.lineComment()
		case c == '-' && l.pos+1 < len(b) && b[l.pos+1] == '-' &&
			(l.pos+2 == len(b) || b[l.pos+2] <= ' ' || b[l.pos+2] == 0x7f):
			l.lineComment()
		case c == '/' && l.pos+1 < len(b) && b[l.pos+1] == '*':
			l.blockComment()
		case c == '*' && l.inExec > 0 && l.pos+1 < len(b) && b[l.pos+1] == '/':
			l.inExec--
			l.pos += 2
		default:
			return
		}
	}
}

// lineComment skips to the end of the line. NUL ends it for some servers.
func (l *lexer) lineComment() {
	for l.pos < len(l.b) {
		c := l.b[l.pos]
		if c == '\n' {
			return
		}
		if c == 0 {
			l.weird = true
		}
		l.pos++
	}
}

// blockComment skips a comment, or enters one that is executable.
func (l *lexer) blockComment() {
	b, p := l.b, l.pos+2
	if p < len(b) && (b[p] == '!' || b[p] == 'M' && p+1 < len(b) && b[p+1] == '!') {
		l.execComment()
		return
	}
	optimizer := p < len(b) && b[p] == '+'
	for q := p; q+1 < len(b); q++ {
		switch c := b[q]; {
		case c == '*' && b[q+1] == '/':
			if !l.started && l.inExec == 0 {
				l.leadingComment(p, q)
			}
			l.pos = q + 2
			return
		case c == '/' && b[q+1] == '*' && l.inExec > 0:
			l.weird = true // servers nest these, or not
		case optimizer && (c == '\'' || c == '"' || c == '`'):
			l.weird = true // MySQL splits optimizer hints, so */ may be quoted there
		}
	}
	l.pos = len(b)
	l.weird = true
}

// execComment enters /*! or /*M!, whose content is code, for some servers.
// mysqldump's SELECT /*!40001 SQL_NO_CACHE */ changes nothing and is skipped.
func (l *lexer) execComment() {
	b, p := l.b, l.pos+3
	if b[p-1] == 'M' {
		p++
	}
	for p < len(b) && isDigit(b[p]) {
		p++
	}
	if l.afterSelect && l.inExec == 0 {
		q := p
		for q < len(b) && isSpace(b[q]) {
			q++
		}
		s := q
		for q < len(b) && identByte[b[q]] != 0 {
			q++
		}
		if w := lookupBytes(b[s:q]); w != nil && w.kw == kwSQLNoCache {
			for q < len(b) && isSpace(b[q]) {
				q++
			}
			if q+1 < len(b) && b[q] == '*' && b[q+1] == '/' {
				l.pos = q + 2
				return
			}
		}
	}
	l.exec = true
	l.inExec++
	l.pos = p
}

// leadingComment notes the comment b[from:to] where it is a hint.
func (l *lexer) leadingComment(from, to int) {
	for from < to && isSpace(l.b[from]) {
		from++
	}
	if to-from < len(hintPrefix) || !equalFold(l.b[from:from+len(hintPrefix)], hintPrefix) {
		return
	}
	l.hints++
	l.hint = Span{from + len(hintPrefix), to}
}

// hintPrefix begins a comment that is for Bellwether, in capitals.
const hintPrefix = "BELLWETHER:"
