package proxy

import (
	"errors"
	"io"
	"net"
	"syscall"
	"unsafe"
)

// fastConn is a socket with fewer and cheaper system calls than net.Conn makes.
//
// Two things cost most of a proxy's time on a short statement. A system call by
// package net tells the scheduler that it may block, and the scheduler then
// moves other goroutines to another thread, though these sockets never block:
// fastConn calls without telling. And a read after a request has been written
// finds nothing, for the answer takes its time, so that it is made twice:
// [fastConn.Exchange] writes the request when the read has already been armed,
// and reads only when the poller says that there is something.
//
// Like all connections here it has one owner: one Read or Exchange and one Write
// at a time.
type fastConn struct {
	net.Conn
	rc syscall.RawConn

	in    []byte // of the read under way
	n     int
	err   error
	out   []byte // of an Exchange under way; what is left to write
	got   *chunk // of an Exchange: where the answer goes
	armed bool   // the request has been written, the answer is awaited

	w    []byte // of the write under way
	wErr error

	readFn, exchangeFn, writeFn func(fd uintptr) bool
}

// newFastConn wraps a socket, or returns it as it is where it is none.
func newFastConn(conn net.Conn) net.Conn {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return conn
	}
	c := &fastConn{Conn: conn, rc: rc}
	c.readFn, c.exchangeFn, c.writeFn = c.tryRead, c.tryExchange, c.tryWrite
	return c
}

var _ net.Conn = (*fastConn)(nil)

// Read implements io.Reader.
func (c *fastConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in, c.n, c.err = p, 0, nil
	if err := c.rc.Read(c.readFn); err != nil && c.err == nil && c.n == 0 {
		c.err = err
	}
	c.in = nil
	return c.n, c.err
}

// tryRead reads what is there. It returns false where there is nothing, and is
// called again when there is.
func (c *fastConn) tryRead(fd uintptr) bool {
	for {
		n, errno := rawRead(fd, c.in)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			c.err = errno
		case n == 0:
			c.err = io.EOF
		default:
			c.n = n
		}
		return true
	}
}

// errUnsent is inside the errors of requests that did not reach the socket whole.
var errUnsent = errors.New("request was not sent")

// Exchange writes a request and reads the first of its answer into a chunk, which
// is the caller's to give back. The chunk is taken when the answer is there, not
// before: while statements wait they hold none, and the few that are in use stay
// in the processor's caches. There must be no answer of an earlier request left to
// be read.
func (c *fastConn) Exchange(request []byte) (*chunk, int, error) {
	c.n, c.err, c.out, c.armed, c.got = 0, nil, request, false, nil
	err := c.rc.Read(c.exchangeFn)
	rest, got := c.out, c.got
	c.in, c.out, c.got = nil, nil, nil
	switch {
	case c.err != nil:
		err = c.err
	case c.n > 0:
		return got, c.n, nil
	case len(rest) > 0 && err == nil: // the socket's buffer is full: the slow way
		if got == nil {
			got = getChunk()
		}
		if _, err = c.Write(rest); err != nil {
			err = errors.Join(errUnsent, err)
			break
		}
		var n int
		if n, err = c.Read(got[:]); n > 0 {
			return got, n, nil
		}
	}
	if got != nil {
		putChunk(got)
	}
	return nil, 0, err
}

// tryExchange writes first. The read is armed by then: whatever arrives after
// the request was written is noticed, so that nothing need be looked for now.
func (c *fastConn) tryExchange(fd uintptr) bool {
	if c.armed {
		if c.got == nil {
			c.got = getChunk()
			c.in = c.got[:]
		}
		return c.tryRead(fd)
	}
	for len(c.out) > 0 {
		n, errno := rawWrite(fd, c.out)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return true
		case errno != 0:
			c.err = errors.Join(errUnsent, errno)
			return true
		default:
			c.out = c.out[n:]
		}
	}
	c.armed = true
	return false
}

// Write implements io.Writer.
func (c *fastConn) Write(p []byte) (int, error) {
	c.w, c.wErr = p, nil
	err := c.rc.Write(c.writeFn)
	n := len(p) - len(c.w)
	c.w = nil
	if c.wErr != nil {
		err = c.wErr
	}
	return n, err
}

func (c *fastConn) tryWrite(fd uintptr) bool {
	for len(c.w) > 0 {
		n, errno := rawWrite(fd, c.w)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			c.wErr = errno
			return true
		default:
			c.w = c.w[n:]
		}
	}
	return true
}

// SyscallConn gives access to the socket, as net's connections do.
func (c *fastConn) SyscallConn() (syscall.RawConn, error) { return c.rc, nil }

// rawRead reads from a descriptor that does not block.
func rawRead(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

// rawWrite writes to a descriptor that does not block. A connection that the
// peer has closed gives EPIPE; Go ignores the signal for all but standard output.
func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}
