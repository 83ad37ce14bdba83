package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// load is clients of the shop, each with a session of its own through Bellwether.
type load struct {
	address string
	clients int
	rate    int // statements per second of all clients together; 0: no limit

	binaryWrites bool // clients that write use prepared statements too

	ticket     atomic.Uint64 // numbers the writes that are read back
	statements atomic.Uint64
	retried    atomic.Uint64 // transactions run again after a deadlock
	readBack   atomic.Uint64 // reads right after an own write, which they saw
	latency    histogram

	mu      sync.Mutex // guards all below
	failed  uint64
	unknown uint64   // writes of which it is unknown whether they took effect: their leader was lost
	ended   uint64   // sessions that had on a lost leader what no other one can be given
	texts   []string // the first few different errors
	stretch *stretch // nil before the first
}

// stretch is what the load sees from one moment on.
type stretch struct {
	began  time.Time
	reads  uint64 // answered
	failed uint64 // reads that were not
	// unknown is of writes of which it is not known whether they took effect.
	unknown uint64
	// first is from began to the first acknowledgement of a write that was sent
	// after it; 0 before that. longest is how long a statement on the leader took
	// at most, of those that ended well.
	first, longest time.Duration
}

// begin begins a new stretch.
func (l *load) begin(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stretch = &stretch{began: now}
}

// since is the present stretch so far.
func (l *load) since() stretch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stretch == nil {
		return stretch{}
	}
	return *l.stretch
}

// wrote takes a statement of a transaction, or one that writes. final is one
// whose success acknowledges a write.
func (l *load) wrote(began time.Time, final bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stretch
	if s == nil || err != nil {
		return
	}
	now := time.Now()
	if final && s.first == 0 && began.After(s.began) {
		s.first = now.Sub(s.began)
	}
	s.longest = max(s.longest, now.Sub(began))
}

// read takes a read outside transactions.
func (l *load) read(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := l.stretch; {
	case s == nil || tied(err):
	case err != nil:
		s.failed++
	default:
		s.reads++
	}
}

// loadSample is what the load has seen so far.
type loadSample struct {
	Statements, Retried, ReadBack, Errors, Unknown, Ended uint64

	ErrorTexts []string
	Latency    [numBuckets]uint64
}

func (l *load) sample() loadSample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return loadSample{
		Statements: l.statements.Load(), Retried: l.retried.Load(),
		ReadBack: l.readBack.Load(), Unknown: l.unknown, Ended: l.ended,
		Errors: l.failed, ErrorTexts: slices.Clone(l.texts), Latency: l.latency.counts(),
	}
}

// actionTimeout bounds what a client waits for one action.
const actionTimeout = 15 * time.Second

// run lets the clients work until ctx ends. What is under way then is finished.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range l.clients {
		wg.Go(func() {
			// One in four is a buyer; of both kinds half speak the binary protocol.
			actions := visitorActions
			if i%4 == 0 {
				actions = buyerActions
			}
			text := i/4%2 == i%2 || i%4 == 0 && !l.binaryWrites
			c := &client{load: l, text: text, actions: actions, rnd: rand.New(rand.NewPCG(7, uint64(i)))}
			defer c.close()
			c.run(ctx)
		})
	}
	wg.Wait()
}

// errorSessionGone is what a session gets whose connection to the leader was lost with
// something that cannot be made good (ER_SERVER_SHUTDOWN).
const errorSessionGone = 1053

// outcomeUnknown says that a write may have taken effect or not: an application has to look.
func outcomeUnknown(err error) bool { return refused(err, "08007") }

// tied says that the session had what no other server can be given, and ended.
func tied(err error) bool { return refused(err, "08S01") }

func refused(err error, state string) bool {
	m, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && m.Number == errorSessionGone && string(m.SQLState[:]) == state
}

func (l *load) fail(action string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case outcomeUnknown(err):
		l.unknown++
		if l.stretch != nil {
			l.stretch.unknown++
		}
		return
	case tied(err):
		l.ended++
		return
	}
	l.failed++
	text := action + ": " + err.Error()
	if len(l.texts) < 5 && !slices.Contains(l.texts, text) {
		l.texts = append(l.texts, text)
	}
}

// openShop returns a pool of connections to the shop as its application.
func openShop(address string, text bool) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", address, sandbox.AppSchema
	c.User, c.Passwd = sandbox.AppAccount.User, sandbox.AppAccount.Password
	c.InterpolateParams = text // else the binary protocol
	c.Timeout = 5 * time.Second
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// client is one user of the shop.
type client struct {
	load *load
	text bool // the text protocol, else prepared statements
	rnd  *rand.Rand

	actions []action

	db   *sql.DB
	conn *sql.Conn
	sent int // statements of the action under way
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if c.db != nil {
		_ = c.db.Close()
	}
	c.conn, c.db = nil, nil
}

func (c *client) connect(ctx context.Context) (err error) {
	if c.conn != nil {
		return nil
	}
	if c.db, err = openShop(c.load.address, c.text); err != nil {
		return err
	}
	c.conn, err = c.db.Conn(ctx)
	return err
}

func (c *client) run(ctx context.Context) {
	next := time.Now()
	for n := 1; ctx.Err() == nil; n++ {
		c.act(ctx)
		if n%200 == 0 {
			c.close() // and connect anew
		}
		if c.load.rate <= 0 {
			continue
		}
		next = next.Add(time.Duration(c.sent) * time.Second * time.Duration(c.load.clients) / time.Duration(c.load.rate))
		now := time.Now()
		if next.Before(now.Add(-time.Second)) {
			next = now // no use in catching up
		}
		select {
		case <-ctx.Done():
		case <-time.After(next.Sub(now)):
		}
	}
}

// act does one action, with the retries that a client of a database must make.
func (c *client) act(ctx context.Context) {
	c.sent = 0
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actionTimeout)
	defer cancel()
	a := pickAction(c.rnd, c.actions)
	for {
		err := c.connect(ctx)
		if err == nil {
			err = a.do(ctx, c)
		}
		var m *mysql.MySQLError
		switch {
		case err == nil:
			return
		case errors.As(err, &m) && (m.Number == 1213 || m.Number == 1205): // deadlock, lock wait timeout
			c.load.retried.Add(1)
			continue
		}
		c.load.fail(a.name, err)
		c.close()
		c.sent = max(c.sent, 10) // not in a hot loop while nothing answers
		return
	}
}

// runner is a session or a transaction in it.
type runner interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// query runs a read and returns how many rows it had, and the first column of
// the last one where that is a number.
func (c *client) query(ctx context.Context, on runner, query string, args ...any) (n int, value int64, err error) {
	defer c.count(time.Now())
	if on == runner(c.conn) {
		defer func() { c.load.read(err) }()
	}
	rows, err := on.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, 0, err
	}
	var first sql.RawBytes
	targets := make([]any, len(columns))
	targets[0] = &first
	for i := 1; i < len(targets); i++ {
		targets[i] = new(sql.RawBytes)
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return n, 0, err
		}
		n++
		value = 0
		_, _ = fmt.Sscan(string(first), &value)
	}
	return n, value, rows.Err()
}

func (c *client) exec(ctx context.Context, on runner, query string, args ...any) (sql.Result, error) {
	began := time.Now()
	defer c.count(began)
	result, err := on.ExecContext(ctx, query, args...)
	c.load.wrote(began, on == runner(c.conn), err)
	return result, err
}

func (c *client) count(began time.Time) {
	c.sent++
	c.load.statements.Add(1)
	c.load.latency.add(time.Since(began))
}

// transaction runs f between BEGIN and COMMIT.
func (c *client) transaction(ctx context.Context, o *sql.TxOptions, f func(tx *sql.Tx) error) error {
	began := time.Now()
	tx, err := c.conn.BeginTx(ctx, o)
	c.count(began)
	if err != nil {
		return err
	}
	writes := o == nil
	if writes {
		c.load.wrote(began, false, nil)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	began = time.Now()
	defer c.count(began)
	err = tx.Commit()
	if writes {
		c.load.wrote(began, true, err)
	}
	return err
}
