package wire

import (
	"encoding/binary"
	"fmt"
)

// Err is an ERR packet. It is an error too.
type Err struct {
	Code uint16
	// State is the SQLSTATE of five characters. It is empty in packets
	// before the handshake; AppendErr takes that of Code then.
	State   string
	Message string
}

var _ error = (*Err)(nil)

// NewErr is an Err with the code's own SQLSTATE.
func NewErr(code uint16, format string, args ...any) *Err {
	return &Err{Code: code, State: SQLState(code), Message: fmt.Sprintf(format, args...)}
}

// Error formats as the command line client does.
func (e *Err) Error() string {
	state := e.State
	if state == "" {
		state = SQLState(e.Code)
	}
	return fmt.Sprintf("ERROR %d (%s): %s", e.Code, state, e.Message)
}

// DecodeErr decodes the payload of an ERR packet, with or without SQLSTATE.
func DecodeErr(payload []byte, e *Err) error {
	if len(payload) < 3 || payload[0] != HeaderErr {
		return fmt.Errorf("err: %w", ErrMalformed)
	}
	*e = Err{Code: binary.LittleEndian.Uint16(payload[1:])}
	rest := payload[3:]
	if len(rest) >= 6 && rest[0] == '#' {
		e.State = string(rest[1:6])
		rest = rest[6:]
	}
	e.Message = string(rest)
	return nil
}

// ErrCode is the code of an ERR packet's payload, 0 when it is none.
func ErrCode(payload []byte) uint16 {
	if len(payload) < 3 || payload[0] != HeaderErr {
		return 0
	}
	return binary.LittleEndian.Uint16(payload[1:])
}

// AppendErr appends an ERR packet. The SQLSTATE is sent to peers that speak
// protocol 4.1; before the handshake that is not known, and caps is 0.
func AppendErr(dst []byte, seq byte, e *Err, caps Capability) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, HeaderErr, byte(e.Code), byte(e.Code>>8))
	if caps.Has(ClientProtocol41) {
		state := e.State
		if len(state) != 5 {
			state = SQLState(e.Code)
		}
		dst = append(append(dst, '#'), state...)
	}
	dst = append(dst, e.Message...)
	dst, _ = endPacket(dst, start, seq)
	return dst
}
