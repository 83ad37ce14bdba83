package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/relay"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// RelayConfig says where the relay log is.
type RelayConfig struct {
	Dir     string // for it alone; empty: each follower reads from the leader by itself
	MaxSize int64  // bytes, about; 0: 1 GiB
	// Acknowledge makes a transaction acknowledged to the leader when it is durable in the relay
	// log; Config.Acks is then that of one follower, and the real ones do not count. Only
	// where nobody coordinates.
	Acknowledge bool
}

// relayMember is the relay log among those that acknowledge.
const relayMember = "relay log"

// feed reads the leader once for all followers: it keeps the relay log that they read from.
// It is a cache: where it cannot be had, a follower reads from the leader by itself.
type feed struct {
	task
	leader NodeConfig
	id     uint32 // as a replica
	acker  *acker // nil, but where the relay log acknowledges
	log    *slog.Logger
	met    *metrics

	flushed chan struct{} // something is to be made durable

	needed  atomic.Bool   // there are followers enough that it pays
	wanted  chan struct{} // closed when a follower asked
	settled chan struct{} // closed when the leader was tried once

	want, settle func()

	mu    sync.Mutex // guards all below
	relay *relay.Log
	dump  *stream.Dump // the latest
}

func newFeed(t task, leader NodeConfig, log *slog.Logger, met *metrics) *feed {
	f := &feed{
		task: t, leader: leader, log: log, met: met,
		id:     stream.NewServerID(),
		wanted: make(chan struct{}), settled: make(chan struct{}), flushed: make(chan struct{}, 1),
	}
	f.want = sync.OnceFunc(func() { close(f.wanted) })
	f.settle = sync.OnceFunc(func() { close(f.settled) })
	return f
}

// settleTime is how long a follower that begins waits for the feed.
const settleTime = 2 * time.Second

// cursor reads behind pos. It fails with relay.ErrNotHere where the follower must read from the
// leader by itself. It waits at most that long for a feed that was not needed before.
func (f *feed) cursor(ctx context.Context, pos gtid.Set, most time.Duration) (*relay.Cursor, error) {
	if f == nil || !f.needed.Load() {
		return nil, relay.ErrNotHere
	}
	f.want()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case <-f.settled:
	default:
		select {
		case <-ctx.Done():
			return nil, relay.ErrNotHere
		case <-f.settled:
		}
	}
	f.mu.Lock()
	log := f.relay
	f.mu.Unlock()
	if log == nil {
		return nil, relay.ErrNotHere
	}
	return log.Cursor(pos, 0)
}

// heard is when something came from the leader last.
func (f *feed) heard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dump == nil {
		return time.Time{}
	}
	return f.dump.Heard()
}

// relayPause is how long nothing is tried with a log that cannot be written.
const relayPause = 15 * time.Second

// relayError is what goes wrong on our side.
type relayError struct{ error }

func (e *relayError) Unwrap() error { return e.error }

// loop feeds until ctx ends.
func (f *feed) loop(ctx context.Context) {
	defer f.close()
	select {
	case <-ctx.Done():
		return
	case <-f.wanted:
	}
	pause, anew, told := leastPause, false, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := f.session(ctx, anew)
		f.suspend(err)
		f.settle()
		if pause = min(2*pause, mostPause); time.Since(began) > time.Second {
			pause = leastPause
		}
		// What the leader does not have any more, or never had, it cannot go on from.
		anew = errors.Is(err, stream.ErrPurged)
		if ours, ok := errors.AsType[*relayError](err); ok {
			pause = relayPause
			if err.Error() != told || time.Since(began) > time.Second { // it had worked meanwhile
				f.log.Warn("the relay log cannot be used; each follower reads from the leader by itself", "error", ours.error)
			}
			told = err.Error()
		}
		sleep(ctx, pause)
	}
}

// suspend says why nothing comes any more. A follower must not take it for its own fault: it is
// not said how far the leader reaches back for the follower.
func (f *feed) suspend(err error) {
	f.mu.Lock()
	log := f.relay
	f.mu.Unlock()
	if log != nil {
		log.Suspend(fmt.Errorf("the leader: %s", mysqlconn.Describe(err)))
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	if f.relay != nil {
		_ = f.relay.Close()
	}
	f.relay, f.dump = nil, nil
	f.met.relayBytes.Set(0)
}

// session reads until the stream ends. With anew it does not go on from what is there.
func (f *feed) session(ctx context.Context, anew bool) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	l, err := node.Open(ask, f.leader.Name, f.cfg.reach(f.leader, "bellwether relay log"), 1)
	if err != nil {
		return fmt.Errorf("the leader: %w", err)
	}
	of, from, err := f.whence(ask, l)
	_ = l.Close()
	if err != nil {
		return err
	}
	log, err := f.open(l.Flavor)
	if err != nil {
		return &relayError{err}
	}
	was, ok := log.Origin()
	_, end := log.Span()
	switch {
	case ok && was.Same(of) && !anew:
		from = end
	case ok && f.acker != nil && !from.Contains(end):
		// Its client was told that it is safe, and it may be nowhere else.
		return &relayError{fmt.Errorf("the leader lacks what the relay log has acknowledged: %s; the folder %s is left as it is", end.Subtract(from), f.cfg.Relay.Dir)}
	default:
		anew = true
	}
	o := stream.Options{Leader: f.cfg.reach(f.leader, "bellwether stream"), Flavor: l.Flavor, ServerID: f.id, Heartbeat: f.cfg.Heartbeat}
	dump, err := stream.Open(ctx, o, from)
	if err != nil {
		return err
	}
	defer dump.Close()
	if anew {
		if err := log.Begin(from, of); err != nil {
			return &relayError{err}
		}
		f.log.Info("the relay log begins", "position", from.String())
	} else {
		log.Resume()
		f.log.Info("the relay log goes on", "position", from.String())
	}
	f.mu.Lock()
	f.dump = dump
	f.mu.Unlock()
	f.settle()
	if f.acker == nil {
		return f.read(dump, log)
	}
	return f.acknowledge(ctx, dump, log)
}

// acknowledge reads, and lets what is durable here be acknowledged.
func (f *feed) acknowledge(ctx context.Context, dump *stream.Dump, log *relay.Log) error {
	end, err := log.Sync()
	if err != nil {
		return &relayError{err}
	}
	f.acker.Join(relayMember, end)
	defer f.acker.Leave(relayMember)
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, dump.Close)
	defer stop()
	g.Go(func() error { return f.read(dump, log) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-f.flushed: // several flushes are one sync
			}
			end, err := log.Sync()
			if err != nil {
				return &relayError{err}
			}
			f.acker.Committed(relayMember, end)
		}
	})
	return g.Wait()
}

// whence is whose binlog the leader's is, and up to where it is written. In another reign it is
// another one, though the server be the same: it may have been rewound between them.
func (f *feed) whence(ctx context.Context, l *node.Server) (of relay.Origin, at gtid.Set, err error) {
	name := "server_uuid"
	if l.IsMariaDB() {
		name = "server_id"
	}
	if of.Server, err = l.Var(ctx, name); err != nil {
		return of, at, err
	}
	var ignored string
	var uptime int64
	if err := l.DB.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Uptime'").Scan(&ignored, &uptime); err != nil {
		return of, at, fmt.Errorf("ask %s since when it runs: %w", l.Name, err)
	}
	of.Server = fmt.Sprintf("%s, %s %s, epoch %d", l.Name, name, of.Server, f.cfg.epoch)
	of.Started = time.Now().Unix() - uptime
	at, err = l.Written(ctx, l.DB)
	return of, at, err
}

func (f *feed) open(flavor gtid.Flavor) (*relay.Log, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.relay != nil && !f.relay.Broken() {
		return f.relay, nil
	}
	if f.relay != nil {
		_ = f.relay.Close()
	}
	var err error
	f.relay, err = relay.Open(relay.Options{Dir: f.cfg.Relay.Dir, Flavor: flavor, MaxSize: f.cfg.Relay.MaxSize})
	return f.relay, err
}

// flushBytes is how much is read before followers see it, where more has come already.
const flushBytes = 64 << 10

func (f *feed) read(dump *stream.Dump, log *relay.Log) error {
	for bytes := 0; ; {
		ev, err := dump.Next()
		if err != nil {
			return err
		}
		if err := log.Add(ev.Event, ev.Whole); err != nil {
			return &relayError{err}
		}
		if bytes += len(ev.Whole); dump.Buffered() > 0 && bytes < flushBytes {
			continue
		}
		if err := log.Flush(); err != nil {
			return &relayError{err}
		}
		bytes = 0
		select {
		case f.flushed <- struct{}{}:
		default:
		}
		f.met.relayBytes.Set(float64(log.Size()))
	}
}

// startFeed reads for all where the configuration says so and nothing does.
func (e *Engine) startFeed(ctx context.Context, cfg *Config, leader NodeConfig) {
	if e.feed == nil && cfg.Relay.Dir != "" && !cfg.watch {
		ctx, t := newTask(ctx, cfg)
		e.feed = newFeed(t, leader, e.log, e.met)
		if cfg.Relay.Acknowledge {
			e.feed.acker = e.acker
			e.feed.want()
		}
		e.feed.start(ctx, e.feed.loop)
	}
	if e.feed != nil {
		e.feed.needed.Store(len(cfg.Nodes) > 2 || cfg.Relay.Acknowledge) // one follower reads the leader once, too
	}
}
