package configs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
)

// Status is how the configuration in use came about.
type Status struct {
	LoadedAt    time.Time // when the present configuration was applied
	Hash        string    // of the present configuration; see Source.Hash
	LastError   string    // why the last attempt was rejected; empty when it was not
	LastErrorAt time.Time // zero when there never was one
	Reloads     uint64    // applied since the start
	Rejected    uint64    // rejected since the start
}

// WatcherOptions are what a Watcher can do without.
type WatcherOptions struct {
	Log        *slog.Logger          // default: slog.Default
	Registerer prometheus.Registerer // for the metrics; nil for none
	Debounce   time.Duration         // quiet time after a change before the file is read; default 100 ms
	Poll       time.Duration         // between looks without any event; default 10 s
}

// RestartError rejects a reload that would change what only a restart can.
type RestartError struct {
	Changes []Change // those that need the restart
}

// Error names the keys.
func (e *RestartError) Error() string {
	parts := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		parts[i] = c.What
	}
	return "nothing was applied, because this needs a restart: " + strings.Join(parts, "; ")
}

// Watcher follows a configuration file, and the files that it names, and hands
// on every valid change.
type Watcher struct {
	path     string
	onChange func(*Config) error
	opts     WatcherOptions
	log      *slog.Logger
	metrics  *watcherMetrics
	kick     chan struct{} // Reload was called

	seen map[string]fileState // by the last attempt; owned by Run

	mu      sync.Mutex // guards current and status
	current *Config
	status  Status
}

// NewWatcher returns a Watcher of the file at path, of which current is in use.
// Run calls onChange, one call at a time, with each valid configuration that
// differs from the one in use and needs no restart; an error from it rejects
// that configuration.
func NewWatcher(path string, current *Config, onChange func(*Config) error, opts WatcherOptions) (*Watcher, error) {
	if current == nil || onChange == nil {
		return nil, errors.New("configs: a watcher needs a configuration and someone to tell")
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Debounce <= 0 {
		opts.Debounce = 100 * time.Millisecond
	}
	if opts.Poll <= 0 {
		opts.Poll = 10 * time.Second
	}
	w := &Watcher{
		path: path, onChange: onChange, opts: opts, log: opts.Log,
		kick: make(chan struct{}, 1), current: current,
	}
	w.status = Status{LoadedAt: time.Now(), Hash: current.Source.Hash}
	var err error
	if w.metrics, err = newWatcherMetrics(opts.Registerer, w.status.LoadedAt); err != nil {
		return nil, err
	}
	return w, nil
}

// Current returns the configuration in use.
func (w *Watcher) Current() *Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// Status returns how the configuration in use came about.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Reload makes Run read the file again soon, also when it looks unchanged: the
// answer to SIGHUP. It does not wait.
func (w *Watcher) Reload() {
	select {
	case w.kick <- struct{}{}:
	default: // one is waiting already
	}
}

// Run watches until ctx ends, and then returns nil. Where the system gives no
// file events it polls.
func (w *Watcher) Run(ctx context.Context) error {
	var events chan fsnotify.Event
	var failures chan error
	dirs := &dirSet{log: w.log}
	if fs, err := fsnotify.NewWatcher(); err != nil {
		w.log.Warn("no file events: the configuration is polled", slog.Duration("interval", w.opts.Poll), slog.Any("error", err))
	} else {
		defer fs.Close()
		dirs.fs, events, failures = fs, fs.Events, fs.Errors
	}
	w.attempt()
	w.settle(dirs)

	poll := time.NewTicker(w.opts.Poll)
	defer poll.Stop()
	quiet := newDebounce(w.opts.Debounce)
	defer quiet.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-events:
			if dirs.concerns(ev.Name) {
				quiet.event(time.Now())
			}
		case err := <-failures:
			w.log.Warn("file events were lost", slog.Any("error", err))
			quiet.event(time.Now())
		case <-quiet.timer.C:
			quiet.fired()
			w.lookAgain(dirs)
		case <-poll.C:
			w.lookAgain(dirs)
		case <-w.kick:
			w.attempt()
			w.settle(dirs)
		}
	}
}

// lookAgain loads the configuration if any file is not as it was at the last
// attempt, good or bad.
func (w *Watcher) lookAgain(dirs *dirSet) {
	if w.changed() {
		w.attempt()
	}
	w.settle(dirs)
}

// settle watches the folders of the last attempt's files, and looks for what
// changed in a folder after it was read and before it was watched.
func (w *Watcher) settle(dirs *dirSet) {
	for dirs.follow(w.seen) && w.changed() {
		w.attempt()
	}
}

func (w *Watcher) changed() bool {
	for path, was := range w.seen {
		if was.current(path) != was {
			return true
		}
	}
	return false
}

// attempt loads the file and applies or rejects it whole.
func (w *Watcher) attempt() {
	next, seen, err := load(w.path)
	w.seen = seen
	if err != nil {
		w.reject(err)
		return
	}
	changes := Diff(w.Current(), next)
	if len(changes) == 0 {
		w.unchanged()
		return
	}
	if restart := NeedRestart(changes); len(restart) > 0 {
		w.reject(&RestartError{Changes: restart})
		return
	}
	if err := w.onChange(next); err != nil {
		w.reject(err)
		return
	}
	w.accept(next, changes)
}

func (w *Watcher) accept(next *Config, changes []Change) {
	now := time.Now()
	w.mu.Lock()
	w.current = next
	w.status.LoadedAt, w.status.Hash, w.status.LastError = now, next.Source.Hash, ""
	w.status.Reloads++
	w.mu.Unlock()
	w.metrics.applied(now)
	for _, c := range changes {
		w.log.Info("configuration changed", slog.String("path", c.Path), slog.String("change", c.What))
	}
	w.log.Info("configuration reloaded", slog.String("file", w.path), slog.Int("changes", len(changes)), slog.String("hash", next.Source.Hash))
}

// unchanged notes that the file says what is in use, perhaps again.
func (w *Watcher) unchanged() {
	w.mu.Lock()
	healed := w.status.LastError != ""
	w.status.LastError = ""
	w.mu.Unlock()
	w.metrics.healthy()
	if healed {
		w.log.Info("configuration file is valid again and the same as the one in use", slog.String("file", w.path))
	}
}

func (w *Watcher) reject(err error) {
	w.mu.Lock()
	w.status.LastError, w.status.LastErrorAt = err.Error(), time.Now()
	w.status.Rejected++
	w.mu.Unlock()
	w.metrics.rejected()
	w.log.Error("configuration rejected, the old one stays", slog.String("file", w.path), slog.Any("error", err))
}

// debounce waits until changes have paused, but no longer than ten pauses: a
// file that is written for long is looked at in between.
type debounce struct {
	timer *time.Timer
	pause time.Duration
	until time.Time // latest moment to look; zero when nothing is waiting
}

func newDebounce(pause time.Duration) *debounce {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &debounce{timer: t, pause: pause}
}

func (d *debounce) event(now time.Time) {
	if d.until.IsZero() {
		d.until = now.Add(10 * d.pause)
	}
	d.timer.Reset(min(d.pause, max(d.until.Sub(now), 0)))
}

func (d *debounce) fired() { d.until = time.Time{} }
func (d *debounce) stop()  { d.timer.Stop() }

// watcherMetrics are the metrics of reloading.
type watcherMetrics struct {
	reloads *prometheus.CounterVec
	good    prometheus.Gauge
	at      prometheus.Gauge
}

func newWatcherMetrics(reg prometheus.Registerer, now time.Time) (*watcherMetrics, error) {
	m := &watcherMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bellwether_config_reloads_total", Help: "Changed configurations by what became of them.",
		}, []string{"result"}),
		good: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bellwether_config_last_reload_successful", Help: "1 when the configuration file is the one in use, 0 when it was rejected.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bellwether_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was applied.",
		}),
	}
	m.reloads.WithLabelValues("applied")
	m.reloads.WithLabelValues("rejected")
	m.good.Set(1)
	m.at.Set(float64(now.UnixMilli()) / 1000)
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.reloads), reg.Register(m.good), reg.Register(m.at))
}

func (m *watcherMetrics) applied(now time.Time) {
	m.reloads.WithLabelValues("applied").Inc()
	m.good.Set(1)
	m.at.Set(float64(now.UnixMilli()) / 1000)
}

func (m *watcherMetrics) healthy() { m.good.Set(1) }

func (m *watcherMetrics) rejected() {
	m.reloads.WithLabelValues("rejected").Inc()
	m.good.Set(0)
}
