package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// buffers holds byte slices of at most keepBuffer bytes.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func getBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func putBuffer(b []byte) {
	if cap(b) <= keepBuffer {
		b = b[:0]
		buffers.Put(&b)
	}
}

// unpacker decompresses one payload.
type unpacker interface {
	// Reset starts with packed, which must not change until Finish.
	Reset(packed []byte) error
	io.Reader
	// Finish checks that there is nothing left to read.
	Finish() error
}

var errTrailing = errors.New("more data than announced")

// atEnd tells whether r is at its end and in, what it reads from, too.
func atEnd(r io.Reader, in *bytes.Reader) error {
	var one [1]byte
	for range 8 {
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return errTrailing
		case errors.Is(err, io.EOF):
			if in.Len() > 0 {
				return errTrailing
			}
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

type zlibUnpacker struct {
	in bytes.Reader
	r  io.ReadCloser
}

func (z *zlibUnpacker) Reset(packed []byte) error {
	z.in.Reset(packed)
	if z.r == nil {
		r, err := zlib.NewReader(&z.in)
		z.r = r
		return err
	}
	return z.r.(zlib.Resetter).Reset(&z.in, nil)
}

func (z *zlibUnpacker) Read(p []byte) (int, error) { return z.r.Read(p) }

func (z *zlibUnpacker) Finish() error { return atEnd(z.r, &z.in) }

type zstdUnpacker struct {
	in bytes.Reader
	r  *zstd.Decoder
	// large: the window is too large to keep.
	large bool
}

// zstdKeepWindow is the largest window that is kept for reuse.
const zstdKeepWindow = 1 << 20

func (z *zstdUnpacker) Reset(packed []byte) error {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return err
	}
	z.large = z.large || h.WindowSize > zstdKeepWindow || h.FrameContentSize > zstdKeepWindow
	z.in.Reset(packed)
	if z.r == nil {
		r, err := zstd.NewReader(&z.in, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<24),
			zstd.WithDecoderMaxMemory(1<<24))
		z.r = r
		return err
	}
	return z.r.Reset(&z.in)
}

func (z *zstdUnpacker) Read(p []byte) (int, error) { return z.r.Read(p) }

func (z *zstdUnpacker) Finish() error { return atEnd(z.r, &z.in) }

var (
	zlibUnpackers = sync.Pool{New: func() any { return new(zlibUnpacker) }}
	zstdUnpackers = sync.Pool{New: func() any { return new(zstdUnpacker) }}
)

func getUnpacker(a Compression) unpacker {
	if a == CompressionZstd {
		return zstdUnpackers.Get().(unpacker)
	}
	return zlibUnpackers.Get().(unpacker)
}

// putUnpacker takes back an unpacker, without the payload that it read.
func putUnpacker(u unpacker) {
	switch u := u.(type) {
	case *zlibUnpacker:
		u.in.Reset(nil)
		if u.r != nil {
			zlibUnpackers.Put(u)
		}
	case *zstdUnpacker:
		u.in.Reset(nil)
		if u.r == nil {
			return
		}
		if u.large {
			u.r.Close()
			return
		}
		zstdUnpackers.Put(u)
	}
}

// appendWriter is an io.Writer that appends.
type appendWriter struct{ b []byte }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

type zlibPacker struct {
	out appendWriter
	w   *zlib.Writer
}

const (
	maxZlibLevel = 9
	maxZstdLevel = 22
)

// Packers by level: index 0 is the default level.
var (
	zlibPackers [maxZlibLevel + 1]sync.Pool
	zstdPackers [zstd.SpeedBestCompression + 1]sync.Pool
)

// appendPacked appends p, compressed, to dst.
func appendPacked(dst, p []byte, a Compression, level int) ([]byte, error) {
	if a == CompressionZstd {
		return appendZstd(dst, p, level)
	}
	return appendZlib(dst, p, level)
}

func appendZlib(dst, p []byte, level int) ([]byte, error) {
	pool := &zlibPackers[level]
	z, ok := pool.Get().(*zlibPacker)
	if !ok {
		if level == 0 {
			level = zlib.DefaultCompression
		}
		w, err := zlib.NewWriterLevel(nil, level)
		if err != nil {
			return dst, err
		}
		z = &zlibPacker{w: w}
	}
	z.out.b = dst
	z.w.Reset(&z.out)
	if _, err := z.w.Write(p); err != nil {
		return dst, err
	}
	if err := z.w.Close(); err != nil {
		return dst, err
	}
	dst, z.out.b = z.out.b, nil
	pool.Put(z)
	return dst, nil
}

func appendZstd(dst, p []byte, level int) ([]byte, error) {
	speed := zstd.SpeedDefault
	if level > 0 {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	pool := &zstdPackers[speed]
	z, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		z, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(speed), zstd.WithWindowSize(writeChunk),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return dst, err
		}
	}
	dst = z.EncodeAll(p, dst)
	pool.Put(z)
	return dst, nil
}
