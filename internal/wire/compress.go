package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// Compression is the algorithm of the compressed protocol.
type Compression uint8

const (
	CompressionZlib Compression = iota + 1
	CompressionZstd
)

// String is the name that the servers use in their variables.
func (c Compression) String() string {
	switch c {
	case CompressionZlib:
		return "zlib"
	case CompressionZstd:
		return "zstd"
	}
	return "uncompressed"
}

// NegotiatedCompression is the algorithm that a connection with caps uses after
// its authentication; ok is false when it is none. Where both are negotiated
// it is zlib, as at the servers.
func NegotiatedCompression(caps Capability) (c Compression, ok bool) {
	switch {
	case caps.Has(ClientCompress):
		return CompressionZlib, true
	case caps.Has(ClientZstdCompression):
		return CompressionZstd, true
	}
	return 0, false
}

const (
	compHeaderLen = 7
	// minCompress is the size below which the servers do not compress.
	minCompress = 50
	// writeChunk is the most that goes into one compressed packet: it bounds
	// the buffers, and larger ones compress hardly better.
	writeChunk = 256 << 10
	// keepBuffer is the largest buffer that is kept for reuse.
	keepBuffer = 64 << 10
)

// CompressedConn is the compressed protocol as a net.Conn: Read and Write carry
// the stream of ordinary packets. One goroutine may read while another one
// writes. A read that failed for its deadline can be repeated.
//
// Peers check the numbers of compressed packets only, and the numbers of the
// packets in them have gaps: clients set them to the outer ones when they
// flush. What Read gives is numbered as if there were no compression, so that
// it can be forwarded to a server that checks.
//
// While nothing is under way it holds no buffer and no (de)compressor. During a
// packet it holds the packet's compressed bytes, as far as they have arrived,
// and a window: 32 KiB for zlib, for zstd what the frame asks for, at most
// 16 MiB.
type CompressedConn struct {
	net.Conn
	algorithm Compression
	level     int
	// seq is the number of the next compressed packet, in either direction.
	seq atomic.Uint32
	// inner is the number of the next packet within, in either direction.
	inner   atomic.Uint32
	in, out packetWalk

	header  [compHeaderLen]byte
	headerN int
	// raw is what is left of a packet that is not compressed.
	raw int
	// packed collects a compressed payload of packedLen bytes, which is one
	// of plainLen bytes. packedLen is 0 when there is none to collect.
	packed              []byte
	packedLen, plainLen int
	// plain is what is left to give out of the packet in unpack.
	plain  int
	unpack unpacker
	// readErr is set once the stream is broken.
	readErr error
}

var _ net.Conn = (*CompressedConn)(nil)

// NewCompressedConn wraps conn. level is zlib's (1 to 9, 0 for the default) or
// zstd's (1 to 22, 0 for the default); it applies to what is written. It starts
// nothing, and fails only for an algorithm or a level that do not exist.
func NewCompressedConn(conn net.Conn, algorithm Compression, level int) (*CompressedConn, error) {
	limit := maxZlibLevel
	switch algorithm {
	case CompressionZlib:
	case CompressionZstd:
		limit = maxZstdLevel
	default:
		return nil, fmt.Errorf("compression algorithm %d does not exist", algorithm)
	}
	if level < 0 || level > limit {
		return nil, fmt.Errorf("%s level %d is not in 0 to %d", algorithm, level, limit)
	}
	return &CompressedConn{Conn: conn, algorithm: algorithm, level: level}, nil
}

// ResetSeq starts a new command: both sides count compressed packets from 0.
func (c *CompressedConn) ResetSeq() {
	c.seq.Store(0)
	c.inner.Store(0)
}

// NetConn is the connection below.
func (c *CompressedConn) NetConn() net.Conn { return c.Conn }

// Buffered tells whether bytes that have arrived already wait to be read.
func (c *CompressedConn) Buffered() bool { return c.plain > 0 }

// Read reads bytes of the packet stream.
func (c *CompressedConn) Read(p []byte) (int, error) {
	if c.readErr != nil {
		return 0, c.readErr
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.read(p)
	if err != nil && !isTimeout(err) {
		c.readErr = err
		c.release()
	}
	c.in.walk(p[:n], &c.inner, true)
	return n, err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (c *CompressedConn) read(p []byte) (int, error) {
	for {
		switch {
		case c.raw > 0:
			n, err := c.Conn.Read(p[:min(len(p), c.raw)])
			c.raw -= n
			if n > 0 {
				return n, nil
			}
			if err != nil {
				return 0, midPacket(err)
			}
		case c.plain > 0:
			return c.readPlain(p)
		case c.packedLen > 0:
			if err := c.readPacked(); err != nil {
				return 0, err
			}
		default:
			if err := c.readHeader(); err != nil {
				return 0, err
			}
		}
	}
}

// midPacket is what an end of the stream means within a packet.
func midPacket(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *CompressedConn) readHeader() error {
	for c.headerN < compHeaderLen {
		n, err := c.Conn.Read(c.header[c.headerN:])
		c.headerN += n
		if err != nil && c.headerN < compHeaderLen {
			if c.headerN > 0 {
				err = midPacket(err)
			}
			return err
		}
	}
	c.headerN = 0
	size, seq := Header(c.header[:])
	plain := int(c.header[4]) | int(c.header[5])<<8 | int(c.header[6])<<16
	// A peer starts each command with 0, before its data tells us so.
	if want := byte(c.seq.Load()); seq != want && seq != 0 {
		return fmt.Errorf("%w: compressed packet %d, expected %d", ErrSequence, seq, want)
	}
	if seq == 0 && c.seq.Load() != 0 {
		c.inner.Store(0)
	}
	c.seq.Store(uint32(seq + 1))
	switch {
	case plain == 0:
		c.raw = size
	case size == 0:
		return fmt.Errorf("compressed packet: %w: no bytes for %d", ErrMalformed, plain)
	default:
		c.packedLen, c.plainLen = size, plain
	}
	return nil
}

// readPacked collects the compressed payload; the buffer grows with what has
// arrived, not with what the header claims.
func (c *CompressedConn) readPacked() error {
	for len(c.packed) < c.packedLen {
		if len(c.packed) == cap(c.packed) {
			c.growPacked()
		}
		at := len(c.packed)
		n, err := c.Conn.Read(c.packed[at:min(cap(c.packed), c.packedLen)])
		c.packed = c.packed[:at+n]
		if err != nil && len(c.packed) < c.packedLen {
			return midPacket(err)
		}
	}
	c.packedLen = 0
	c.plain = c.plainLen
	c.unpack = getUnpacker(c.algorithm)
	if err := c.unpack.Reset(c.packed); err != nil {
		return fmt.Errorf("compressed packet: %w: %w", ErrMalformed, err)
	}
	return nil
}

func (c *CompressedConn) growPacked() {
	if c.packed == nil {
		c.packed = getBuffer()
		return
	}
	grown := make([]byte, len(c.packed), min(2*cap(c.packed), c.packedLen))
	copy(grown, c.packed)
	putBuffer(c.packed)
	c.packed = grown
}

func (c *CompressedConn) readPlain(p []byte) (int, error) {
	n, err := c.unpack.Read(p[:min(len(p), c.plain)])
	c.plain -= n
	if c.plain == 0 && (err == nil || errors.Is(err, io.EOF)) {
		err = c.unpack.Finish()
		c.release()
		if err != nil {
			return 0, fmt.Errorf("compressed packet: %w: %w", ErrMalformed, err)
		}
		return n, nil
	}
	if err != nil {
		return 0, fmt.Errorf("compressed packet: %w: %w", ErrMalformed, midPacket(err))
	}
	return n, nil
}

// release gives back what a packet needed.
func (c *CompressedConn) release() {
	if c.unpack != nil {
		putUnpacker(c.unpack)
		c.unpack = nil
	}
	if c.packed != nil {
		putBuffer(c.packed)
		c.packed = nil
	}
	c.plain, c.packedLen, c.raw = 0, 0, 0
}

// Write writes bytes of the packet stream, as one compressed packet or, where
// there are many, as several.
func (c *CompressedConn) Write(p []byte) (written int, err error) {
	c.out.walk(p, &c.inner, false)
	for len(p) > 0 {
		n := min(len(p), writeChunk)
		if err := c.writeChunk(p[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

func (c *CompressedConn) writeChunk(p []byte) error {
	out := getBuffer()
	out = append(out, make([]byte, compHeaderLen)...)
	plain := 0
	if len(p) >= minCompress {
		packed, err := appendPacked(out, p, c.algorithm, c.level)
		if err != nil {
			return fmt.Errorf("compress: %w", err)
		}
		if len(packed)-compHeaderLen < len(p) {
			out, plain = packed, len(p)
		}
	}
	if plain == 0 {
		out = append(out[:compHeaderLen], p...)
	}
	seq := c.seq.Load()
	c.seq.Store(uint32(byte(seq + 1)))
	PutHeader(out, len(out)-compHeaderLen, byte(seq))
	out[4], out[5], out[6] = byte(plain), byte(plain>>8), byte(plain>>16)
	_, err := c.Conn.Write(out)
	putBuffer(out)
	return err
}

// packetWalk follows the headers of packets through a stream.
type packetWalk struct {
	left   int // bytes of the payload still to come
	header [HeaderLen - 1]byte
	n      int // bytes of the header that are there
}

// walk keeps next one ahead of the sequence numbers in b, which it sets where
// renumber says so.
func (w *packetWalk) walk(b []byte, next *atomic.Uint32, renumber bool) {
	for len(b) > 0 {
		if w.left > 0 {
			n := min(w.left, len(b))
			w.left -= n
			b = b[n:]
			continue
		}
		if w.n < len(w.header) {
			w.header[w.n] = b[0]
			w.n++
			b = b[1:]
			continue
		}
		if renumber {
			b[0] = byte(next.Load())
		}
		next.Store(uint32(b[0] + 1))
		w.left = int(w.header[0]) | int(w.header[1])<<8 | int(w.header[2])<<16
		w.n = 0
		b = b[1:]
	}
}
