package wire

import (
	"encoding/binary"
	"fmt"
)

// StmtPrepareOK is the first packet of the answer to COM_STMT_PREPARE.
type StmtPrepareOK struct {
	ID       uint32
	Columns  uint16
	Params   uint16
	Warnings uint16
	// NoMetadata: no definitions follow. Only with
	// ClientOptionalResultsetMetadata.
	NoMetadata bool
}

var errMalformedPrepareOK = fmt.Errorf("prepare ok: %w", ErrMalformed)

// DecodeStmtPrepareOK decodes a StmtPrepareOK.
func DecodeStmtPrepareOK(payload []byte, caps Capability, p *StmtPrepareOK) error {
	if len(payload) < 9 || payload[0] != HeaderOK {
		return errMalformedPrepareOK
	}
	*p = StmtPrepareOK{
		ID:      binary.LittleEndian.Uint32(payload[1:]),
		Columns: binary.LittleEndian.Uint16(payload[5:]),
		Params:  binary.LittleEndian.Uint16(payload[7:]),
	}
	if len(payload) >= 12 {
		p.Warnings = binary.LittleEndian.Uint16(payload[10:])
	}
	if len(payload) >= 13 && caps.Has(ClientOptionalResultsetMetadata) {
		p.NoMetadata = payload[12] == 0
	}
	return nil
}

// AppendStmtPrepareOK appends a StmtPrepareOK.
func AppendStmtPrepareOK(dst []byte, seq byte, p *StmtPrepareOK, caps Capability) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, HeaderOK)
	dst = binary.LittleEndian.AppendUint32(dst, p.ID)
	dst = append(dst, byte(p.Columns), byte(p.Columns>>8), byte(p.Params), byte(p.Params>>8),
		0, byte(p.Warnings), byte(p.Warnings>>8))
	if caps.Has(ClientOptionalResultsetMetadata) {
		follows := byte(1)
		if p.NoMetadata {
			follows = 0
		}
		dst = append(dst, follows)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// stmtIDEnd is where the statement id ends in the payloads of COM_STMT_EXECUTE,
// _BULK_EXECUTE, _SEND_LONG_DATA, _FETCH, _RESET and _CLOSE.
const stmtIDEnd = 5

// StmtID reads the statement id from a payload that has one after its command
// byte. ok is false when it is too short.
func StmtID(payload []byte) (id uint32, ok bool) {
	if len(payload) < stmtIDEnd {
		return 0, false
	}
	return binary.LittleEndian.Uint32(payload[1:stmtIDEnd]), true
}

// PutStmtID replaces the statement id in such a payload. ok is false when it
// is too short.
func PutStmtID(payload []byte, id uint32) (ok bool) {
	if len(payload) < stmtIDEnd {
		return false
	}
	binary.LittleEndian.PutUint32(payload[1:stmtIDEnd], id)
	return true
}

// StmtExecuteFlags is the byte of cursor flags of COM_STMT_EXECUTE.
func StmtExecuteFlags(payload []byte) (flags byte, ok bool) {
	if len(payload) <= stmtIDEnd {
		return 0, false
	}
	return payload[stmtIDEnd], true
}

// AppendStmtClose appends a COM_STMT_CLOSE for id.
func AppendStmtClose(dst []byte, id uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, 5, 0, 0, 0, byte(ComStmtClose)), id)
}
