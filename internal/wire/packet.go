package wire

import (
	"errors"
	"fmt"
	"io"
)

const (
	// HeaderLen is the size of a packet's header in bytes.
	HeaderLen = 4
	// MaxPayload is the size in bytes of the largest payload of one packet.
	// A payload of exactly this size is continued in the next packet.
	MaxPayload = 1<<24 - 1
)

// ErrTooLarge is returned for a payload above the reader's limit.
var ErrTooLarge = errors.New("packet too large")

// ErrSequence is returned for a packet with an unexpected sequence number.
var ErrSequence = errors.New("packets out of order")

// Header reads a packet header: the length of the payload in bytes, and the
// sequence number. b must hold at least HeaderLen bytes.
func Header(b []byte) (length int, seq byte) {
	_ = b[3]
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16, b[3]
}

// PutHeader writes a packet header to the first HeaderLen bytes of b.
func PutHeader(b []byte, length int, seq byte) {
	_ = b[3]
	b[0], b[1], b[2], b[3] = byte(length), byte(length>>8), byte(length>>16), seq
}

// beginPacket reserves the header; endPacket fills it in.
func beginPacket(dst []byte) (out []byte, start int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// endPacket completes the packet that begins at start, and returns the
// sequence number after it. A payload that is too large for one packet is
// split, as the protocol wants it.
func endPacket(dst []byte, start int, seq byte) ([]byte, byte) {
	n := len(dst) - start - HeaderLen
	if n < MaxPayload {
		PutHeader(dst[start:], n, seq)
		return dst, seq + 1
	}
	payload := append([]byte(nil), dst[start+HeaderLen:]...)
	return appendPacket(dst[:start], seq, payload)
}

func appendPacket(dst []byte, seq byte, payload []byte) ([]byte, byte) {
	for {
		n := min(len(payload), MaxPayload)
		dst = append(dst, byte(n), byte(n>>8), byte(n>>16), seq)
		dst = append(dst, payload[:n]...)
		payload = payload[n:]
		seq++
		if n < MaxPayload {
			return dst, seq
		}
	}
}

// AppendPacket appends payload with its header; one of MaxPayload bytes or
// more becomes several packets with consecutive sequence numbers.
func AppendPacket(dst []byte, seq byte, payload []byte) []byte {
	dst, _ = appendPacket(dst, seq, payload)
	return dst
}

// readStep bounds how far a buffer grows ahead of what has arrived, so that a
// header alone cannot claim memory.
const readStep = 64 << 10

// ReadPacket reads one payload, joining the packets of a large one, into buf
// (which it grows as the bytes arrive) and returns it with the sequence number
// of its last packet. A payload of more than limit bytes is ErrTooLarge; a gap
// between the joined packets' sequence numbers is ErrSequence. The end of the
// stream before the first byte is io.EOF, later io.ErrUnexpectedEOF.
func ReadPacket(r io.Reader, buf []byte, limit int) (payload []byte, seq byte, err error) {
	buf = buf[:0]
	for part := 0; ; part++ {
		var h [HeaderLen]byte
		buf, h, err = readHeader(r, buf)
		if err != nil {
			if part > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, 0, err
		}
		n, s := Header(h[:])
		if part > 0 && s != seq+1 {
			return nil, s, ErrSequence
		}
		seq = s
		if n > limit-len(buf) {
			return nil, seq, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
		if buf, err = readFull(r, buf, n); err != nil {
			return nil, seq, err
		}
		if n < MaxPayload {
			return buf, seq, nil
		}
	}
}

// readHeader reads a header through buf's own spare room, so that the array
// does not escape to the heap.
func readHeader(r io.Reader, buf []byte) ([]byte, [HeaderLen]byte, error) {
	n := len(buf)
	if cap(buf)-n < HeaderLen {
		buf = append(buf, 0, 0, 0, 0)[:n]
	}
	room := buf[n : n+HeaderLen]
	if _, err := io.ReadFull(r, room); err != nil {
		return buf, [HeaderLen]byte{}, err
	}
	return buf, [HeaderLen]byte(room), nil
}

func readFull(r io.Reader, buf []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, max(readStep, cap(buf)-len(buf)))
		at := len(buf)
		if cap(buf)-at < step {
			buf = append(buf, make([]byte, step)...)
		} else {
			buf = buf[:at+step]
		}
		if _, err := io.ReadFull(r, buf[at:at+step]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return buf, err
		}
		n -= step
	}
	return buf, nil
}

// WritePacket writes payload with its header, as several packets where it is
// too large for one, and returns the sequence number after the last.
func WritePacket(w io.Writer, payload []byte, seq byte) (next byte, err error) {
	for {
		n := min(len(payload), MaxPayload)
		out := make([]byte, HeaderLen, HeaderLen+n)
		PutHeader(out, n, seq)
		if _, err := w.Write(append(out, payload[:n]...)); err != nil {
			return seq, fmt.Errorf("write packet: %w", err)
		}
		payload = payload[n:]
		seq++
		if n < MaxPayload {
			return seq, nil
		}
	}
}
