package router

import "fmt"

// Digest64 identifies a statement without regard to its literals, space,
// comments and the case of keywords: it is a hash of DigestText. It does not
// allocate.
func Digest64(sql []byte, m Mode) uint64 {
	d := digester{lexer: lexer{b: sql, m: m}, h: digestBasis}
	d.run()
	return mix(d.h)
}

// DigestText returns the normalised text that Digest64 stands for: each literal
// is a question mark, a list of them is ?+, as is a list of such lists in
// parentheses.
func DigestText(sql []byte, m Mode) string {
	d := digester{lexer: lexer{b: sql, m: m}, h: digestBasis, keep: true}
	d.run()
	return string(d.text)
}

// FormatDigest writes a digest as rules, EXPLAIN ROUTE and statistics show it:
// 16 hexadecimal digits.
func FormatDigest(d uint64) string { return fmt.Sprintf("%016x", d) }

const (
	digestBasis = 14695981039346656037
	digestPrime = 1099511628211
)

// mix spreads the bits of a hash (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// piece is a token of normalised text.
type piece uint8

const (
	pieceNone    piece = iota
	pieceText          // anything that is written as it is
	pieceOperand       // a name: what follows + or - is no sign
	pieceLiteral       // ?
	pieceList          // ?+, a list of literals
	pieceOpen          // (
	pieceClose         // )
	pieceComma
)

// digester turns tokens into normalised text, or only into its hash.
type digester struct {
	lexer
	h    uint64
	keep bool
	text []byte

	last piece // written last
	// Punctuation that is not written yet, because a list may be collapsing:
	// after "?" or "?+" a comma; after "(?+)" a comma, and what follows it up to
	// the parenthesis that closes the next row.
	held  [3]piece
	nheld int
	inner bool // a comma follows the list in held[2]
	sign  byte // a sign that belongs to a number, if one follows
	row   int  // how much of "(", list, ")" was written last: 3 is a whole row
}

func (d *digester) run() {
	for {
		t := d.lexer.next()
		if t.kind == tokEOF {
			break
		}
		d.token(t)
	}
	d.flush()
}

// token takes in the next token.
func (d *digester) token(t token) {
	switch t.kind {
	case tokString, tokNumber:
		d.sign = 0
		d.literal()
		return
	case tokPunct:
		switch t.c {
		case '?':
			d.sign = 0
			d.literal()
			return
		case '+', '-':
			if d.signPossible() {
				d.flushSign()
				d.sign = t.c
				return
			}
		}
	}
	d.flushSign()
	switch {
	case t.kind == tokPunct && t.c == '(':
		d.open()
	case t.kind == tokPunct && t.c == ')':
		d.close()
	case t.kind == tokPunct && t.c == ',':
		d.comma()
	case t.kind == tokPunct && t.c == ';' && d.rest():
		// a last semicolon says nothing
	default:
		d.plain(t)
	}
}

// rest says whether nothing more follows.
func (d *digester) rest() bool {
	d.lexer.skip()
	return d.pos >= len(d.b)
}

// signPossible says whether + or - here is part of a number rather than an operator.
func (d *digester) signPossible() bool {
	if d.nheld > 0 {
		return d.nheld < 3 || d.inner
	}
	switch d.last {
	case pieceOperand, pieceLiteral, pieceList, pieceClose:
		return false
	}
	return true
}

func (d *digester) flushSign() {
	if d.sign == 0 {
		return
	}
	c := d.sign
	d.sign = 0
	d.flush()
	d.space(pieceText)
	d.byte(c)
	d.last, d.row = pieceText, 0
}

// literal takes in a literal.
func (d *digester) literal() {
	switch {
	case d.nheld == 1 && (d.last == pieceLiteral || d.last == pieceList):
		d.nheld = 0 // "?," and "?" make "?+"
		if d.last == pieceLiteral {
			d.byte('+')
			d.last = pieceList
		}
	case d.nheld == 2: // "(?+),(" and "?"
		d.held[2], d.nheld, d.inner = pieceLiteral, 3, false
	case d.nheld == 3 && d.inner:
		d.held[2], d.inner = pieceList, false
	default:
		d.flush()
		d.space(pieceLiteral)
		d.byte('?')
		d.last = pieceLiteral
		if d.row == 1 {
			d.row = 2
		} else {
			d.row = 0
		}
	}
}

// comma takes in a comma.
func (d *digester) comma() {
	if d.nheld == 0 && (d.last == pieceLiteral || d.last == pieceList || d.last == pieceClose && d.row == 3) {
		d.held[0], d.nheld = pieceComma, 1
		return
	}
	if d.nheld == 3 && !d.inner {
		d.inner = true
		return
	}
	d.flush()
	d.byte(',')
	d.last, d.row = pieceComma, 0
}

// open takes in an opening parenthesis.
func (d *digester) open() {
	if d.nheld == 1 && d.last == pieceClose {
		d.held[1], d.nheld = pieceOpen, 2
		return
	}
	d.flush()
	d.space(pieceOpen)
	d.byte('(')
	d.last, d.row = pieceOpen, 1
}

// close takes in a closing parenthesis.
func (d *digester) close() {
	if d.nheld == 3 && !d.inner {
		d.nheld = 0 // one more row like the last one
		return
	}
	row := d.row == 2 && d.nheld == 0
	d.flush()
	d.byte(')')
	d.last, d.row = pieceClose, 0
	if row {
		d.row = 3
	}
}

// flush writes what was held back.
func (d *digester) flush() {
	n := d.nheld
	d.nheld = 0
	for _, p := range d.held[:n] {
		switch p {
		case pieceComma:
			d.byte(',')
		case pieceOpen:
			d.space(pieceOpen)
			d.byte('(')
		case pieceLiteral:
			d.byte('?')
		case pieceList:
			d.byte('?')
			d.byte('+')
		}
		d.last = p
	}
	if n == 3 && d.inner {
		d.byte(',')
		d.last, d.inner = pieceComma, false
	}
	if n > 0 {
		d.row = 0
	}
}

// plain writes a token that is neither literal nor list.
func (d *digester) plain(t token) {
	d.flush()
	d.row = 0
	p := pieceText
	if t.kind == tokWord || t.kind == tokQuoted {
		p = pieceOperand
	}
	b := d.b[t.start:t.end]
	capitals := t.w != nil && (t.w.keyword || t.w.fn != fnNone && d.callFollows())
	if capitals && t.w.kw != kwNone && t.w.fn <= fnKeyword {
		p = pieceText // a keyword is no operand: SELECT -1
	}
	if t.kind == tokPunct && t.c == '.' {
		d.byte('.')
		d.last = pieceNone
		return
	}
	if d.last != pieceNone || len(b) == 0 {
		d.space(p)
	}
	for _, c := range b {
		if capitals {
			c = upperByte(c)
		}
		d.byte(c)
	}
	d.last = p
	if t.kind == tokAt || t.kind == tokAtAt {
		d.last = pieceNone // nothing between @ and the name
	}
}

// callFollows says whether a parenthesis comes next.
func (d *digester) callFollows() bool {
	for p := d.pos; p < len(d.b); p++ {
		if !isSpace(d.b[p]) {
			return d.b[p] == '('
		}
	}
	return false
}

// space writes the space before a piece, where there is one.
func (d *digester) space(next piece) {
	switch {
	case d.last == pieceNone, d.last == pieceOpen:
	case next == pieceOpen && d.last == pieceOperand:
	default:
		d.byte(' ')
	}
}

func (d *digester) byte(c byte) {
	d.h = (d.h ^ uint64(c)) * digestPrime
	if d.keep {
		d.text = append(d.text, c)
	}
}
