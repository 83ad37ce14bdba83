package proxy

import (
	"errors"
	"io"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// smallBuffer is enough for most statements; it is part of the session, so that
// waiting for the next one needs nothing else.
const smallBuffer = 1 << 10

var (
	errSequence  = errors.New("client packet out of order")
	errEmpty     = errors.New("client packet without a command")
	errTooLarge  = errors.New("client packet larger than allowed")
	errClientEnd = errors.New("client closed the connection")
)

// request is one command as the client sent it. Its bytes are valid until the
// next command is read.
type request struct {
	bytes []byte // header and payload; only their beginning where whole is false
	whole bool   // the whole command is in bytes
	own   bool   // it is ours: it does not stand in the client's buffer
	size  int    // header and payload of the first packet, bytes
}

func (r *request) payload() []byte { return r.bytes[wire.HeaderLen:] }

// answered drops the request under way from the client's buffer.
func (s *session) answered() {
	s.in.consume(s.held)
	s.held = 0
}

// input is the client's side of a session as a buffer of commands. It holds a
// buffer of its own beyond small only while a command needs it.
type input struct {
	small [smallBuffer]byte
	buf   []byte // what is in use: small, a chunk, or memory of its own for a long command
	chunk *chunk // the pooled chunk in use, if any
	r, w  int    // buf[r:w] has been read and not yet consumed
}

// consume drops the first n bytes. Where nothing is left, borrowed memory goes back.
func (in *input) consume(n int) {
	in.r += n
	if in.r < in.w {
		return
	}
	in.r, in.w = 0, 0
	if in.chunk != nil {
		putChunk(in.chunk)
		in.chunk = nil
	}
	in.buf = in.small[:]
}

// need makes room for n bytes from r on.
func (in *input) need(n int) {
	if in.buf == nil {
		in.buf = in.small[:]
	}
	if len(in.buf)-in.r >= n {
		return
	}
	if len(in.buf) >= n {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
		return
	}
	old, oldChunk := in.buf[in.r:in.w], in.chunk
	if n <= chunkSize {
		in.chunk = getChunk()
		in.buf = in.chunk[:]
	} else {
		in.chunk = nil
		in.buf = make([]byte, n)
	}
	in.w = copy(in.buf, old)
	in.r = 0
	if oldChunk != nil {
		putChunk(oldChunk)
	}
}

// fill reads until at least n bytes are there.
func (in *input) fill(src io.Reader, n int) error {
	in.need(n)
	for in.w-in.r < n {
		m, err := src.Read(in.buf[in.w:])
		in.w += m
		if err != nil && in.w-in.r < n {
			return err
		}
	}
	return nil
}

// next reads one command. One larger than keep bytes comes back in part, and
// the rest is left to be streamed.
func (in *input) next(src io.Reader, keep int, limit int64) (request, error) {
	if err := in.fill(src, wire.HeaderLen); err != nil {
		return request{}, err
	}
	n, seq := wire.Header(in.buf[in.r:])
	switch {
	case seq != 0:
		return request{}, errSequence
	case n == 0:
		return request{}, errEmpty
	case limit > 0 && int64(n) > limit:
		return request{}, errTooLarge
	}
	size := wire.HeaderLen + n
	have := size
	whole := n < wire.MaxPayload && size <= keep
	if !whole {
		have = min(size, chunkSize)
	}
	if err := in.fill(src, have); err != nil {
		return request{}, err
	}
	return request{bytes: in.buf[in.r : in.r+have : in.r+have], whole: whole, size: size}, nil
}

// passOn sends the rest of a command that was not read whole: what remains of its
// first packet, and the packets that continue it.
func (in *input) passOn(src io.Reader, dst io.Writer, req *request, limit int64) error {
	rest := req.size - len(req.bytes)
	total := int64(req.size)
	last := req.size-wire.HeaderLen < wire.MaxPayload
	in.consume(len(req.bytes))
	for {
		for rest > 0 {
			if in.r == in.w {
				in.need(min(rest, chunkSize))
				m, err := src.Read(in.buf[in.w:])
				if m == 0 && err != nil {
					return err
				}
				in.w += m
			}
			n := min(rest, in.w-in.r)
			if _, err := dst.Write(in.buf[in.r : in.r+n]); err != nil {
				return &backendError{err}
			}
			rest -= n
			in.consume(n)
		}
		if last {
			return nil
		}
		if err := in.fill(src, wire.HeaderLen); err != nil {
			return err
		}
		n, _ := wire.Header(in.buf[in.r:])
		total += int64(n)
		if limit > 0 && total > limit {
			return errTooLarge
		}
		last = n < wire.MaxPayload
		rest = wire.HeaderLen + n
	}
}

// backendError marks an error of the node's side, where both sides are at work.
type backendError struct{ err error }

func (e *backendError) Error() string { return "node: " + e.err.Error() }
func (e *backendError) Unwrap() error { return e.err }
