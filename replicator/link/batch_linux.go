package link

import (
	"crypto/tls"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Batch asks the kernel not to wake the receiver before so many bytes are there; 1: at once.
// Whoever asks for more must know that they will come, or the end of the connection.
// tcp(7), SO_RCVLOWAT.
func (c *Conn) Batch(bytes int) error {
	if bytes == c.batch {
		return nil
	}
	nc := c.Net
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), syscall.SOL_SOCKET, unix.SO_RCVLOWAT, bytes) })
	if err == nil {
		err = failed
	}
	c.batch = bytes
	return err
}
