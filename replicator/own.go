package replicator

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// heldError says that another engine owns the follower.
type heldError struct{ by int64 } // its connection; 0: not known

func (e *heldError) Error() string {
	if e.by == 0 {
		return "another Bellwether replicates"
	}
	return fmt.Sprintf("another Bellwether replicates to it (connection %d)", e.by)
}

// hold is a follower that is ours for as long as the connection lasts.
type hold struct {
	db     *sql.DB
	conn   *sql.Conn
	before uint64 // the epoch that it was marked with
}

// own makes the follower ours, or fails with *heldError. All that the account was
// doing there before has ended when it returns. In a reign (epoch is not 0) whoever owns it
// under a lower epoch is ended, and one with a higher mark fails with mark.ErrOutdated.
func own(ctx context.Context, cfg mysqlconn.Config, epoch uint64) (*hold, error) {
	cfg.Program, cfg.MaxConns = "bellwether owner", 2
	db, err := mysqlconn.Open(cfg, nil)
	if err != nil {
		return nil, err
	}
	h := &hold{db: db}
	if err := h.take(ctx, epoch); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// Seize makes a follower nobody's until release is called: no engine replicates to it, and all that
// the account was doing there has ended. It fails where an engine owns it.
func Seize(ctx context.Context, account mysqlconn.Config) (release func(), err error) {
	h, err := own(ctx, account, 0)
	if held, ok := errors.AsType[*heldError](err); ok {
		return nil, fmt.Errorf("%w; stop it first", held)
	}
	if err != nil {
		return nil, err
	}
	return h.release, nil
}

func (h *hold) release() {
	if h.conn != nil {
		_ = h.conn.Close()
	}
	_ = h.db.Close()
}

func (h *hold) take(ctx context.Context, epoch uint64) error {
	var err error
	if h.conn, err = h.db.Conn(ctx); err != nil {
		return fmt.Errorf("connect to the follower: %w", err)
	}
	if _, err := h.conn.ExecContext(ctx, "SET SESSION wait_timeout=31536000"); err != nil {
		return err
	}
	if err := h.look(ctx, epoch); err != nil {
		return err
	}
	for marked := false; ; {
		by, err := h.lock(ctx)
		switch {
		case err != nil:
			return err
		case by == 0:
			if err := h.endOthers(ctx); err != nil {
				return err
			}
			return h.look(ctx, epoch)
		case by > 0 && h.before >= epoch:
			return &heldError{by}
		case by > 0:
			// A coordinator of the past: it finds the mark when it connects again.
			if !marked {
				if _, err := mark.Mark(ctx, h.db, epoch); err != nil {
					return err
				}
				marked = true
			}
			if err := mysqlconn.Kill(ctx, h.conn, uint64(by)); err != nil {
				return fmt.Errorf("end connection %d, which owns the follower in an earlier epoch: %w", by, err)
			}
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// look reads the follower's mark, and fails where it is higher than the epoch of a reign.
func (h *hold) look(ctx context.Context, epoch uint64) (err error) {
	h.before, err = mark.Read(ctx, h.conn)
	if err == nil && epoch != 0 && h.before > epoch {
		err = fmt.Errorf("%w: %d", mark.ErrOutdated, h.before)
	}
	return err
}

// lock takes the follower's lock, or returns which connection has it; -1 for one that went
// away just now.
func (h *hold) lock(ctx context.Context) (by int64, err error) {
	var got, holder sql.NullInt64
	if err := h.conn.QueryRowContext(ctx, "SELECT GET_LOCK('"+mark.OwnLock+"',0)").Scan(&got); err != nil {
		return 0, fmt.Errorf("take the follower's lock: %w", err)
	}
	if got.Int64 == 1 {
		return 0, nil
	}
	if err := h.conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+mark.OwnLock+"')").Scan(&holder); err != nil {
		return 0, err
	}
	if !holder.Valid {
		return -1, nil
	}
	return holder.Int64, nil
}

// endOthers ends the account's other connections, which an engine left that lost
// the lock: the server may go on for long with what such a one was sent.
func (h *hold) endOthers(ctx context.Context) error {
	for {
		ids, err := h.others(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := mysqlconn.Kill(ctx, h.conn, id); err != nil {
				return fmt.Errorf("end connection %d, which an earlier owner left: %w", id, err)
			}
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (h *hold) others(ctx context.Context) ([]uint64, error) {
	list, err := connections(ctx, h.conn)
	if err != nil {
		return nil, fmt.Errorf("look for what an earlier owner left: %w", err)
	}
	ids := make([]uint64, len(list))
	for i, r := range list {
		if ids[i], err = strconv.ParseUint(r["Id"], 10, 64); err != nil {
			return nil, fmt.Errorf("connection %q: %w", r["Id"], err)
		}
	}
	return ids, nil
}

// connections are the account's on the server, but c itself and binlog dumps.
func connections(ctx context.Context, c *sql.Conn) ([]map[string]string, error) {
	var self, user string
	if err := c.QueryRowContext(ctx, "SELECT CONNECTION_ID(), SUBSTRING_INDEX(USER(),'@',1)").Scan(&self, &user); err != nil {
		return nil, err
	}
	list, err := node.Rows(ctx, c, "SHOW PROCESSLIST")
	return slices.DeleteFunc(list, func(r map[string]string) bool {
		return r["User"] != user || r["Id"] == self || strings.HasPrefix(r["Command"], "Binlog Dump")
	}), err
}

// working reports whether the server runs something for the account.
func working(ctx context.Context, follower *node.Server) (bool, error) {
	c, err := follower.DB.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	list, err := connections(ctx, c)
	return slices.ContainsFunc(list, func(r map[string]string) bool { return r["Command"] != "Sleep" }), err
}

// kill ends a connection that owns the follower, and does nothing for it any more.
func kill(ctx context.Context, cfg mysqlconn.Config, id int64) error {
	db, err := mysqlconn.Open(cfg, nil)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return mysqlconn.Kill(ctx, db, uint64(id))
}

// watch returns when the connection is lost, yield says so, or ctx is over.
func (h *hold) watch(ctx context.Context, yield func() error) error {
	for sleep(ctx, time.Second) {
		if err := yield(); err != nil {
			return err
		}
		var by sql.NullInt64
		if err := h.conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+mark.OwnLock+"')=CONNECTION_ID()").Scan(&by); err != nil {
			return fmt.Errorf("the connection that owns the follower is lost: %w", err)
		}
		if by.Int64 != 1 {
			return errors.New("the follower's lock is lost")
		}
	}
	return ctx.Err()
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
