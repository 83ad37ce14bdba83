package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/link"
)

// Source gives transactions in the leader's order, in parts; see
// binlog.Assembler. What a part holds must stay as it is.
type Source interface {
	Next(ctx context.Context) (*binlog.Part, error)
}

// Options say where to apply.
type Options struct {
	Follower mysqlconn.Config // an account that may run BINLOG, set GTIDs, and write under read_only
	Flavor   gtid.Flavor
	Window   int // transactions on the wire at a time; 0: 64
	// Connections is how many transactions are executed at a time; 0: 1. They commit in the
	// leader's order whatever it is. 16 at most.
	Connections int
	// Bytes of events on the wire, and kept for another try; 0: 4 MiB. One
	// transaction goes whatever its size.
	WindowBytes int
	// Prompt takes each answer as it comes, for somebody waits for each commit. Otherwise several
	// are taken at a time while much is on the wire, which costs less.
	Prompt bool
	// Committed is told what the follower has committed, in order. It must not block.
	Committed func(binlog.GTID)
	// Connected, if not nil, is told the server's id of a new connection before
	// anything is applied on it; an error ends the Applier.
	Connected func(ctx context.Context, id uint32) error
	Logger    *slog.Logger
}

// Applier applies transactions to one follower.
type Applier struct {
	opts Options
	log  *slog.Logger

	lanes []*lane
	queue []*flight // on the wire or waiting, in order
	sent  int       // how many of queue, from its head, are on the wire
	bytes int       // of events in queue
}

// lane is one connection to the follower.
type lane struct {
	conn    *link.Conn
	enc     encoder
	expect  chan int      // statements of commands on the wire; for the receiver
	results chan<- result // its answers, in order
	prompt  bool          // see Options
	turn    *turn         // what it is busy with, where there are several lanes
}

// result is the answer to the oldest command that a lane has on the wire.
type result struct {
	lane *lane
	err  error
}

// flight is a transaction, or a part of one.
type flight struct {
	gtid     binlog.GTID
	whole    bool // all of its transaction
	last     bool
	bytes    int
	commands []command
	next     int   // of commands, for one that goes alone
	err      error // it cannot be applied; to be said when all before it is
}

// alone reports whether nothing may be on the wire together with it.
func (f *flight) alone() bool { return f.err != nil || f.commands[0].alone }

// New returns an Applier. It connects in Run.
func New(o Options) *Applier {
	if o.Window <= 0 {
		o.Window = 64
	}
	o.Connections = min(max(o.Connections, 1), maxConnections)
	if o.WindowBytes <= 0 {
		o.WindowBytes = 4 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Applier{opts: o, log: o.Logger}
}

// Position is what the follower has committed: apply what comes behind it.
func Position(ctx context.Context, cfg mysqlconn.Config, f gtid.Flavor) (gtid.Set, error) {
	db, err := mysqlconn.Open(cfg, nil)
	if err != nil {
		return gtid.Set{}, err
	}
	defer func() { _ = db.Close() }()
	query := "SELECT @@GLOBAL.gtid_executed, ''"
	if f == gtid.MariaDB {
		// Native replication moves the one, the Applier the other. gtid_current_pos
		// leaves out of the binlog's position what another server's id wrote.
		query = "SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos"
	}
	var own, replicated string
	if err := db.QueryRowContext(ctx, query).Scan(&own, &replicated); err != nil {
		return gtid.Set{}, fmt.Errorf("ask the follower's position: %w", err)
	}
	pos, err := gtid.Parse(f, own)
	if err != nil {
		return gtid.Set{}, err
	}
	other, err := gtid.Parse(f, replicated)
	return pos.Union(other), err
}

// Run connects and applies until ctx is over or an error: a *StopError where the
// follower cannot go on, the Source's own, when all that came before has been applied, or
// a lost connection. After the
// latter two, and only then, a new Run goes on. It waits until the server has
// ended the connection of the Run before, which may commit what it was sent long
// after its client has gone; then it calls open with the follower's position, for
// the transactions behind it.
func (a *Applier) Run(ctx context.Context, open func(context.Context, gtid.Set) (Source, error)) error {
	defer a.hangUp()
	if err := a.connect(ctx); err != nil {
		return err
	}
	pos, err := Position(ctx, a.opts.Follower, a.opts.Flavor)
	if err != nil {
		return err
	}
	src, err := open(ctx, pos)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(gctx, a.hangUp) // ends the receivers' reads
	defer stop()
	parts := make(chan *binlog.Part)
	// There is room for all that can be on the wire, so that nobody waits here.
	results := make(chan result, (a.opts.Window+1)*len(a.lanes))
	var over error
	g.Go(func() error {
		err := fetch(gctx, src, parts)
		if gctx.Err() != nil {
			return err
		}
		over = err
		close(parts)
		return nil
	})
	for _, l := range a.lanes {
		l.expect, l.results = make(chan int, a.opts.Window+1), results
		g.Go(func() error { return l.receive(gctx) })
	}
	g.Go(func() error {
		if len(a.lanes) > 1 {
			return newOrdered(a, parts, results).run(gctx)
		}
		return a.loop(gctx, parts, results)
	})
	if err := g.Wait(); !errors.Is(err, errOver) {
		return err
	}
	return over
}

// errOver says that the source has ended, and that what came of it has been applied.
var errOver = errors.New("the source has ended")

// hangUp closes all connections.
func (a *Applier) hangUp() {
	for _, l := range a.lanes {
		_ = l.conn.Net.Close()
	}
}

func fetch(ctx context.Context, src Source, parts chan<- *binlog.Part) error {
	for {
		p, err := src.Next(ctx)
		if err != nil {
			return err
		}
		select {
		case parts <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Answers are taken in batches while the server has more than that many commands before it, so
// that it does not wake us for each statement. Every command is answered with a packet at
// least, and the shortest has 11 bytes: they come even if each command fails.
const (
	batchCommands = 16
	batchBytes    = 11 * batchCommands
)

func (l *lane) receive(ctx context.Context) error {
	for {
		select {
		case n := <-l.expect:
			batch := 1
			if !l.prompt && len(l.expect) >= batchCommands {
				batch = batchBytes
			}
			// A packet that came in part must not wait for more than the rest of it.
			if batch == 1 || l.conn.R.Buffered() == 0 {
				if err := l.conn.Batch(batch); err != nil {
					return err
				}
			}
			l.results <- result{l, l.conn.Receive(n)}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// command sends what is buffered with the next flush.
func (l *lane) command(c *command) error {
	if err := l.conn.Send(c.guard, c.text); err != nil {
		return err
	}
	l.expect <- c.statements
	return nil
}

// lockStatement takes a lane's named lock, which the server frees when it has ended the
// connection, or fails with error 1231 after a minute.
func lockStatement(lane int) string {
	name := "bellwether.apply"
	if lane > 0 {
		name += "." + strconv.Itoa(lane)
	}
	return "SET sql_mode=IF(GET_LOCK('" + name + "',60)<=>1,'','another connection applies here')"
}

// maxConnections is the largest Options.Connections.
const maxConnections = 16

// connect opens the lanes. None that an earlier Run had is at work any more when it returns,
// of however many.
func (a *Applier) connect(ctx context.Context) error {
	a.lanes, a.queue, a.sent, a.bytes = nil, nil, 0, 0
	for i := range a.opts.Connections {
		c, err := link.Dial(ctx, a.opts.Follower)
		if err != nil {
			return fmt.Errorf("connect to the follower: %w", err)
		}
		l := &lane{conn: c, enc: newEncoder(a.opts.Flavor, a.opts.Connections > 1), prompt: a.opts.Prompt}
		a.lanes = append(a.lanes, l)
		if err := a.prepare(ctx, l, i); err != nil {
			return fmt.Errorf("prepare the follower's connection: %w", err)
		}
	}
	return nil
}

func (a *Applier) prepare(ctx context.Context, l *lane, number int) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Net.Close() })
	defer stop()
	init, n := lockStatement(number), 3
	for i := a.opts.Connections; number == 0 && i < maxConnections; i++ {
		init += ";" + lockStatement(i)
		n++
	}
	init += ";SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;SET " + guardVar + "=0,wait_timeout=31536000,innodb_lock_wait_timeout=5," + baseSession
	if err := l.conn.Exec(init, n); err != nil {
		return err
	}
	if number == 0 {
		if err := a.readMaxPacket(ctx); err != nil {
			return err
		}
	}
	l.enc.maxText = a.lanes[0].enc.maxText
	if a.opts.Connected == nil {
		return nil
	}
	return a.opts.Connected(ctx, l.conn.ID)
}

func (a *Applier) readMaxPacket(ctx context.Context) error {
	db, err := mysqlconn.Open(a.opts.Follower, nil)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var text string
	if err := db.QueryRowContext(ctx, "SELECT @@GLOBAL.max_allowed_packet").Scan(&text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	a.lanes[0].enc.maxText = n - 1024
	return err
}

// loop sends parts while there is room, and takes answers in order.
func (a *Applier) loop(ctx context.Context, parts <-chan *binlog.Part, results <-chan result) error {
	l := a.lanes[0]
	for {
		if err := a.send(); err != nil {
			return err
		}
		if parts == nil && len(a.queue) == 0 {
			return errOver
		}
		in := parts
		if len(a.queue) > 0 && (len(a.queue) >= a.opts.Window || a.bytes >= a.opts.WindowBytes) {
			in = nil
		}
		select { // what is there already goes into the same write
		case p, ok := <-in:
			if !ok {
				parts = nil
			} else {
				a.take(p)
			}
			continue
		default:
		}
		if err := l.conn.W.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p, ok := <-in:
			if !ok {
				parts = nil
			} else {
				a.take(p)
			}
		case r := <-results:
			if err := a.settle(ctx, r.err, results); err != nil {
				return err
			}
		}
	}
}

// take puts a part into the queue.
func (a *Applier) take(p *binlog.Part) {
	f := &flight{gtid: p.Txn.GTID, whole: p.First && p.Last, last: p.Last, bytes: p.Bytes}
	f.commands, f.err = a.lanes[0].enc.part(p)
	a.queue = append(a.queue, f)
	a.bytes += p.Bytes
}

// send writes what may go: the head of the queue, and what is behind it, up to
// a transaction that goes alone.
func (a *Applier) send() error {
	for a.sent < len(a.queue) {
		f := a.queue[a.sent]
		if a.sent > 0 && (f.alone() || a.queue[0].alone()) {
			return nil
		}
		if f.err != nil {
			return &StopError{GTID: f.gtid, Err: f.err}
		}
		a.sent++
		if err := a.lanes[0].command(&f.commands[0]); err != nil {
			return err
		}
	}
	return nil
}

// settle takes the answer to the head of the queue.
func (a *Applier) settle(ctx context.Context, err error, results <-chan result) error {
	head := a.queue[0]
	if err != nil {
		return a.fail(ctx, head, err, results)
	}
	if head.next++; head.next < len(head.commands) {
		return a.lanes[0].command(&head.commands[head.next])
	}
	a.queue, a.sent = a.queue[1:], a.sent-1
	a.bytes -= head.bytes
	if head.last && a.opts.Committed != nil {
		a.opts.Committed(head.gtid)
	}
	return nil
}

// fail waits for the failures of all that is on the wire behind the head, and
// sends everything again where the head lost its locks to somebody else.
func (a *Applier) fail(ctx context.Context, head *flight, err error, results <-chan result) error {
	v := judge(err)
	if c := &head.commands[0]; isGuard(err) && c.guard != c.plain {
		// What was before it committed, and changed nothing that MariaDB would give a GTID.
		c.guard, v = c.plain, verdictAgain
	}
	switch {
	case v == verdictStop || v == verdictDiverge:
		return &StopError{GTID: head.gtid, Divergence: v == verdictDiverge, Err: err}
	case v == verdictLost || !head.whole:
		return fmt.Errorf("apply transaction %s: %w", head.gtid, err)
	}
	behind, l := a.sent-1, a.lanes[0]
	if err := l.rollback(a.opts.Flavor); err != nil {
		return err
	}
	for i := range behind + 1 {
		select {
		case r := <-results:
			err2 := r.err
			if ok := err2 == nil; ok != (i == behind) {
				return fmt.Errorf("apply transaction %s: %w; then %s was answered with %w", head.gtid, err, a.queue[min(i+1, len(a.queue)-1)].gtid, err2)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a.log.Info("a transaction is applied again", "gtid", head.gtid.String(), "error", err)
	head.next, a.sent = 0, 0
	return nil
}

// rollback sends what ends a transaction that failed.
func (l *lane) rollback(f gtid.Flavor) error {
	c := command{}
	c.add("ROLLBACK")
	if f == gtid.MySQL {
		c.add("SET gtid_next='AUTOMATIC'")
	}
	if err := l.command(&c); err != nil {
		return err
	}
	return l.conn.W.Flush()
}
