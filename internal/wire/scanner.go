package wire

// Event is what Scanner.Scan found.
type Event uint8

const (
	// EvMore: no event in what was given; forward what may be forwarded, keep
	// the rest, and scan again with more bytes.
	EvMore Event = iota
	// EvOK, EvEOF and EvErr: a packet of that name, complete. EvOK is also
	// the OK packet with first byte 0xfe.
	EvOK
	EvEOF
	EvErr
	// EvLocalInfile: the server asks for a file. The client answers with
	// packets up to an empty one; then the caller calls ResumeInfile.
	EvLocalInfile
	// EvPrepareOK: the first packet of the answer to COM_STMT_PREPARE.
	EvPrepareOK
	// EvRaw: the text that answers COM_STATISTICS.
	EvRaw
	// EvAuth: a packet of an authentication exchange within
	// COM_CHANGE_USER, which the caller carries on; scanning goes on with
	// the server's next packet.
	EvAuth
	// EvEnd: the response ends after the forwardable bytes, without a packet
	// to look at; Size is 0. Only COM_STMT_PREPARE ends so.
	EvEnd
	// EvMalformed: the stream is not of the protocol's form; the connection
	// cannot be used any more.
	EvMalformed
)

var eventNames = [...]string{
	"more", "ok", "eof", "err", "local_infile", "prepare_ok", "raw", "auth", "end", "malformed",
}

// String is the event's name.
func (e Event) String() string {
	if int(e) < len(eventNames) {
		return eventNames[e]
	}
	return "unknown"
}

type scanState uint8

const (
	stDone       scanState = iota
	stFirst                // first packet of a result: OK, ERR, LOCAL INFILE, column count
	stColumns              // column definitions, left of them
	stColEOF               // EOF after column definitions
	stRows                 // rows, up to EOF, OK or ERR
	stSimple               // one OK, EOF or ERR
	stRaw                  // one text, or ERR
	stPrepare              // PREPARE_OK or ERR
	stParams               // parameter definitions, left of them
	stParamEOF             // EOF after parameter definitions
	stPrepCols             // column definitions of a prepared statement
	stPrepColEOF           // EOF after those
	stFields               // COM_FIELD_LIST: definitions up to EOF
	stInfile               // waiting for ResumeInfile
	stBroken
)

// Scanner finds the end of a response, and the packets in it that change
// something, without looking at rows: it walks packet headers. It is a value,
// allocates nothing, and is ready for use after Begin. It is not safe for
// concurrent use.
type Scanner struct {
	caps Capability
	// skip is how many bytes of the present packet are still to come.
	skip int
	// left counts definitions still to come in stColumns, stParams, stPrepCols.
	left uint64
	rows uint64
	size int
	need int
	// prepCols is the number of columns of a prepared statement.
	prepCols uint16
	status   Status
	warnings uint16
	cmd      Command
	state    scanState
	// multi: the command may have several results.
	multi bool
	// cont: the next packet continues one of MaxPayload bytes.
	cont bool
	more bool
	// told: a packet of the response held a server status.
	told bool
	// noMeta: the definitions of a prepared statement are left out.
	noMeta bool
	// noCursor: the client asked for none.
	noCursor bool
	seq      byte
}

// Begin starts a response to cmd, with the capabilities negotiated with the
// server that answers. A command without a response is Done at once.
func (s *Scanner) Begin(cmd Command, caps Capability) {
	*s = Scanner{caps: caps, cmd: cmd, state: stSimple}
	switch cmd {
	case ComQuery, ComStmtExecute, ComStmtBulkExecute:
		s.state, s.multi = stFirst, true
	case ComProcessInfo:
		s.state = stFirst
	case ComStmtPrepare:
		s.state = stPrepare
	case ComStmtFetch:
		s.state = stRows
	case ComFieldList:
		s.state = stFields
	case ComStatistics:
		s.state = stRaw
	case ComQuit, ComStmtClose, ComStmtSendLongData:
		s.state = stDone
	}
}

// BeginExecute is Begin for a COM_STMT_EXECUTE whose flags, StmtExecuteFlags, are
// known: a result cannot end in a cursor where none was asked for.
func (s *Scanner) BeginExecute(flags byte, caps Capability) {
	s.Begin(ComStmtExecute, caps)
	s.noCursor = flags&(CursorTypeReadOnly|CursorTypeForUpdate|CursorTypeScrollable) == 0
}

// ResumeInfile goes on after an EvLocalInfile once the client's data was sent:
// the server answers with OK or ERR.
func (s *Scanner) ResumeInfile() {
	if s.state == stInfile {
		s.state = stFirst
	}
}

// Size is the size in bytes of the packet that the last event tells of, with
// its header; it is 0 for EvMore, EvEnd and EvMalformed.
func (s *Scanner) Size() int { return s.size }

// Need is, after EvMore, how many bytes a control packet that is held back has
// in all, 0 where that is not known yet. A buffer must hold that many.
func (s *Scanner) Need() int { return s.need }

// Done tells that the response ended with the last event.
func (s *Scanner) Done() bool { return s.state == stDone && s.skip == 0 && !s.cont }

// More tells that another result follows the last event's packet.
func (s *Scanner) More() bool { return s.more }

// Seq is the sequence number of the packet seen last.
func (s *Scanner) Seq() byte { return s.seq }

// Status is the server status seen last in the response. Some responses hold
// none, see HasStatus.
func (s *Scanner) Status() Status { return s.status }

// HasStatus tells whether the response held a server status. An error holds none,
// nor do the answers to COM_STATISTICS and, where there is no EOF after the
// definitions, to COM_STMT_PREPARE: the status is then what it was before.
func (s *Scanner) HasStatus() bool { return s.told }

// Warnings is the number of warnings seen last in the response.
func (s *Scanner) Warnings() uint16 { return s.warnings }

// Rows is the number of rows seen in the response.
func (s *Scanner) Rows() uint64 { return s.rows }

// Scan looks at buf, which starts where the previous call stopped: after the
// forwarded bytes, and after the event's packet. It returns how many bytes at
// the front may be forwarded untouched, and what comes then:
// buf[forward:forward+Size()] is the event's packet.
func (s *Scanner) Scan(buf []byte) (forward int, ev Event) {
	s.size, s.need, s.more = 0, 0, false
	for {
		if s.skip > 0 {
			n := min(s.skip, len(buf)-forward)
			forward += n
			if s.skip -= n; s.skip > 0 {
				return forward, EvMore
			}
		}
		if !s.cont {
			switch s.state {
			case stRows:
				if forward = s.scanRows(buf, forward); s.skip > 0 {
					return forward, EvMore
				}
			case stDone:
				return forward, EvEnd
			case stInfile:
				return forward, EvMore
			case stBroken:
				return forward, EvMalformed
			}
		}
		n, ev, again := s.packet(buf[forward:])
		forward += n
		if !again {
			return forward, ev
		}
	}
}

// packet looks at the packet at the front of buf, of which there may be only a
// part. again: go on after n bytes, and what is to be skipped.
func (s *Scanner) packet(buf []byte) (n int, ev Event, again bool) {
	if len(buf) < HeaderLen {
		return 0, EvMore, false
	}
	length, seq := Header(buf)
	if s.cont {
		s.pass(length, seq)
		return 0, EvMore, true
	}
	if length == 0 {
		// Only the end of a continued packet can be empty in a response.
		return 0, s.broken(), false
	}
	if len(buf) == HeaderLen {
		return 0, EvMore, false
	}
	if s.passes(buf[HeaderLen], length) {
		s.count()
		s.pass(length, seq)
		return 0, EvMore, true
	}
	if length == MaxPayload {
		return 0, s.broken(), false
	}
	size := HeaderLen + length
	if len(buf) < size {
		s.need = size
		return 0, EvMore, false
	}
	s.seq = seq
	switch ev = s.control(buf[HeaderLen:size]); ev {
	case EvMore:
		return size, EvMore, true
	case EvEnd:
		return size, EvEnd, false
	case EvMalformed:
		return 0, EvMalformed, false
	}
	s.size = size
	return 0, ev, false
}

// scanRows walks rows in buf from pos on, and stops before what is not plainly
// a row. It is the hot loop of large results.
func (s *Scanner) scanRows(buf []byte, pos int) int {
	rows, seq := s.rows, s.seq
	for len(buf)-pos > HeaderLen {
		b := buf[pos : pos+HeaderLen+1]
		length := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		if b[4] >= HeaderEOF || length == 0 || length == MaxPayload {
			break
		}
		seq = b[3]
		rows++
		pos += HeaderLen + length
	}
	s.rows, s.seq = rows, seq
	if pos > len(buf) {
		s.skip = pos - len(buf)
		pos = len(buf)
	}
	return pos
}
