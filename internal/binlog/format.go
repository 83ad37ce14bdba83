package binlog

import (
	"bytes"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Checksum algorithms.
const (
	ChecksumOff   uint8 = 0
	ChecksumCRC32 uint8 = 1
	ChecksumUndef uint8 = 255 // a server from before checksums
)

// FormatDescription is the first event of each binlog file: what wrote it, and
// how. Event is the event itself, as BINLOG wants it, without a checksum.
type FormatDescription struct {
	Version       uint16 // 4
	ServerVersion string
	Created       uint32 // when the server started that wrote the file, seconds; 0 in files after the first
	HeaderLengths []byte // of the fixed part of each type's body, from type 1 on
	Checksum      uint8  // algorithm of the events that follow
	Event         Event
}

// Flavor is the kind of server that wrote it.
func (f *FormatDescription) Flavor() gtid.Flavor {
	if strings.Contains(f.ServerVersion, "MariaDB") {
		return gtid.MariaDB
	}
	return gtid.MySQL
}

// ParseFormatDescription decodes a whole event as it was received. Alone among
// the events it says itself whether checksums are used, and has one where the
// server knows of them, whatever the algorithm; it is verified and cut off here.
func ParseFormatDescription(b []byte) (*FormatDescription, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if h.Type != TypeFormatDescription || int(h.Size) != len(b) {
		return nil, malformed("%s event of %d bytes for a format description", h.Type, len(b))
	}
	f := &FormatDescription{Checksum: ChecksumUndef}
	c := cursor{b: b[HeaderSize:]}
	f.Version = c.u16()
	version, _, _ := bytes.Cut(c.take(50), []byte{0})
	f.ServerVersion = string(version)
	f.Created = c.u32()
	if n := c.u8(); c.bad || n != HeaderSize || f.Version != 4 {
		return nil, malformed("format %d with headers of %d bytes", f.Version, n)
	}
	if !knowsChecksums(f.ServerVersion) {
		f.HeaderLengths = c.b
		f.Event = Event{Header: h, Raw: slices.Clip(b)}
		return f, nil
	}
	if len(c.b) < 1+ChecksumSize {
		return nil, malformed("a format description of %d bytes", len(b))
	}
	f.HeaderLengths, f.Checksum = c.b[:len(c.b)-1-ChecksumSize], c.b[len(c.b)-1-ChecksumSize]
	if f.Checksum > ChecksumCRC32 {
		return nil, malformed("checksum algorithm %d", f.Checksum)
	}
	body := b[: len(b)-ChecksumSize : len(b)-ChecksumSize]
	if f.Checksum == ChecksumCRC32 {
		if body, err = verify(b, h); err != nil {
			return nil, err
		}
	}
	f.Event = Event{Header: h, Raw: body}
	return f, nil
}

// StripChecksum returns the format description event for events without
// checksums: what BINLOG must be given before such events. The server expects
// four bytes in the checksum's place whatever the algorithm says.
func (f *FormatDescription) StripChecksum() Event {
	if f.Checksum == ChecksumUndef {
		return f.Event
	}
	body := bytes.Clone(f.Event.Body())
	body[len(body)-1] = ChecksumOff
	h := f.Event.Header
	h.LogPos = 0
	return NewEvent(h, append(body, 0, 0, 0, 0))
}

// knowsChecksums reports whether servers of this version write the checksum
// algorithm: from MySQL 5.6.1 and MariaDB 5.3.0 on.
func knowsChecksums(version string) bool {
	c := cursor{b: []byte(version)}
	least := []int{5, 6, 1}
	if strings.Contains(version, "MariaDB") {
		least = []int{5, 3, 0}
	}
	for i, want := range least {
		n, digits := 0, 0
		for len(c.b) > 0 && c.b[0] >= '0' && c.b[0] <= '9' && digits < 6 {
			n = n*10 + int(c.b[0]-'0')
			c.b = c.b[1:]
			digits++
		}
		if n != want {
			return n > want
		}
		if i < 2 && (len(c.b) == 0 || c.b[0] != '.') {
			return false
		}
		c.take(min(1, len(c.b)))
	}
	return true
}
