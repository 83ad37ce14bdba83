package wire

import "encoding/binary"

// pass lets the packet at hand through unseen, with its header.
func (s *Scanner) pass(length int, seq byte) {
	s.skip, s.seq, s.cont = HeaderLen+length, seq, length == MaxPayload
}

func (s *Scanner) broken() Event {
	s.state = stBroken
	return EvMalformed
}

// passes tells by the first byte and the length of a packet whether it is a
// row or a definition. No row or definition starts with 0xff: a text row's
// first byte is a length or NULL, a binary row's is 0x00, a definition's the
// length of "def". One starting with 0xfe has a first value of 16 MiB or more,
// so its first packet is full.
func (s *Scanner) passes(first byte, length int) bool {
	switch s.state {
	case stRows, stFields:
		return first < HeaderEOF || first == HeaderEOF && !s.terminates(length)
	case stColumns, stParams, stPrepCols:
		return first != HeaderErr
	}
	return false
}

// terminates tells by its length whether a packet that starts with 0xfe ends a
// result set.
func (s *Scanner) terminates(length int) bool {
	if s.caps.Has(ClientDeprecateEOF) {
		return length < MaxPayload
	}
	return length < 9
}

// count moves on for a row or definition that passes.
func (s *Scanner) count() {
	switch s.state {
	case stRows:
		s.rows++
		return
	case stColumns, stParams, stPrepCols:
	default:
		return
	}
	if s.left--; s.left > 0 {
		return
	}
	switch s.state {
	case stColumns:
		s.columnsDone()
	case stParams:
		s.paramsDone()
	case stPrepCols:
		s.prepColsDone()
	}
}

// The next functions say what follows a block of definitions: an EOF packet,
// sent by both flavours even where the definitions themselves are left out, or
// nothing for peers with ClientDeprecateEOF.

func (s *Scanner) columnsDone() {
	s.state = stColEOF
	if s.caps.Has(ClientDeprecateEOF) {
		s.state = stRows
	}
}

func (s *Scanner) paramsDone() {
	s.state = stParamEOF
	if s.caps.Has(ClientDeprecateEOF) {
		s.prepareColumns()
	}
}

func (s *Scanner) prepColsDone() {
	s.state = stPrepColEOF
	if s.caps.Has(ClientDeprecateEOF) {
		s.state = stDone
	}
}

// prepareColumns goes to the column definitions of a prepared statement.
func (s *Scanner) prepareColumns() {
	switch {
	case s.prepCols == 0:
		s.state = stDone
	case s.noMeta:
		s.prepColsDone()
	default:
		s.state, s.left = stPrepCols, uint64(s.prepCols)
	}
}

// control handles a complete packet that is no row and no definition. EvMore
// means that it is forwarded like those.
func (s *Scanner) control(p []byte) Event {
	if p[0] == HeaderErr {
		return s.errPacket(p)
	}
	switch s.state {
	case stFirst:
		return s.first(p)
	case stRows, stFields:
		return s.end(p)
	case stColEOF:
		return s.columnsEOF(p)
	case stParamEOF:
		if s.eofPacket(p) {
			s.prepareColumns()
			return s.afterPrepare()
		}
	case stPrepColEOF:
		if s.eofPacket(p) {
			s.state = stDone
			return EvEnd
		}
	case stPrepare:
		return s.prepareOK(p)
	case stRaw:
		s.state = stDone
		return EvRaw
	case stSimple:
		return s.simple(p)
	}
	return s.broken()
}

func (s *Scanner) afterPrepare() Event {
	if s.state == stDone {
		return EvEnd
	}
	return EvMore
}

func (s *Scanner) errPacket(p []byte) Event {
	if len(p) < 3 {
		return s.broken()
	}
	if s.caps.Has(MariaDBClientProgress) && binary.LittleEndian.Uint16(p[1:]) == ErProgressReport {
		return EvMore
	}
	s.state = stDone
	return EvErr
}

func (s *Scanner) first(p []byte) Event {
	switch p[0] {
	case HeaderOK:
		return s.end(p)
	case HeaderLocalInfile:
		s.state = stInfile
		return EvLocalInfile
	case HeaderEOF:
		if s.terminates(len(p)) {
			return s.end(p)
		}
	}
	n, size := LenencInt(p)
	if size == 0 || n == 0 {
		return s.broken()
	}
	// The pages put the flag before the count; the servers send it after.
	if s.caps.Any(ClientOptionalResultsetMetadata|MariaDBClientCacheMetadata) &&
		len(p) > size && p[size] == 0 {
		s.columnsDone()
		return EvMore
	}
	s.state, s.left = stColumns, n
	return EvMore
}

// columnsEOF handles the EOF after column definitions. Where the statement has
// opened a cursor the rows are fetched later, and the result ends here. The
// flag is also there when a procedure has a cursor of its own open (MariaDB
// 10.11): then rows follow, and so does a further result, of the CALL itself.
func (s *Scanner) columnsEOF(p []byte) Event {
	if !s.eofPacket(p) {
		return s.broken()
	}
	if s.cmd == ComStmtExecute && !s.noCursor && s.status&(StatusCursorExists|StatusMoreResults) == StatusCursorExists {
		s.finish()
		return EvEOF
	}
	s.state = stRows
	return EvMore
}

// end handles the OK or EOF that ends a result.
func (s *Scanner) end(p []byte) Event {
	switch {
	case s.eofPacket(p):
		s.finish()
		return EvEOF
	case s.okPacket(p):
		s.finish()
		return EvOK
	}
	return s.broken()
}

func (s *Scanner) finish() {
	s.more = s.multi && s.status.Has(StatusMoreResults)
	s.state = stDone
	if s.more {
		s.state = stFirst
	}
}

func (s *Scanner) simple(p []byte) Event {
	switch {
	case s.cmd == ComChangeUser && p[0] != HeaderOK:
		return EvAuth
	case p[0] == HeaderOK || p[0] == HeaderEOF:
		return s.end(p)
	}
	return s.broken()
}

// prepareOK handles the first packet of the answer to COM_STMT_PREPARE.
func (s *Scanner) prepareOK(p []byte) Event {
	var ok StmtPrepareOK
	if DecodeStmtPrepareOK(p, s.caps, &ok) != nil {
		return s.broken()
	}
	s.prepCols, s.warnings, s.noMeta = ok.Columns, ok.Warnings, ok.NoMetadata
	switch {
	case ok.Params == 0:
		s.prepareColumns()
	case ok.NoMetadata:
		s.paramsDone()
	default:
		s.state, s.left = stParams, uint64(ok.Params)
	}
	return EvPrepareOK
}

// eofPacket reads status and warnings of an EOF packet of the old form.
func (s *Scanner) eofPacket(p []byte) bool {
	if len(p) != 5 || p[0] != HeaderEOF {
		return false
	}
	s.warnings = binary.LittleEndian.Uint16(p[1:])
	s.status, s.told = Status(binary.LittleEndian.Uint16(p[3:])), true
	return true
}

// okPacket reads status and warnings of an OK packet.
func (s *Scanner) okPacket(p []byte) bool {
	at := 1
	for range 2 { // affected rows, insert id
		_, n := LenencInt(p[at:])
		if n == 0 {
			return false
		}
		at += n
	}
	if len(p)-at < 4 {
		return false
	}
	s.status, s.told = Status(binary.LittleEndian.Uint16(p[at:])), true
	s.warnings = binary.LittleEndian.Uint16(p[at+2:])
	return true
}
