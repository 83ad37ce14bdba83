package lagmonitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// ErrNoLeader is returned by [Monitor.LeaderPosition] when there is no leader to ask, or
// when it changed while it was asked.
var ErrNoLeader = errors.New("no leader to ask for its position")

// asking asks the leader for its position now, for sessions. All that ask while a
// question is under way share the next one: it is sent after each of them came.
type asking struct {
	store *topology.Store
	log   *slog.Logger

	flight chan struct{} // holds one token while nobody asks the server

	mu   sync.Mutex // guards what follows
	cfg  Config
	next *batch  // those who wait for the next question
	past past    // of the leader, as far as it is known
	db   *sql.DB // made with
	with mysqlconn.Config
}

// past is what a MariaDB leader had seen at some time of its epoch: what is in it stays.
type past struct {
	epoch uint64
	state string // as in gtid_binlog_state
}

// batch is one question and its answer.
type batch struct {
	done chan struct{} // closed when the answer is there
	set  gtid.Set
	err  error
}

func newAsking(cfg Config, store *topology.Store, log *slog.Logger) *asking {
	a := &asking{store: store, log: log, cfg: cfg, flight: make(chan struct{}, 1)}
	a.flight <- struct{}{}
	return a
}

func (a *asking) configure(cfg Config) {
	a.mu.Lock()
	a.cfg = cfg
	a.mu.Unlock()
}

func (a *asking) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db != nil {
		_ = a.db.Close()
		a.db = nil
	}
}

// LeaderPosition asks the leader for its position after the call began. It is an upper
// bound of what anybody can have seen there until then: what is committed, and on
// MySQL what is about to be, which others see before it is in gtid_executed. It is
// safe for concurrent use, and concurrent calls share a question. Errors wrap
// ErrNoLeader, or are the connection's or ctx's.
func (m *Monitor) LeaderPosition(ctx context.Context) (gtid.Set, error) { return m.asking.ask(ctx) }

func (a *asking) ask(ctx context.Context) (gtid.Set, error) {
	a.mu.Lock()
	b := a.next
	first := b == nil
	if first {
		b = &batch{done: make(chan struct{})}
		a.next = b
	}
	timeout := a.cfg.Timeout
	a.mu.Unlock()
	if first {
		<-a.flight
		a.mu.Lock()
		a.next = nil // who comes from now on may have written after the question
		a.mu.Unlock()
		// The others' answer does not depend on this caller's patience.
		qctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		b.set, b.err = a.query(qctx)
		cancel()
		close(b.done)
		a.flight <- struct{}{}
	}
	select {
	case <-b.done:
		return b.set, b.err
	case <-ctx.Done():
		return gtid.Set{}, ctx.Err()
	}
}

// query asks the present leader. It must be the leader still when it has answered.
func (a *asking) query(ctx context.Context) (gtid.Set, error) {
	before := a.store.Load()
	if before.Leader == nil {
		return gtid.Set{}, ErrNoLeader
	}
	db, err := a.conn(before.Leader.Address)
	if err != nil {
		return gtid.Set{}, err
	}
	set, err := queryBound(ctx, db, before.Flavor)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("ask %s for its position: %w", before.Leader.Name, err)
	}
	if after := a.store.Load(); after.Epoch != before.Epoch || after.Leader == nil {
		return gtid.Set{}, fmt.Errorf("%w: it changed meanwhile", ErrNoLeader)
	}
	return set, nil
}

// queryBound asks a leader for an upper bound of what can be seen there now. What
// is owned is asked for first: in between it may become executed, but not the
// other way.
func queryBound(ctx context.Context, db *sql.DB, flavor gtid.Flavor) (gtid.Set, error) {
	q := "SELECT @@global.read_only, @@global.gtid_binlog_pos, @@global.gtid_current_pos"
	if flavor == gtid.MySQL {
		q = "SELECT @@global.read_only, @@global.gtid_owned, @@global.gtid_executed"
	}
	var readOnly, first, second string
	if err := db.QueryRowContext(ctx, q).Scan(&readOnly, &first, &second); err != nil {
		return gtid.Set{}, err
	}
	if !isOff(readOnly) {
		return gtid.Set{}, fmt.Errorf("%w: it is read-only", ErrNoLeader)
	}
	return upperBound(flavor, first, second)
}

// upperBound is what a leader has and, on MySQL, what it owns.
func upperBound(flavor gtid.Flavor, first, second string) (gtid.Set, error) {
	parse := func(s string) (gtid.Set, error) { return gtid.Parse(flavor, s) }
	if flavor == gtid.MySQL {
		parse = gtid.ParseOwned
	}
	more, err := parse(first)
	if err != nil {
		return gtid.Set{}, err
	}
	set, err := gtid.Parse(flavor, second)
	if err != nil {
		return gtid.Set{}, err
	}
	return set.Union(more), nil
}

// LeaderHolds says whether the leader has all of set in its own past, asked for now:
// what an earlier leader committed and this one never got is not there. A MariaDB
// position alone cannot tell, for numbers go on from leader to leader; the binlog's
// state says up to which number of each server its transactions are there. Errors
// are those of LeaderPosition.
func (m *Monitor) LeaderHolds(ctx context.Context, set gtid.Set) (bool, error) {
	if m.asking.knows(m.store.Load().Epoch, set) {
		return true, nil
	}
	bound, err := m.asking.ask(ctx)
	if err != nil || !bound.Contains(set) {
		return false, err
	}
	snap := m.store.Load()
	if snap.Flavor != gtid.MariaDB || snap.Leader == nil {
		return true, nil
	}
	db, err := m.asking.conn(snap.Leader.Address)
	if err != nil {
		return false, err
	}
	var state, applied string
	if err := db.QueryRowContext(ctx, "SELECT @@global.gtid_binlog_state, @@global.gtid_slave_pos").Scan(&state, &applied); err != nil {
		return false, fmt.Errorf("ask %s for its past: %w", snap.Leader.Name, err)
	}
	known := past{snap.Epoch, state + "," + applied}
	m.asking.remember(known)
	return gtid.PastHolds(known.state, set)
}

// knows says whether set was in the past of that epoch's leader when it was last asked for
// that: after a change of leader all sessions want to know.
func (a *asking) knows(epoch uint64, set gtid.Set) bool {
	a.mu.Lock()
	known := a.past
	a.mu.Unlock()
	if known.epoch != epoch || known.state == "" || set.Flavor() != gtid.MariaDB {
		return false
	}
	holds, err := gtid.PastHolds(known.state, set)
	return err == nil && holds
}

// remember keeps a leader's past. One that was replaced while it was asked is not believed.
func (a *asking) remember(known past) {
	if a.store.Load().Epoch != known.epoch {
		return
	}
	a.mu.Lock()
	a.past = known
	a.mu.Unlock()
}

// conn returns the pool for an address, which has one connection.
func (a *asking) conn(address string) (*sql.DB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	with := mysqlconn.Config{
		Address: address, User: a.cfg.User, Password: a.cfg.Password, TLS: a.cfg.TLS,
		ConnectTimeout: min(a.cfg.ConnectTimeout, a.cfg.Timeout), IOTimeout: 2 * a.cfg.Timeout,
		Program: "bellwether positions",
	}
	if a.db != nil && a.with == with {
		return a.db, nil
	}
	db, err := mysqlconn.Open(with, a.log)
	if err != nil {
		return nil, err
	}
	if a.db != nil {
		_ = a.db.Close()
	}
	a.db, a.with = db, with
	return db, nil
}
