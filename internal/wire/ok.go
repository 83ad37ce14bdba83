package wire

import "fmt"

// First bytes of the payloads that end or change a response.
const (
	HeaderOK          byte = 0x00
	HeaderMoreData    byte = 0x01
	HeaderNextFactor  byte = 0x02
	HeaderLocalInfile byte = 0xfb
	HeaderEOF         byte = 0xfe
	HeaderErr         byte = 0xff
)

// OK is an OK packet. With ClientDeprecateEOF the same packet, with the first
// byte 0xfe, ends a result set.
type OK struct {
	// EOF: the first byte is 0xfe instead of 0x00.
	EOF          bool
	AffectedRows uint64
	InsertID     uint64
	Status       Status
	Warnings     uint16
	// Info is text for humans.
	Info []byte
	// State is the session state change information, read with StateReader.
	// It is sent only with StatusSessionStateChange in Status.
	State []byte
}

var errMalformedOK = fmt.Errorf("ok: %w", ErrMalformed)

// DecodeOK decodes the payload of an OK packet. Info and State borrow from it.
func DecodeOK(payload []byte, caps Capability, ok *OK) error {
	r := reader{b: payload}
	first := r.u8()
	*ok = OK{EOF: first == HeaderEOF}
	ok.AffectedRows = r.lenenc()
	ok.InsertID = r.lenenc()
	ok.Status = Status(r.u16())
	ok.Warnings = r.u16()
	if r.bad || (first != HeaderOK && first != HeaderEOF) {
		return errMalformedOK
	}
	if r.rest() == 0 {
		return nil
	}
	if !caps.Has(ClientSessionTrack) {
		// The pages say that the rest is the text; the servers send it
		// with a length all the same. Take both.
		rest := r.tail()
		if s, n := LenencString(rest); n == len(rest) {
			rest = s
		}
		ok.Info = rest
		return nil
	}
	ok.Info = r.lenencString()
	if ok.Status.Has(StatusSessionStateChange) && r.rest() > 0 {
		ok.State = r.lenencString()
	}
	if r.bad {
		return errMalformedOK
	}
	return nil
}

// AppendOK appends an OK packet as a server sends it to a peer with caps. State
// is dropped, and its status flag cleared, for a peer that cannot read it.
func AppendOK(dst []byte, seq byte, ok *OK, caps Capability) []byte {
	dst, _ = appendOK(dst, seq, ok, caps)
	return dst
}

func appendOK(dst []byte, seq byte, ok *OK, caps Capability) ([]byte, byte) {
	dst, start := beginPacket(dst)
	first := HeaderOK
	if ok.EOF {
		first = HeaderEOF
	}
	status, track := ok.Status, caps.Has(ClientSessionTrack)
	if !track {
		status &^= StatusSessionStateChange
	}
	dst = append(dst, first)
	dst = AppendLenencInt(dst, ok.AffectedRows)
	dst = AppendLenencInt(dst, ok.InsertID)
	dst = append(dst, byte(status), byte(status>>8), byte(ok.Warnings), byte(ok.Warnings>>8))
	changed := status.Has(StatusSessionStateChange)
	if changed || len(ok.Info) > 0 {
		dst = AppendLenencString(dst, ok.Info)
	}
	if changed {
		dst = AppendLenencString(dst, ok.State)
	}
	return endPacket(dst, start, seq)
}
