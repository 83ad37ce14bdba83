package apply

import (
	"context"
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
	// leader's order whatever it is.
	Connections int
	// Bytes of events on the wire, and kept for another try; 0: 4 MiB. One
	// transaction goes whatever its size.
	WindowBytes int
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

	conn  *link.Conn
	enc   encoder
	queue []*flight // on the wire or waiting, in order
	sent  int       // how many of queue, from its head, are on the wire
	bytes int       // of events in queue

	expect  chan int   // statements of commands on the wire; for the receiver
	results chan error // its answers, in order
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
// follower cannot go on, the Source's own, or a lost connection. After the
// latter two, and only then, a new Run goes on. It waits until the server has
// ended the connection of the Run before, which may commit what it was sent long
// after its client has gone; then it calls open with the follower's position, for
// the transactions behind it.
func (a *Applier) Run(ctx context.Context, open func(context.Context, gtid.Set) (Source, error)) error {
	if err := a.connect(ctx); err != nil {
		return err
	}
	defer func() { _ = a.conn.Net.Close() }()
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
	stop := context.AfterFunc(ctx, func() { _ = a.conn.Net.Close() })
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	parts := make(chan *binlog.Part)
	// There is room for all that can be on the wire, so that nobody waits here.
	a.expect, a.results = make(chan int, a.opts.Window+1), make(chan error, a.opts.Window+1)
	g.Go(func() error { return fetch(gctx, src, parts) })
	g.Go(func() error { return a.receive(gctx) })
	g.Go(func() error {
		defer func() { _ = a.conn.Net.Close() }() // ends the receiver's read
		return a.loop(gctx, parts)
	})
	return g.Wait()
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

func (a *Applier) receive(ctx context.Context) error {
	for {
		select {
		case n := <-a.expect:
			a.results <- a.conn.Receive(n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lockStatement takes a named lock, which the server frees when it has ended the
// connection, or fails with error 1231 after a minute.
const lockStatement = "SET sql_mode=IF(GET_LOCK('bellwether.apply',60)<=>1,'','another connection applies here')"

func (a *Applier) connect(ctx context.Context) error {
	c, err := link.Dial(ctx, a.opts.Follower)
	if err != nil {
		return fmt.Errorf("connect to the follower: %w", err)
	}
	a.conn, a.queue, a.sent, a.bytes = c, nil, 0, 0
	a.enc = newEncoder(a.opts.Flavor)
	stop := context.AfterFunc(ctx, func() { _ = c.Net.Close() })
	defer stop()
	init := lockStatement + ";SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;SET " + guardVar + "=0,wait_timeout=31536000,innodb_lock_wait_timeout=5," + baseSession
	if err = c.Exec(init, 3); err == nil {
		err = a.readMaxPacket(ctx)
	}
	if err == nil && a.opts.Connected != nil {
		err = a.opts.Connected(ctx, c.ID)
	}
	if err != nil {
		_ = c.Net.Close()
		return fmt.Errorf("prepare the follower's connection: %w", err)
	}
	return nil
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
	a.enc.maxText = n - 1024
	return err
}

// loop sends parts while there is room, and takes answers in order.
func (a *Applier) loop(ctx context.Context, parts <-chan *binlog.Part) error {
	for {
		if err := a.send(); err != nil {
			return err
		}
		in := parts
		if len(a.queue) > 0 && (len(a.queue) >= a.opts.Window || a.bytes >= a.opts.WindowBytes) {
			in = nil
		}
		select { // what is there already goes into the same write
		case p := <-in:
			a.take(p)
			continue
		default:
		}
		if err := a.conn.W.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-in:
			a.take(p)
		case err := <-a.results:
			if err := a.settle(ctx, err); err != nil {
				return err
			}
		}
	}
}

// take puts a part into the queue.
func (a *Applier) take(p *binlog.Part) {
	f := &flight{gtid: p.Txn.GTID, whole: p.First && p.Last, last: p.Last, bytes: p.Bytes}
	f.commands, f.err = a.enc.part(p)
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
		if err := a.command(&f.commands[0]); err != nil {
			return err
		}
	}
	return nil
}

func (a *Applier) command(c *command) error {
	if err := a.conn.Send(c.guard, c.text); err != nil {
		return err
	}
	a.expect <- c.statements
	return nil
}

// settle takes the answer to the head of the queue.
func (a *Applier) settle(ctx context.Context, err error) error {
	head := a.queue[0]
	if err != nil {
		return a.fail(ctx, head, err)
	}
	if head.next++; head.next < len(head.commands) {
		return a.command(&head.commands[head.next])
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
func (a *Applier) fail(ctx context.Context, head *flight, err error) error {
	v := judge(err)
	if c := &head.commands[0]; isGuard(err) && c.guard != unguarded {
		// What was before it committed, and changed nothing that MariaDB would give a GTID.
		c.guard, v = unguarded, verdictAgain
	}
	switch {
	case v == verdictStop || v == verdictDiverge:
		return &StopError{GTID: head.gtid, Divergence: v == verdictDiverge, Err: err}
	case v == verdictLost || !head.whole:
		return fmt.Errorf("apply transaction %s: %w", head.gtid, err)
	}
	rollback := command{}
	rollback.add("ROLLBACK")
	if a.opts.Flavor == gtid.MySQL {
		rollback.add("SET gtid_next='AUTOMATIC'")
	}
	behind := a.sent - 1
	if err := a.command(&rollback); err != nil {
		return err
	}
	if err := a.conn.W.Flush(); err != nil {
		return err
	}
	for i := range behind + 1 {
		select {
		case err2 := <-a.results:
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
