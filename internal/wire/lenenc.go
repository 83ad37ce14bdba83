package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrMalformed is what every decoder returns, wrapped with the name of the
// message, when the payload is not of the message's form.
var ErrMalformed = errors.New("malformed packet")

// AppendLenencInt appends a length-encoded integer.
func AppendLenencInt(dst []byte, v uint64) []byte {
	switch {
	case v < 251:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(dst, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), v)
}

// AppendLenencString appends a length-encoded string.
func AppendLenencString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(AppendLenencInt(dst, uint64(len(s))), s...)
}

// LenencInt reads a length-encoded integer from the start of b; n is the
// number of bytes that it takes, 0 when b holds no whole one. 0xfb (NULL) and
// 0xff are no integers.
func LenencInt(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch c := b[0]; {
	case c < 0xfb:
		return uint64(c), 1
	case c == 0xfc && len(b) >= 3:
		return uint64(b[1]) | uint64(b[2])<<8, 3
	case c == 0xfd && len(b) >= 4:
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case c == 0xfe && len(b) >= 9:
		return binary.LittleEndian.Uint64(b[1:9]), 9
	}
	return 0, 0
}

// LenencString reads a length-encoded string from the start of b; n is the
// number of bytes that it takes with its length, 0 when b holds no whole one.
// The string borrows from b.
func LenencString(b []byte) (s []byte, n int) {
	l, n := LenencInt(b)
	if n == 0 || l > uint64(len(b)-n) {
		return nil, 0
	}
	end := n + int(l)
	return b[n:end:end], end
}

// LenencIntSize is the number of bytes that v takes.
func LenencIntSize(v uint64) int {
	switch {
	case v < 251:
		return 1
	case v < 1<<16:
		return 3
	case bits.Len64(v) <= 24:
		return 4
	}
	return 9
}

// reader walks a payload. Once something did not fit, bad stays set and all
// further reads give zero values.
type reader struct {
	b   []byte
	off int
	bad bool
}

func (r *reader) rest() int { return len(r.b) - r.off }

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > r.rest() {
		r.bad = true
		return nil
	}
	s := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return s
}

func (r *reader) u8() byte {
	if s := r.take(1); s != nil {
		return s[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if s := r.take(2); s != nil {
		return binary.LittleEndian.Uint16(s)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if s := r.take(4); s != nil {
		return binary.LittleEndian.Uint32(s)
	}
	return 0
}

func (r *reader) lenenc() uint64 {
	if r.bad {
		return 0
	}
	v, n := LenencInt(r.b[r.off:])
	if n == 0 {
		r.bad = true
	}
	r.off += n
	return v
}

func (r *reader) lenencString() []byte {
	if r.bad {
		return nil
	}
	s, n := LenencString(r.b[r.off:])
	if n == 0 {
		r.bad = true
		return nil
	}
	r.off += n
	return s
}

// nulString reads up to a NUL byte, which it consumes.
func (r *reader) nulString() []byte {
	if r.bad {
		return nil
	}
	for i := r.off; i < len(r.b); i++ {
		if r.b[i] == 0 {
			s := r.take(i - r.off)
			r.off++
			return s
		}
	}
	r.bad = true
	return nil
}

// tail reads all that is left.
func (r *reader) tail() []byte { return r.take(r.rest()) }
