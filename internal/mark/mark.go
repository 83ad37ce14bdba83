package mark

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Schema holds what Bellwether keeps on one node alone.
const Schema = "bellwether_node"

// CopySchema is there on a node that holds half a copy: its data are not to be used, and
// who copies is at work there. It is never copied itself.
const CopySchema = "bellwether_copy"

// OwnLock is the named lock that is held on a follower by whoever copies or applies to it.
const OwnLock = "bellwether.own"

const table = "`" + Schema + "`.`epoch`"

// ErrOutdated says that the node was marked by a higher epoch: whoever asked has
// been superseded, and must not act there.
var ErrOutdated = errors.New("the node is marked by a higher epoch")

// Errors of the servers.
const (
	erUnknownDatabase = 1049
	erNoSuchTable     = 1146
)

// restoreTimeout bounds what is put back after the caller's context has ended.
const restoreTimeout = 5 * time.Second

// Mark marks the server with an epoch unless it holds a higher one, and returns
// what it holds then; with ErrOutdated that is the higher one. The comparison and
// the write are one statement, so that of two callers the higher epoch stands.
//
// The account needs to write the schema under read_only and to set sql_log_bin
// (MariaDB: READ ONLY ADMIN and BINLOG ADMIN; MySQL: CONNECTION_ADMIN and
// SYSTEM_VARIABLES_ADMIN). MySQL's super_read_only, which spares nobody, is taken
// off for the moment; read_only stays.
//
// db must be a pool whose connections can be thrown away, as the one used is.
func Mark(ctx context.Context, db *sql.DB, epoch uint64) (held uint64, err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("mark the node: %w", err)
	}
	defer mysqlconn.Discard(c)
	restore, err := open(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("mark the node: %w", err)
	}
	held, err = compareAndSet(ctx, c, epoch)
	if err = errors.Join(err, restore()); err != nil {
		return held, fmt.Errorf("mark the node: %w", err)
	}
	if held > epoch {
		return held, fmt.Errorf("%w: it holds %d, and not %d", ErrOutdated, held, epoch)
	}
	return held, nil
}

// open lets the session write what no other server gets. restore must be called.
func open(ctx context.Context, c *sql.Conn) (restore func() error, err error) {
	if _, err := c.ExecContext(ctx, "SET SESSION sql_log_bin=0"); err != nil {
		return nil, err
	}
	none := func() error { return nil }
	var name, value string
	switch err := c.QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE 'super_read_only'").Scan(&name, &value); {
	case errors.Is(err, sql.ErrNoRows): // MariaDB has none
		return none, nil
	case err != nil:
		return nil, err
	case value != "ON":
		return none, nil
	}
	if _, err := c.ExecContext(ctx, "SET GLOBAL super_read_only=0"); err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
		defer cancel()
		if _, err := c.ExecContext(ctx, "SET GLOBAL super_read_only=1"); err != nil {
			return fmt.Errorf("super_read_only is off and could not be set again: %w", err)
		}
		return nil
	}, nil
}

func compareAndSet(ctx context.Context, c *sql.Conn, epoch uint64) (held uint64, err error) {
	held, err = read(ctx, c)
	if err == nil && held == 0 {
		err = prepare(ctx, c)
	}
	if err != nil || held > epoch {
		return held, err
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch=%d, marked=UTC_TIMESTAMP() WHERE id=1 AND epoch<%d", table, epoch, epoch)); err != nil {
		return 0, err
	}
	return read(ctx, c)
}

// prepare makes the table and its row where they are missing.
func prepare(ctx context.Context, c *sql.Conn) error {
	for _, s := range []string{
		"CREATE DATABASE IF NOT EXISTS `" + Schema + "`",
		"CREATE TABLE IF NOT EXISTS " + table + ` (
			id TINYINT NOT NULL PRIMARY KEY,
			epoch BIGINT UNSIGNED NOT NULL,
			marked DATETIME NOT NULL COMMENT 'UTC'
		) ENGINE=InnoDB COMMENT='of this node alone; written by Bellwether, see docs/failover.md'`,
		"INSERT IGNORE INTO " + table + " VALUES (1, 0, UTC_TIMESTAMP())",
	} {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Read returns the epoch that the server is marked with, 0 where it never was.
func Read(ctx context.Context, q Querier) (uint64, error) {
	epoch, err := read(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("read the node's mark: %w", err)
	}
	return epoch, nil
}

func read(ctx context.Context, q Querier) (epoch uint64, err error) {
	err = q.QueryRowContext(ctx, "SELECT epoch FROM "+table+" WHERE id=1").Scan(&epoch)
	if number, _, ok := mysqlconn.ServerError(err); ok && (number == erUnknownDatabase || number == erNoSuchTable) {
		return 0, nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return epoch, err
}
