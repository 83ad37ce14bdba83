package proxy

import (
	"context"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// watchInterval is how often busy sessions are looked at. A statement that is
// shorter than this is never looked at.
const watchInterval = 500 * time.Millisecond

// watch looks after what the sessions' own goroutines cannot see while they wait
// for a node: clients that are gone, and nodes that no longer answer. It also
// sweeps the pools.
func (srv *Server) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	seen := make(map[uint32]uint64)    // the turn in which a session was busy at the last look
	down := make(map[string]time.Time) // since when a node has been down
	hung := map[uint32]bool{}          // sessions whose home connection was closed at the last look
	var warming sync.WaitGroup
	defer warming.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			snap := srv.cfg.Topology.Load()
			srv.pools.sweep(now, snap, false)
			srv.warm(ctx, snap, &warming)
			silent(down, snap, now)
			seen = srv.look(ctx, seen, down)
			hung = srv.lookHome(snap, hung)
		}
	}
}

// lookHome ends idle sessions whose home connection the leader has closed, for
// wait_timeout or by KILL: as on a direct connection, the client finds its own
// closed before it sends the next statement. A leader that has died closes all at
// once; so it must be up at two looks in a row.
func (srv *Server) lookHome(snap *topology.Snapshot, before map[uint32]bool) map[uint32]bool {
	hung := make(map[uint32]bool)
	for _, s := range srv.all() {
		b := s.homeNow.Load()
		if b == nil || s.busy.Load() != nil || !b.uses(s) || snap.Leader == nil || snap.Leader.Name != b.node ||
			snap.Leader.State != topology.StateUp || !hungUp(b.raw) {
			continue
		}
		if !before[s.id] {
			hung[s.id] = true
			continue
		}
		s.stale.Store(true)
		_ = s.socket.SetReadDeadline(time.Unix(1, 0))
	}
	return hung
}

// silent keeps since when nodes have been down.
func silent(down map[string]time.Time, snap *topology.Snapshot, now time.Time) {
	for name := range down {
		if n := snap.Node(name); n == nil || n.State != topology.StateDown {
			delete(down, name)
		}
	}
	for _, n := range snap.Nodes {
		if _, ok := down[n.Name]; !ok && n.State == topology.StateDown {
			down[n.Name] = now
		}
	}
}

// abandoned says whether to wait no longer for a node's answer. A read can run
// elsewhere as soon as its follower is down; what runs on the leader cannot, and
// is given as long as a new statement waits for a leader.
func (srv *Server) abandoned(b *backend, down map[string]time.Time) bool {
	since, ok := down[b.node]
	return ok && (b.follower || time.Since(since) >= srv.settings.Load().Pool.Wait)
}

// look checks the clients and nodes of statements that were under way at the last
// look and still are.
func (srv *Server) look(ctx context.Context, before map[uint32]uint64, down map[string]time.Time) map[uint32]uint64 {
	busy := make(map[uint32]uint64)
	for _, s := range srv.all() {
		b := s.busy.Load()
		if b == nil {
			continue
		}
		turn := s.turn.Load()
		busy[s.id] = turn
		if old, ok := before[s.id]; !ok || old != turn {
			continue
		}
		// A node that closed its side before the request was sent is not noticed by
		// who waits for an answer, where its end still takes what is sent.
		if srv.abandoned(b, down) || hungUp(b.raw) {
			b.cutFor(s)
			continue
		}
		if !s.gone() {
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
func (s *session) gone() bool { return hungUp(s.raw) }

// hungUp says whether the other end of a socket has closed its side.
func hungUp(raw syscall.RawConn) bool {
	if raw == nil {
		return false
	}
	closed := false
	err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		closed = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return err != nil || closed
}
