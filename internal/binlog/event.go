package binlog

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// HeaderSize is the size of an event's header in bytes, in format 4.
const HeaderSize = 19

// ChecksumSize is how many bytes a checksum takes at an event's end.
const ChecksumSize = 4

// Flags of an event's header.
const (
	FlagInUse      uint16 = 0x01 // of a format description: the file is being written, or was not closed
	FlagArtificial uint16 = 0x20 // made for the stream; not in the leader's file
	FlagIgnorable  uint16 = 0x80 // may be skipped by who does not know the type
)

// Header is what every event begins with.
type Header struct {
	Timestamp uint32 // when the statement began, seconds of the Unix epoch
	Type      Type
	ServerID  uint32
	Size      uint32 // of the event as it was sent, header and checksum included
	LogPos    uint32 // where the next event begins in the leader's file; 0 for artificial events, and on MariaDB 11.4 and later within transactions
	Flags     uint16
}

// Event is one event. Raw is all of it, header included, without a checksum.
type Event struct {
	Header
	Raw []byte
}

// Body returns what comes after the header.
func (e Event) Body() []byte { return e.Raw[HeaderSize:] }

// Replayable appends the event to others as BINLOG takes it: its header says how long it is now.
// One that came with a checksum still counts it, and BINLOG refuses that with error 1149.
func (e Event) Replayable(to []byte) []byte {
	at := len(to)
	to = append(to, e.Raw...)
	binary.LittleEndian.PutUint32(to[at+9:], uint32(len(e.Raw)))
	return to
}

// ParseHeader reads the header at the start of b.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, malformed("a header of %d bytes", len(b))
	}
	c := cursor{b: b}
	h := Header{Timestamp: c.u32(), Type: Type(c.u8()), ServerID: c.u32(), Size: c.u32(), LogPos: c.u32(), Flags: c.u16()}
	if h.Size < HeaderSize {
		return h, malformed("%s event of %d bytes", h.Type, h.Size)
	}
	return h, nil
}

// ParseEvent reads an event that is all of b. With checksum it verifies the last
// four bytes and cuts them off. Raw points into b.
func ParseEvent(b []byte, checksum bool) (Event, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Event{}, err
	}
	if uint64(h.Size) != uint64(len(b)) {
		return Event{}, malformed("%s event of %d bytes says that it has %d", h.Type, len(b), h.Size)
	}
	if checksum {
		if b, err = verify(b, h); err != nil {
			return Event{}, err
		}
	}
	return Event{Header: h, Raw: slices.Clip(b)}, nil
}

// ChecksumError is an event whose checksum is not that of its bytes.
type ChecksumError struct {
	Type      Type
	LogPos    uint32
	Got, Want uint32
}

func (e *ChecksumError) Error() string {
	return malformed("checksum of the %s event before position %d is %#x, its bytes give %#x", e.Type, e.LogPos, e.Got, e.Want).Error()
}

func (e *ChecksumError) Unwrap() error { return ErrMalformed }

func verify(b []byte, h Header) ([]byte, error) {
	if len(b) < HeaderSize+ChecksumSize {
		return nil, malformed("%s event of %d bytes has no room for a checksum", h.Type, len(b))
	}
	body, sum := b[:len(b)-ChecksumSize], binary.LittleEndian.Uint32(b[len(b)-ChecksumSize:])
	want := crc32.ChecksumIEEE(body)
	if sum != want && h.Type == TypeFormatDescription {
		// The flag "in use" of the first event is changed in place, without the checksum.
		clean := append([]byte(nil), body...)
		clean[17] &^= byte(FlagInUse)
		want = crc32.ChecksumIEEE(clean)
	}
	if sum != want {
		return nil, &ChecksumError{Type: h.Type, LogPos: h.LogPos, Got: sum, Want: want}
	}
	return body, nil
}

// NewEvent makes an event of a header and a body; Size is set to what they have.
func NewEvent(h Header, body []byte) Event {
	h.Size = uint32(HeaderSize + len(body))
	raw := make([]byte, HeaderSize, HeaderSize+len(body))
	binary.LittleEndian.PutUint32(raw, h.Timestamp)
	raw[4] = byte(h.Type)
	binary.LittleEndian.PutUint32(raw[5:], h.ServerID)
	binary.LittleEndian.PutUint32(raw[9:], h.Size)
	binary.LittleEndian.PutUint32(raw[13:], h.LogPos)
	binary.LittleEndian.PutUint16(raw[17:], h.Flags)
	return Event{Header: h, Raw: append(raw, body...)}
}
