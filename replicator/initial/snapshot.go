package initial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// snapshot is several connections to the leader that all see what was committed
// at Position, and nothing else.
type snapshot struct {
	Position gtid.Set
	Past     string // as node.Server.ResetPosition takes it
	conns    []*sql.Conn
}

func (s *snapshot) close() {
	for _, c := range s.conns {
		mysqlconn.Discard(c)
	}
}

// session is how rows are read: as bytes, in UTC, however long it takes.
func (p *Plan) readerSession(s *node.Server) []string {
	out := []string{
		"SET NAMES binary", "SET character_set_results=NULL", "SET SESSION time_zone='+00:00'",
		"SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_UNSIGNED_SUBTRACTION'", "SET SESSION sql_quote_show_create=1",
		"SET SESSION net_write_timeout=86400", "SET SESSION wait_timeout=86400",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
	}
	if s.IsMariaDB() {
		return append(out, "SET SESSION max_statement_time=0")
	}
	return append(out, "SET SESSION max_execution_time=0", "SET SESSION information_schema_stats_expiry=0")
}

// takeSnapshot opens n connections at one position. underLock runs while nothing
// can commit. A leader whose commits stall (under AFTER_SYNC without an
// acknowledgement, say) is left alone after LockTimeout, and asked again later.
func (p *Plan) takeSnapshot(ctx context.Context, n int, underLock func(context.Context, *sql.Conn) error) (*snapshot, error) {
	s := &snapshot{}
	for range n {
		c, err := p.Leader.DB.Conn(ctx)
		if err == nil {
			s.conns = append(s.conns, c)
			err = node.Exec(ctx, c, p.readerSession(p.Leader)...)
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("connect to the leader: %w", err)
		}
	}
	var last error
	for attempt := range p.LockAttempts {
		if attempt > 0 {
			if err := sleep(ctx, p.LockPause); err != nil {
				s.close()
				return nil, errors.Join(err, last)
			}
		}
		last = p.snapshotOnce(ctx, s, underLock)
		if last == nil {
			return s, nil
		}
		if !node.IsError(last, node.ErrLockWaitTimeout) && !errors.Is(last, errMoved) && !errors.Is(last, errBusy) {
			break
		}
		p.log().Info("the leader cannot stand still now, trying again", "error", last)
		p.report(func(pr *Progress) { pr.Waiting = last.Error() })
	}
	s.close()
	return nil, fmt.Errorf("take a snapshot of the leader: %w", last)
}

var (
	errMoved = errors.New("the leader committed while it was locked")
	errBusy  = errors.New("a statement has been running for long; a lock would wait for it, and others behind the lock")
)

func (p *Plan) snapshotOnce(ctx context.Context, s *snapshot, underLock func(context.Context, *sql.Conn) error) (err error) {
	if err := p.awaitQuiet(ctx); err != nil {
		return err
	}
	lock, err := p.Leader.DB.Conn(ctx)
	if err != nil {
		return err
	}
	// Closing the connection is what surely unlocks, whatever went wrong.
	defer mysqlconn.Discard(lock)
	seconds := max(1, int(p.LockTimeout/time.Second))
	if err := node.Exec(ctx, lock, fmt.Sprintf("SET SESSION lock_wait_timeout=%d", seconds)); err != nil {
		return err
	}
	// A lock that is granted late by any cause must not last: the whole is bounded.
	lctx, cancel := context.WithTimeout(ctx, 4*p.LockTimeout+10*time.Second)
	defer cancel()
	if err := node.Exec(lctx, lock, p.lockWords()...); err != nil {
		return err
	}
	before, err := p.Leader.Written(lctx, lock)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, c := range s.conns {
		g.Go(func() error { return node.Exec(lctx, c, "START TRANSACTION WITH CONSISTENT SNAPSHOT") })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := underLock(lctx, lock); err != nil {
		return err
	}
	past, err := p.Leader.Past(lctx, lock)
	if err != nil {
		return err
	}
	after, err := p.Leader.Written(lctx, lock)
	if err != nil {
		return err
	}
	if !before.Equal(after) {
		return fmt.Errorf("%w: %s, then %s", errMoved, before, after)
	}
	s.Position, s.Past = before, past
	return node.Exec(lctx, lock, p.unlockWords()...)
}

// lockWords make commits stand still. MariaDB's backup stages wait for commits
// that have begun and for no query; MySQL has only the lock that also flushes
// tables, for which awaitQuiet looks out.
func (p *Plan) lockWords() []string {
	if p.Leader.IsMariaDB() {
		return []string{"BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"}
	}
	return []string{"FLUSH TABLES WITH READ LOCK"}
}

func (p *Plan) unlockWords() []string {
	if p.Leader.IsMariaDB() {
		return []string{"BACKUP STAGE END"}
	}
	return []string{"UNLOCK TABLES"}
}

// awaitQuiet refuses to lock while a statement runs that the lock would wait for.
func (p *Plan) awaitQuiet(ctx context.Context) error {
	if p.Leader.IsMariaDB() {
		return nil
	}
	var n int
	err := p.Leader.DB.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM performance_schema.processlist
		WHERE COMMAND IN ('Query','Execute') AND TIME>=%d AND ID<>CONNECTION_ID() AND INFO IS NOT NULL`, max(1, int(p.LockTimeout/time.Second)))).Scan(&n)
	if err != nil {
		return fmt.Errorf("ask the leader what runs: %w", err)
	}
	if n > 0 {
		return errBusy
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
