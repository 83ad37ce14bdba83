package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/catalog"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/lagmonitor"
	"github.com/bellwetherdb/bellwether/proxy"
	"github.com/bellwetherdb/bellwether/replicator"
	"github.com/bellwetherdb/bellwether/router"
)

// learnedSize is how many statements are remembered that followers refused.
const learnedSize = 4096

// Options are what a program gives that no configuration file holds.
type Options struct {
	Path          string         // the configuration file, watched for changes; empty: not watched
	Level         *slog.LevelVar // of the log, changed by a reload; nil: fixed
	AddressesFile string         // where the real addresses are written; empty: nowhere
	Version       string
	FixedProcs    bool             // leave GOMAXPROCS alone: others use the process too
	Reload        <-chan os.Signal // asks for the file to be read again; may be nil
	Ready         func(Addresses)  // called once, when everything listens; may be nil
}

// Addresses are where the program listens.
type Addresses struct {
	MySQL  string `json:"mysql,omitempty"`
	Socket string `json:"socket,omitempty"`
	Admin  string `json:"admin,omitempty"`
}

// App is the program, built and not yet running.
type App struct {
	cfg       *configs.Config
	opts      Options
	log       *slog.Logger
	store     *topology.Store
	registry  *prometheus.Registry
	learned   *router.Learned
	own       ownCertificate
	monitor   *lagmonitor.Monitor
	engine    *replicator.Engine // nil in native mode
	catalog   *catalog.Poller
	proxy     *proxy.Server
	watcher   *configs.Watcher
	loop      *executor.Loop // nil where failover is off
	closers   []func() error // what the loop uses, closed after it
	started   time.Time
	switching sync.Mutex // held while the leader is changed
	built     *built     // of the configuration that is applied; belongs to apply once Run runs
}

// New builds the program from a configuration that is valid.
func New(cfg *configs.Config, log *slog.Logger, opts Options) (*App, error) {
	a := &App{
		cfg: cfg, opts: opts, log: log, store: topology.NewStore(nil),
		registry: prometheus.NewRegistry(), learned: router.NewLearned(learnedSize), started: time.Now(),
	}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b, err := a.build(cfg)
	if err != nil {
		return nil, err
	}
	a.built = b
	if cfg.Replication.Mode == "engine" {
		if a.engine, err = replicator.New(b.engine, log.With("part", "replicator"), a.registry); err != nil {
			return nil, err
		}
		b.monitor.Following = a.following
	}
	if a.monitor, err = lagmonitor.New(b.monitor, a.store, log.With("part", "lagmonitor"), a.registry); err != nil {
		return nil, fmt.Errorf("lag monitor: %w", err)
	}
	if a.catalog, err = catalog.New(b.catalog, a.store, log.With("part", "catalog"), a.registry); err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	a.proxy, err = proxy.New(proxy.Config{
		Topology: a.store, Log: log.With("part", "proxy"),
		Accounts: a.catalog.Accounts, RefreshAccounts: a.catalog.RefreshAccounts,
		Routines: a.catalog.Routines, Server: a.serverInfo,
		Positions: a.monitor, KeepAnswers: cfg.Failover.Mode != "off",
		Settings: b.proxy,
	}, a.learned, a.registry)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if err := a.newLoop(); err != nil {
		return nil, err
	}
	if opts.Path != "" {
		a.watcher, err = configs.NewWatcher(opts.Path, cfg, a.apply,
			configs.WatcherOptions{Log: log.With("part", "config"), Registerer: a.registry})
		if err != nil {
			return nil, fmt.Errorf("watch the configuration: %w", err)
		}
	}
	return a, nil
}

// serverInfo is the leader's variables in the proxy's terms.
func (a *App) serverInfo() proxy.ServerInfo {
	v := a.catalog.Variables()
	if v == nil {
		return proxy.ServerInfo{TrackedVars: defaultTracked}
	}
	return proxy.ServerInfo{
		InitConnect: v.InitConnect, SQLMode: v.SQLMode, DefaultPlugin: v.DefaultAuthPlugin,
		TrackedVars: v.SessionTrack["session_track_system_variables"],
	}
}

// defaultTracked is the servers' default of session_track_system_variables.
const defaultTracked = "time_zone,autocommit,character_set_client,character_set_results,character_set_connection"

// apply gives a changed configuration to all parts, or to none: what can fail is
// tried first, and taken back where a later part refuses.
func (a *App) apply(next *configs.Config) error {
	if a.loop != nil && !sameNodes(a.cfg, next) {
		return errors.New("cluster.nodes: with failover on, other nodes need a restart")
	}
	if a.loop != nil && a.engine != nil && !sameAcks(a.cfg, next) {
		return errors.New("replication.acks: with failover on, others need a restart")
	}
	b, err := a.build(next)
	if err != nil {
		return err
	}
	if err := a.monitor.Reconfigure(b.monitor); err != nil {
		return err
	}
	if err := a.catalog.Reconfigure(b.catalog); err != nil {
		return errors.Join(err, a.monitor.Reconfigure(a.built.monitor))
	}
	a.built = b
	if a.engine != nil {
		a.engine.Reconfigure(b.engine)
	}
	a.proxy.Reload(b.proxy)
	if a.opts.Level != nil {
		var level slog.Level
		if err := level.UnmarshalText([]byte(next.Log.Level)); err == nil {
			a.opts.Level.Set(level)
		}
	}
	a.learned.Reset() // rules and nodes may be others now
	return nil
}

// Run opens the listeners and serves until ctx ends; then it drains and returns
// when all sessions are gone.
func (a *App) Run(ctx context.Context) error {
	listeners, addresses, err := a.listen(ctx)
	if err != nil {
		return err
	}
	adm, err := a.admin(ctx, &addresses)
	if err != nil {
		closeAll(listeners)
		return err
	}
	if err := a.announce(addresses); err != nil {
		closeAll(listeners)
		return err
	}
	// The parts outlive ctx: sessions that drain need them.
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, parts := errgroup.WithContext(parts)
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(parts, cancel) // a part that fails ends the program
	g.Go(func() error { return a.monitor.Run(parts) })
	g.Go(func() error { return a.catalog.Run(parts) })
	if a.engine != nil {
		g.Go(func() error { return a.engine.Run(parts) })
	}
	g.Go(func() error { return a.adaptProcs(parts) })
	if a.loop != nil {
		g.Go(func() error { return a.loop.Run(parts) })
	}
	if adm != nil {
		g.Go(func() error { return adm.Run(parts) })
	}
	if a.watcher != nil {
		g.Go(func() error { return a.watcher.Run(parts) })
		g.Go(func() error { return a.onSignal(parts) })
	}
	err = a.proxy.Run(serving, a.drain, listeners...)
	stop()
	err = errors.Join(err, g.Wait())
	for _, c := range a.closers {
		err = errors.Join(err, c())
	}
	return err
}

// drain is the time that open transactions have, as configured now.
func (a *App) drain() time.Duration {
	if a.watcher != nil {
		return a.watcher.Current().Shutdown.Drain
	}
	return a.cfg.Shutdown.Drain
}

func (a *App) onSignal(ctx context.Context) error {
	for {
		select {
		case <-a.opts.Reload:
			a.watcher.Reload()
		case <-ctx.Done():
			return nil
		}
	}
}

// listen opens the listeners for clients.
func (a *App) listen(ctx context.Context) ([]net.Listener, Addresses, error) {
	var list []net.Listener
	var at Addresses
	if a.cfg.Listen.Address != "" {
		l, err := proxy.Listen(ctx, a.cfg.Listen.Address)
		if err != nil {
			return nil, at, err
		}
		list = append(list, l)
		at.MySQL = l.Addr().String()
	}
	if a.cfg.Listen.Socket != "" {
		l, err := proxy.Listen(ctx, a.cfg.Listen.Socket)
		if err != nil {
			closeAll(list)
			return nil, at, err
		}
		list = append(list, l)
		at.Socket = a.cfg.Listen.Socket
	}
	return list, at, nil
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		_ = l.Close()
	}
}

// announce tells where the program listens: in the log, in a file, to the caller.
func (a *App) announce(at Addresses) error {
	a.log.Info("listening", "mysql", at.MySQL, "socket", at.Socket, "admin", at.Admin, "version", a.opts.Version)
	if f := a.opts.AddressesFile; f != "" {
		b, err := json.Marshal(at)
		if err != nil {
			return fmt.Errorf("write addresses: %w", err)
		}
		tmp := filepath.Join(filepath.Dir(f), "."+filepath.Base(f)+".new")
		if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write addresses: %w", err)
		}
		if err := os.Rename(tmp, f); err != nil {
			return fmt.Errorf("write addresses: %w", err)
		}
	}
	if a.opts.Ready != nil {
		a.opts.Ready(at)
	}
	return nil
}

// Store returns the topology, for those who show it.
func (a *App) Store() *topology.Store { return a.store }

// Registry returns the metrics, for those who show them.
func (a *App) Registry() *prometheus.Registry { return a.registry }

// Failover returns the state of what changes the leader; false where that is off.
func (a *App) Failover() (executor.View, bool) {
	if a.loop == nil {
		return executor.View{}, false
	}
	return a.loop.View(), true
}

// Incidents returns the latest changes of the leader, the newest last; none where
// failover is off.
func (a *App) Incidents(limit int) ([]executor.Incident, error) {
	if a.loop == nil {
		return nil, nil
	}
	return a.loop.Incidents(limit)
}

// Switchover makes the node of that name the leader, or the best one where it is
// empty, and returns what was done.
func (a *App) Switchover(ctx context.Context, to string) (admin.SwitchoverView, error) {
	return a.switchover(ctx, admin.SwitchoverRequest{To: to})
}
