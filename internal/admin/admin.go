package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Config is what a Server shows, and where. Only Address and Topology are required.
type Config struct {
	Address  string                       // host:port; port 0 takes any free one
	Topology func() *topology.Snapshot    // the present one; topology.Store.Load
	Ready    func() error                 // why clients are not accepted; nil when they are
	Gatherer prometheus.Gatherer          // behind /metrics
	Config   func() ConfigView            // behind /v1/config
	Stats    func() StatsView             // behind /v1/stats
	Sessions func(limit int) SessionsView // behind /v1/sessions; at most limit, the oldest first
	Digests  func(limit int) DigestsView  // behind /v1/digests; at most limit, the most frequent first
	// Repair makes a follower equal to the leader, and returns at once; behind POST
	// /v1/replication/repair. nil where Bellwether does not replicate.
	Repair func(RepairRequest) error
	// Verification is behind /v1/replication/verify; nil where Bellwether does not replicate.
	Verification func() VerificationView
	// Acknowledgement is part of /v1/topology; nil where Bellwether does not
	// replicate, and its answer nil where the leader does not wait for followers.
	Acknowledgement func() *AckView
	// Switchover makes another node the leader; behind POST /v1/switchover.
	Switchover func(context.Context, SwitchoverRequest) (SwitchoverView, error)
	// FailoverState is behind GET /v1/failover, Failover behind POST; Incidents behind
	// /v1/incidents, at most limit, the newest last.
	FailoverState func() FailoverView
	Failover      func(context.Context, FailoverRequest) (FailoverAnswer, error)
	Incidents     func(limit int) any
	Token         func() string // what requests that change something must bear; empty: they must come from this machine
	Version       VersionView
	Log           *slog.Logger // default: slog.Default
}

// Bounds that keep a slow or hostile client from tying anything up.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 60 * time.Second // longer than a switchover takes with all its timeouts
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10
	maxScrapes    = 4
	drainTimeout  = 2 * time.Second
)

// Server serves the admin side.
type Server struct {
	cfg      Config
	log      *slog.Logger
	handler  http.Handler
	listener net.Listener // set by Listen
}

// New returns a Server that does not listen yet.
func New(cfg Config) (*Server, error) {
	if cfg.Topology == nil {
		return nil, errors.New("admin: no topology to show")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{cfg: cfg, log: cfg.Log}
	s.handler = s.routes()
	return s, nil
}

// Listen opens the address, so that a caller learns at once when it cannot be
// opened. It must not be called twice.
func (s *Server) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return fmt.Errorf("admin.address %s: %w", s.cfg.Address, err)
	}
	s.listener = l
	return nil
}

// Addr is where the Server listens, or nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Handler is what the Server serves, for tests and other servers.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves until ctx ends, listening first if Listen was not called. Requests
// that are under way then have two seconds to end. It returns nil when ctx ended it.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	hs := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(s.listener) }()
	s.log.Info("admin listens", slog.String("address", s.listener.Addr().String()))
	select {
	case err := <-served:
		return fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := hs.Shutdown(drain); err != nil {
		_ = hs.Close() // the rest is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}
