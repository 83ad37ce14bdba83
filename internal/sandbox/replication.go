package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Replicate makes the server behind db a read-only follower of the server at
// source (host:port), by GTID, from wherever it stands. A lost connection is
// tried again every second, for ever.
func Replicate(ctx context.Context, db *sql.DB, f gtid.Flavor, source string) error {
	host, portText, err := net.SplitHostPort(source)
	if err != nil {
		return fmt.Errorf("address of the source: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("address of the source: %w", err)
	}
	user, password := ReplicationAccount.User, ReplicationAccount.Password
	if f == gtid.MariaDB {
		return execAll(ctx, db,
			"STOP SLAVE",
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s',"+
				" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1", host, port, user, password),
			"START SLAVE",
			"SET GLOBAL read_only=1")
	}
	return execAll(ctx, db,
		"STOP REPLICA",
		fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s',"+
			" SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=1000000,"+
			" SOURCE_HEARTBEAT_PERIOD=1", host, port, user, password),
		"START REPLICA",
		"SET GLOBAL super_read_only=1")
}

// StopReplication stops both threads of a follower; StartReplication starts them.
func StopReplication(ctx context.Context, db *sql.DB, f gtid.Flavor) error {
	return execAll(ctx, db, "STOP "+replicaWord(f))
}

// StartReplication starts both threads of a follower.
func StartReplication(ctx context.Context, db *sql.DB, f gtid.Flavor) error {
	return execAll(ctx, db, "START "+replicaWord(f))
}

// StopApplying stops the thread that applies; the other one still receives.
// StartReplication ends it.
func StopApplying(ctx context.Context, db *sql.DB, f gtid.Flavor) error {
	return execAll(ctx, db, "STOP "+replicaWord(f)+" SQL_THREAD")
}

func replicaWord(f gtid.Flavor) string {
	if f == gtid.MariaDB {
		return "SLAVE"
	}
	return "REPLICA"
}

// Position is what the server has written to its binlog: on a leader, all that
// it has committed.
func Position(ctx context.Context, db *sql.DB, f gtid.Flavor) (string, error) {
	query := "SELECT @@GLOBAL.gtid_executed"
	if f == gtid.MariaDB {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	var pos string
	if err := db.QueryRowContext(ctx, query).Scan(&pos); err != nil {
		return "", fmt.Errorf("ask the server's position: %w", err)
	}
	return pos, nil
}

// WaitWritten waits until the server's binlog has pos, whoever brought it there.
func WaitWritten(ctx context.Context, db *sql.DB, f gtid.Flavor, pos string) error {
	want, err := gtid.Parse(f, pos)
	if err != nil {
		return err
	}
	for {
		text, err := Position(ctx, db, f)
		if err != nil {
			return err
		}
		has, err := gtid.Parse(f, text)
		if err != nil {
			return err
		}
		if has.Contains(want) {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for position %s (it is at %s): %w", pos, text, ctx.Err())
		}
	}
}

// WaitPosition waits until the follower behind db has applied pos.
func WaitPosition(ctx context.Context, db *sql.DB, f gtid.Flavor, pos string) error {
	if pos == "" {
		return nil
	}
	// The servers' own waits return 0 when they got there, and end by time or by
	// an error when replication is stopped or restarted meanwhile.
	query := "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 1)"
	if f == gtid.MariaDB {
		query = "SELECT MASTER_GTID_WAIT(?, 1)"
	}
	for {
		var result sql.NullInt64
		err := db.QueryRowContext(ctx, query, pos).Scan(&result)
		if err == nil && result.Valid && result.Int64 == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("wait for position %s: %w", pos, ctx.Err()), replicationError(db, f))
		}
		if err != nil {
			return fmt.Errorf("wait for position %s: %w", pos, err)
		}
	}
}
