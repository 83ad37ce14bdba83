package binlog

import (
	"errors"
	"fmt"
)

// ErrMalformed is what the decoders' errors wrap.
var ErrMalformed = errors.New("malformed binlog event")

// cursor reads forward through bytes. The first read beyond the end makes it
// bad, and from then on everything reads as zero; callers look once, at the end.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uint(n int) uint64 {
	var v uint64
	for i, x := range c.take(n) {
		v |= uint64(x) << (8 * i)
	}
	return v
}

func (c *cursor) u8() uint8   { return uint8(c.uint(1)) }
func (c *cursor) u16() uint16 { return uint16(c.uint(2)) }
func (c *cursor) u32() uint32 { return uint32(c.uint(4)) }
func (c *cursor) u64() uint64 { return c.uint(8) }

// lenenc reads a length-encoded integer.
func (c *cursor) lenenc() uint64 {
	switch first := c.u8(); first {
	case 0xfc:
		return c.uint(2)
	case 0xfd:
		return c.uint(3)
	case 0xfe:
		return c.uint(8)
	case 0xfb, 0xff:
		c.b, c.bad = nil, true
		return 0
	default:
		return uint64(first)
	}
}

// size reads a length-encoded integer that counts bytes to come.
func (c *cursor) size() int {
	n := c.lenenc()
	if n > uint64(len(c.b)) {
		c.b, c.bad = nil, true
		return 0
	}
	return int(n)
}

// terminated takes n bytes and the zero byte behind them.
func (c *cursor) terminated(n int) []byte {
	out := c.take(n)
	if c.u8() != 0 {
		c.bad = true
	}
	return out
}

// cstring takes bytes up to a zero byte, which it drops.
func (c *cursor) cstring() []byte {
	for i, x := range c.b {
		if x == 0 {
			out := c.b[:i:i]
			c.b = c.b[i+1:]
			return out
		}
	}
	c.b, c.bad = nil, true
	return nil
}

func (c *cursor) err(what string) error {
	if c.bad {
		return fmt.Errorf("%w: %s is truncated", ErrMalformed, what)
	}
	return nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
