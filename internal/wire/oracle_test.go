package wire

import (
	"bytes"
	"fmt"
)

// The oracle reads a whole response packet by packet and says what the scanner
// must say of it. It is written from the protocol's description, knows nothing
// of chunks, and keeps whole payloads.

// seen is an event, and where in the stream its packet is.
type seen struct {
	ev    Event
	start int
	size  int
	more  bool
	done  bool
}

func (s seen) String() string {
	return fmt.Sprintf("%s@%d+%d more=%t done=%t", s.ev, s.start, s.size, s.more, s.done)
}

type packetAt struct {
	payload    []byte
	start, end int
	split      bool
}

type oracle struct {
	cmd    Command
	caps   Capability
	stream []byte
	pos    int
	events []seen
	rows   uint64
}

// stop is how the oracle leaves: bad, or at the end of a short stream.
type stop struct{ bad bool }

// runOracle returns the events, the number of bytes that belong to the
// response, and whether it is whole or malformed.
func runOracle(cmd Command, caps Capability, stream []byte) (o *oracle, whole, bad bool) {
	o = &oracle{cmd: cmd, caps: caps, stream: stream}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(stop)
			if !ok {
				panic(r)
			}
			whole, bad = false, s.bad
		}
	}()
	o.response()
	return o, true, false
}

// next reads one logical packet: a short one, or a continued one that starts
// with a row or definition.
func (o *oracle) next() packetAt {
	p := packetAt{start: o.pos}
	for {
		if len(o.stream)-o.pos < 4 {
			panic(stop{})
		}
		h := o.stream[o.pos:]
		n := int(h[0]) + int(h[1])*256 + int(h[2])*65536
		if n == 0 && len(p.payload) == 0 {
			panic(stop{bad: true})
		}
		if len(h) < 4+n {
			// Enough of it to tell that it is wrong?
			panic(stop{})
		}
		p.payload = append(p.payload, h[4:4+n]...)
		o.pos += 4 + n
		if n < 0xffffff {
			break
		}
		p.split = true
	}
	p.end = o.pos
	return p
}

func (o *oracle) emit(ev Event, p packetAt, more, done bool) {
	o.events = append(o.events, seen{ev, p.start, p.end - p.start, more, done})
}

func (o *oracle) bad() { panic(stop{bad: true}) }

// control is next for where no large packet can be.
func (o *oracle) control() packetAt {
	for {
		p := o.next()
		if p.split {
			o.bad()
		}
		if p.payload[0] != 0xff {
			return p
		}
		o.err(p)
	}
}

// err ends the response with ERR, or returns for a progress report.
func (o *oracle) err(p packetAt) {
	if p.split || len(p.payload) < 3 {
		o.bad()
	}
	if o.caps&MariaDBClientProgress != 0 && p.payload[1] == 0xff && p.payload[2] == 0xff {
		return
	}
	o.emit(EvErr, p, false, true)
	panic(done{})
}

type done struct{}

func (o *oracle) response() {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(done); !ok {
				panic(r)
			}
		}
	}()
	switch o.cmd {
	case ComQuit, ComStmtClose, ComStmtSendLongData:
	case ComQuery, ComStmtExecute, ComStmtBulkExecute:
		for o.result() {
		}
	case ComProcessInfo:
		o.result()
	case ComStmtFetch:
		o.rowsUntilEnd(false)
	case ComFieldList:
		o.fieldList()
	case ComStmtPrepare:
		o.prepare()
	case ComStatistics:
		o.emit(EvRaw, o.control(), false, true)
	default:
		o.simple()
	}
}

func (o *oracle) simple() {
	for {
		p := o.control()
		if o.cmd == ComChangeUser && p.payload[0] != 0 {
			o.emit(EvAuth, p, false, false)
			continue
		}
		if p.payload[0] != 0 && p.payload[0] != 0xfe {
			o.bad()
		}
		o.terminator(p, false)
		return
	}
}

// terminator emits the OK or EOF that ends a result.
func (o *oracle) terminator(p packetAt, multi bool) (more bool) {
	ev, status := EvOK, Status(0)
	if p.payload[0] == 0xfe && len(p.payload) == 5 {
		ev = EvEOF
		status = Status(p.payload[3]) + Status(p.payload[4])*256
	} else {
		r := bytes.NewReader(p.payload[1:])
		o.lenenc(r)
		o.lenenc(r)
		lo, err1 := r.ReadByte()
		hi, err2 := r.ReadByte()
		if err1 != nil || err2 != nil || r.Len() < 2 {
			o.bad()
		}
		status = Status(lo) + Status(hi)*256
	}
	more = multi && status&StatusMoreResults != 0
	o.emit(ev, p, more, !more)
	return more
}

func (o *oracle) lenenc(r *bytes.Reader) (v uint64) {
	first, err := r.ReadByte()
	if err != nil {
		o.bad()
	}
	width := 0
	switch first {
	case 0xfb, 0xff:
		o.bad()
	case 0xfc:
		width = 2
	case 0xfd:
		width = 3
	case 0xfe:
		width = 8
	default:
		return uint64(first)
	}
	for i := range width {
		b, err := r.ReadByte()
		if err != nil {
			o.bad()
		}
		v += uint64(b) << (8 * i)
	}
	return v
}

func (o *oracle) result() (more bool) {
	multi := o.cmd != ComProcessInfo
	p := o.control()
	switch {
	case p.payload[0] == 0x00:
		return o.terminator(p, multi)
	case p.payload[0] == 0xfb:
		o.emit(EvLocalInfile, p, false, false)
		return o.result()
	case p.payload[0] == 0xfe && o.ends(p):
		return o.terminator(p, multi)
	}
	r := bytes.NewReader(p.payload)
	columns := o.lenenc(r)
	if columns == 0 {
		o.bad()
	}
	flag := byte(1)
	if o.caps&(MariaDBClientCacheMetadata|ClientOptionalResultsetMetadata) != 0 && r.Len() > 0 {
		flag, _ = r.ReadByte()
	}
	if flag != 0 {
		o.definitions(columns)
	}
	if o.caps&ClientDeprecateEOF == 0 {
		p := o.control()
		if p.payload[0] != 0xfe || len(p.payload) != 5 {
			o.bad()
		}
		status := Status(p.payload[3]) + Status(p.payload[4])*256
		if o.cmd == ComStmtExecute && status&StatusCursorExists != 0 && status&StatusMoreResults == 0 {
			return o.terminator(p, multi)
		}
	}
	return o.rowsUntilEnd(multi)
}

func (o *oracle) definitions(n uint64) {
	for n > 0 {
		p := o.next()
		if p.payload[0] == 0xff {
			o.err(p)
			continue
		}
		n--
	}
}

// ends tells whether a packet with first byte 0xfe is no row.
func (o *oracle) ends(p packetAt) bool {
	if o.caps&ClientDeprecateEOF != 0 {
		return len(p.payload) < 0xffffff
	}
	return len(p.payload) < 9
}

func (o *oracle) rowsUntilEnd(multi bool) (more bool) {
	for {
		p := o.next()
		switch {
		case p.payload[0] == 0xff:
			o.err(p)
		case p.payload[0] == 0xfe && o.ends(p):
			return o.terminator(p, multi)
		default:
			o.rows++
		}
	}
}

func (o *oracle) fieldList() {
	for {
		p := o.next()
		switch {
		case p.payload[0] == 0xff:
			o.err(p)
		case p.payload[0] == 0xfe && o.ends(p):
			o.terminator(p, false)
			return
		}
	}
}

func (o *oracle) prepare() {
	p := o.control()
	b := p.payload
	if len(b) < 9 || b[0] != 0 {
		o.bad()
	}
	columns, params := int(b[5])+int(b[6])*256, int(b[7])+int(b[8])*256
	follow := len(b) < 13 || o.caps&ClientOptionalResultsetMetadata == 0 || b[12] != 0
	eofs := o.caps&ClientDeprecateEOF == 0
	parts := 0
	for _, n := range []int{params, columns} {
		if n > 0 && (follow || eofs) {
			parts++
		}
	}
	o.emit(EvPrepareOK, p, false, parts == 0)
	for _, n := range []int{params, columns} {
		if n == 0 {
			continue
		}
		if follow {
			o.definitions(uint64(n))
		}
		if eofs {
			if p := o.control(); p.payload[0] != 0xfe || len(p.payload) != 5 {
				o.bad()
			}
		}
	}
	if parts > 0 {
		o.events = append(o.events, seen{ev: EvEnd, start: o.pos, done: true})
	}
}
