package wire

import "fmt"

// EOF is an EOF packet, which peers without ClientDeprecateEOF get after
// column definitions and after rows.
type EOF struct {
	Warnings uint16
	Status   Status
}

var errMalformedEOF = fmt.Errorf("eof: %w", ErrMalformed)

// DecodeEOF decodes the payload of an EOF packet.
func DecodeEOF(payload []byte, e *EOF) error {
	if len(payload) < 5 || len(payload) >= 9 || payload[0] != HeaderEOF {
		return errMalformedEOF
	}
	e.Warnings = uint16(payload[1]) | uint16(payload[2])<<8
	e.Status = Status(payload[3]) | Status(payload[4])<<8
	return nil
}

// AppendEOF appends an EOF packet.
func AppendEOF(dst []byte, seq byte, status Status, warnings uint16) []byte {
	return append(dst, 5, 0, 0, seq, HeaderEOF,
		byte(warnings), byte(warnings>>8), byte(status), byte(status>>8))
}
