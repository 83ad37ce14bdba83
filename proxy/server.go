package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// Server accepts clients and serves them.
type Server struct {
	cfg       Config
	log       *slog.Logger
	settings  atomic.Pointer[Settings]
	metrics   *metrics
	pools     *pools
	recipes   recipes
	offers    *offers
	shared    sharedFloors // by the hint session=key
	answered  answered
	redirects redirects // reads on the leader for want of a follower
	learned   *router.Learned
	secrets   *secrets
	users     *userCounts
	digests   digests
	rsa       *rsaKey
	refresh   throttle     // of account refreshes that failed logins ask for
	changes   atomic.Int32 // statements under way that change accounts
	rights    atomic.Pointer[rightsSeen]

	nextID atomic.Uint32
	gate   atomic.Pointer[closure] // closed while the leader changes; nil when open

	mu        sync.Mutex
	sessions  map[uint32]*session // guarded by mu
	greeting  map[netip.Addr]int  // guarded by mu: clients per address that are not authenticated yet
	listeners []net.Listener      // guarded by mu
	draining  bool                // guarded by mu
	wg        sync.WaitGroup      // sessions
}

// New returns a Server that serves no one yet; see [Server.Run]. Metrics are
// registered with reg, which may be nil.
func New(cfg Config, learned *router.Learned, reg prometheus.Registerer) (*Server, error) {
	key, err := newRSAKey()
	if err != nil {
		return nil, fmt.Errorf("make an RSA key: %w", err)
	}
	srv := &Server{
		cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Topology), offers: newOffers(), learned: learned,
		secrets: newSecrets(), users: newUserCounts(), rsa: key,
		sessions: make(map[uint32]*session), greeting: make(map[netip.Addr]int),
	}
	srv.metrics.evicted = srv.shared.count
	srv.settings.Store(&cfg.Settings)
	srv.pools = newPools(func() PoolSettings { return srv.settings.Load().Pool })
	srv.nextID.Store(firstID)
	if reg != nil {
		reg.MustRegister(srv.metrics)
	}
	return srv, nil
}

// Reload exchanges the settings. Open sessions go on under the new ones, but for
// what they negotiated.
func (srv *Server) Reload(set Settings) { srv.settings.Store(&set) }

// Listen opens a listener. address is host:port, or the path of a unix socket.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network := networkOf(address)
	if network == "unix" {
		removeStaleSocket(ctx, address)
	}
	lc := net.ListenConfig{KeepAlive: -1, Control: socketOptions}
	l, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if network == "unix" {
		// Like the servers' sockets: anybody may connect, accounts decide.
		if err := os.Chmod(address, 0o777); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
	}
	return l, nil
}

// removeStaleSocket removes a socket file that nobody listens on any more.
func removeStaleSocket(ctx context.Context, path string) {
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
}

// Run serves clients on the listeners until ctx ends; then it stops accepting,
// ends idle sessions at once and the others as their transactions end, and
// returns when all are gone or what drain returns then has passed. It closes the listeners.
func (srv *Server) Run(ctx context.Context, drain func() time.Duration, listeners ...net.Listener) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv.mu.Lock()
	srv.listeners = listeners
	srv.mu.Unlock()
	var helpers sync.WaitGroup
	helpers.Go(func() { srv.discover(work) })
	helpers.Go(func() { srv.watch(work) })
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		helpers.Go(func() { failed <- srv.accept(work, l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	srv.stopAccepting()
	srv.drain(drain())
	stop()
	helpers.Wait()
	srv.pools.sweep(time.Now(), srv.cfg.Topology.Load(), true)
	return err
}

func (srv *Server) stopAccepting() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.draining = true
	for _, l := range srv.listeners {
		_ = l.Close()
	}
}

// accept takes clients from one listener until it is closed.
func (srv *Server) accept(ctx context.Context, l net.Listener) error {
	backoff := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err != nil {
			srv.mu.Lock()
			draining := srv.draining
			srv.mu.Unlock()
			if draining || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of file descriptors, most likely: go on when some are free.
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			srv.log.Error("cannot accept clients", "err", err, "retry_in", backoff)
			select {
			case <-time.After(backoff):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		backoff = 0
		srv.wg.Go(func() {
			srv.serve(ctx, conn)
		})
	}
}

// serve takes one client from its first byte to its last.
func (srv *Server) serve(ctx context.Context, conn net.Conn) {
	srv.metrics.accepted.Add(1)
	s := &session{srv: srv, socket: conn, conn: newFastConn(conn), since: time.Now()}
	ctx, s.cancel = context.WithCancel(ctx)
	s.in.buf = s.in.small[:]
	if err := s.origin(srv.settings.Load()); err != nil {
		srv.log.Info("client refused", "remote", conn.RemoteAddr().String(), "err", err)
		_ = conn.Close()
		s.cancel()
		return
	}
	s.id = firstID + (srv.nextID.Add(1)-firstID)%(1<<30-1)
	if e := srv.admit(s); e != nil {
		_ = s.reject(0, e)
		srv.metrics.refused(e)
		_ = conn.Close()
		s.cancel()
		return
	}
	if err := s.greet(ctx); err != nil {
		s.finish()
		srv.leave(s)
		srv.metrics.refused(err)
		s.logger().Info("client refused", "err", err)
		s.cancel()
		return
	}
	// On a stack of its own: logging in has made this one large, and the session
	// may stay for long.
	srv.wg.Go(func() {
		defer srv.leave(s)
		defer s.cancel()
		s.serve(ctx)
	})
}

// admit lets a client in, or says why not.
func (srv *Server) admit(s *session) *wire.Err {
	set := srv.settings.Load()
	addr := s.addr.Addr()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.draining:
		return wire.NewErr(wire.ErServerShutdown, "Server shutdown in progress")
	case set.MaxConnections > 0 && len(srv.sessions) >= set.MaxConnections:
		return wire.NewErr(wire.ErConCount, "Too many connections")
	case !s.local && set.MaxUnauthenticatedPerAddress > 0 && srv.greeting[addr] >= set.MaxUnauthenticatedPerAddress:
		return wire.NewErr(wire.ErConCount, "Too many connections from this address are waiting to log in")
	}
	srv.sessions[s.id] = s
	srv.greeting[addr]++
	s.waiting = true
	return nil
}

// entered takes an authenticated client off the count of those that wait.
func (srv *Server) entered(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.waiting {
		s.waiting = false
		addr := s.addr.Addr()
		if srv.greeting[addr]--; srv.greeting[addr] <= 0 {
			delete(srv.greeting, addr)
		}
	}
}

func (srv *Server) leave(s *session) {
	srv.entered(s)
	srv.users.leave(s.counted)
	srv.mu.Lock()
	delete(srv.sessions, s.id)
	srv.mu.Unlock()
}

// find returns the session that a client calls id: the id of its greeting, or
// the thread id of its home connection on the leader.
func (srv *Server) find(id uint64) *session {
	if id == 0 || id > 1<<32-1 {
		return nil
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s := srv.sessions[uint32(id)]; s != nil {
		return s
	}
	for _, s := range srv.sessions {
		if s.homeID.Load() == uint32(id) {
			return s
		}
	}
	return nil
}

// all returns the sessions of this moment.
func (srv *Server) all() []*session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	list := make([]*session, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		list = append(list, s)
	}
	return list
}

// drain ends the sessions: idle ones at once, the others when their transaction
// ends, all of them after the limit.
func (srv *Server) drain(limit time.Duration) {
	done := make(chan struct{})
	go func() {
		srv.wg.Wait()
		close(done)
	}()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range srv.all() {
			s.ending.Store(true)
			if s.idle.Load() {
				_ = s.socket.SetReadDeadline(time.Unix(1, 0))
			}
		}
		select {
		case <-done:
			return
		case <-tick.C:
		case <-deadline.C:
			left := srv.all()
			srv.log.Warn("the drain's time is over; sessions are cut", "sessions", len(left))
			for _, s := range left {
				s.killed.Store(true)
				_ = s.socket.Close()
				if b := s.busy.Load(); b != nil {
					b.cutFor(s)
				}
			}
			<-done
			return
		}
	}
}

func (srv *Server) flavor() gtid.Flavor { return srv.cfg.Topology.Load().Flavor }

// shares says whether backend connections may go from one client to the next.
func (srv *Server) shares() bool { return srv.cfg.Server().InitConnect == "" }

// learn notes that a statement that looked like a read is a write.
func (srv *Server) learn(q *router.Query) {
	srv.learned.Add(q.Digest())
	srv.metrics.learned.Add(1)
}

// needAccounts makes sure that the accounts have been read once, and again where a
// statement is changing them: its client may have the answer already, and log in.
func (srv *Server) needAccounts(ctx context.Context) error {
	known := srv.cfg.Accounts() != nil
	if known && srv.changes.Load() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, srv.settings.Load().ConnectTimeout)
	defer cancel()
	if err := srv.cfg.RefreshAccounts(ctx); err != nil && !known {
		return fmt.Errorf("the leader's accounts are not known: %w", err)
	}
	if srv.cfg.Accounts() == nil {
		return errNoLeader
	}
	return nil
}

// refreshAccounts reads the accounts again for a login that failed; at most a
// few times a second, so that wrong passwords are no load on the leader.
func (srv *Server) refreshAccounts(ctx context.Context) bool {
	if !srv.refresh.allow(time.Now(), 200*time.Millisecond) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, srv.settings.Load().ConnectTimeout)
	defer cancel()
	return srv.cfg.RefreshAccounts(ctx) == nil
}
