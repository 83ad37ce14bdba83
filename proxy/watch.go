package proxy

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchInterval is how often busy sessions are looked at. A statement that is
// shorter than this is never looked at.
const watchInterval = 500 * time.Millisecond

// watch looks after what the sessions' own goroutines cannot see while they wait
// for a node: clients that are gone. It also sweeps the pools.
func (srv *Server) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	seen := make(map[uint32]uint64) // the turn in which a session was busy at the last look
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			srv.pools.sweep(now, srv.cfg.Topology.Load(), false)
			seen = srv.look(ctx, seen)
		}
	}
}

// look checks the clients of statements that were under way at the last look and
// still are.
func (srv *Server) look(ctx context.Context, before map[uint32]uint64) map[uint32]uint64 {
	busy := make(map[uint32]uint64)
	for _, s := range srv.all() {
		b := s.busy.Load()
		if b == nil {
			continue
		}
		turn := s.turn.Load()
		busy[s.id] = turn
		if old, ok := before[s.id]; !ok || old != turn || !s.gone() {
			continue
		}
		if s.killed.Swap(true) {
			continue
		}
		srv.killAbandoned(ctx, s, b)
	}
	return busy
}

// socketOptions sets on a listener what the clients' sockets inherit from it, so
// that it need not be set on each: no delay for small packets, and probes of idle
// connections as Go makes them.
func socketOptions(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// Errors are of sockets that have no such option, as unix sockets: none is needed there.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9)
	})
}

// gone says whether the client has closed its end of the connection.
func (s *session) gone() bool {
	if s.raw == nil {
		return false
	}
	hungUp := false
	err := s.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		hungUp = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return err != nil || hungUp
}
