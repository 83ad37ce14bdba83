package binlog

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxEvent is the greatest event that is unpacked, in bytes: the servers' own
// bound for packets.
const maxEvent = 1<<30 + 1<<20

// Decompress returns the plain form of MariaDB's compressed events; others are
// returned as they are. Of rows everything behind the column bitmaps is
// compressed, of a query its text.
func Decompress(e Event) (Event, error) {
	h := e.Header
	body := e.Body()
	var fixed int
	switch {
	case e.Type == TypeQueryCompressed:
		c := cursor{b: body}
		c.take(8)
		schema := int(c.u8())
		c.u16()
		c.take(int(c.u16()))
		c.terminated(schema)
		if err := c.err("compressed query event"); err != nil {
			return e, err
		}
		h.Type, fixed = TypeQuery, len(body)-len(c.b)
	case e.Type.isCompressedRows():
		r := &Rows{Type: e.Type}
		c := cursor{b: body}
		r.parseHeader(&c)
		if err := c.err("compressed row event"); err != nil {
			return e, err
		}
		fixed = len(body) - len(c.b)
		if e.Type >= TypeWriteRowsCompressed {
			h.Type = e.Type - TypeWriteRowsCompressed + TypeWriteRows
		} else {
			h.Type = e.Type - TypeWriteRowsCompressedV1 + TypeWriteRowsV1
		}
	default:
		return e, nil
	}
	plain, err := inflate(body[fixed:])
	if err != nil {
		return e, malformed("%s event: %v", e.Type, err)
	}
	return NewEvent(h, append(body[:fixed:fixed], plain...)), nil
}

// inflate reads MariaDB's record: a byte that holds 0x80, the algorithm (0: zlib)
// and the number of bytes of the length, the length with the highest byte first,
// and the compressed bytes.
func inflate(b []byte) ([]byte, error) {
	if len(b) < 2 || b[0]&0xf0 != 0x80 {
		return nil, errors.New("not a compressed record")
	}
	n := int(b[0] & 7)
	if n < 1 || n > 4 || len(b) < 1+n {
		return nil, errors.New("a length of no size")
	}
	size := 0
	for _, x := range b[1 : 1+n] {
		size = size<<8 | int(x)
	}
	if size > maxEvent {
		return nil, errors.New("too long")
	}
	z, err := zlib.NewReader(bytes.NewReader(b[1+n:]))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(z, int64(size)+1)); err != nil {
		return nil, err
	}
	if out.Len() != size {
		return nil, errors.New("another length than it says")
	}
	return out.Bytes(), z.Close()
}

// Payload is MySQL's TRANSACTION_PAYLOAD: the events of a transaction, together
// compressed, without checksums.
type Payload struct {
	Compression uint64 // 0: zstd, 255: none
	Size        uint64 // uncompressed
	Data        []byte
}

// ParsePayload decodes a TRANSACTION_PAYLOAD event.
func ParsePayload(e Event) (*Payload, error) {
	if e.Type != TypeTransactionPayload {
		return nil, malformed("%s is not a transaction payload", e.Type)
	}
	p := &Payload{Compression: 255}
	size := -1
	c := cursor{b: e.Body()}
	for len(c.b) > 0 {
		kind := c.lenenc()
		if kind == 0 {
			break
		}
		v := cursor{b: c.take(c.size())}
		switch kind {
		case 1:
			size = int(min(v.lenenc(), maxEvent))
		case 2:
			p.Compression = v.lenenc()
		case 3:
			p.Size = v.lenenc()
		}
		if c.bad || v.bad {
			return nil, malformed("transaction payload's fields are truncated")
		}
	}
	if size != len(c.b) {
		return nil, malformed("transaction payload of %d bytes says that it has %d", len(c.b), size)
	}
	p.Data = c.b
	return p, c.err("transaction payload")
}

// Events calls f for each event of the payload, in order, and holds no more than
// one of them.
func (p *Payload) Events(f func(Event) error) error {
	var r io.Reader = bytes.NewReader(p.Data)
	switch p.Compression {
	case 255:
	case 0:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return malformed("transaction payload: %v", err)
		}
		defer z.Close()
		r = z
	default:
		return malformed("transaction payload of compression %d", p.Compression)
	}
	for {
		e, err := readEvent(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// readEvent reads one event without a checksum; io.EOF where there is none.
func readEvent(r io.Reader) (Event, error) {
	var head [HeaderSize]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return Event{}, io.EOF
		}
		return Event{}, malformed("transaction payload: %v", err)
	}
	size := binary.LittleEndian.Uint32(head[9:])
	if size < HeaderSize || size > maxEvent {
		return Event{}, malformed("transaction payload with an event of %d bytes", size)
	}
	var raw bytes.Buffer // grows as bytes come: a lie about the size costs nothing
	raw.Write(head[:])
	if n, err := io.CopyN(&raw, r, int64(size)-HeaderSize); err != nil {
		return Event{}, malformed("transaction payload ends %d bytes into an event of %d: %v", n, size, err)
	}
	return ParseEvent(raw.Bytes(), false)
}
