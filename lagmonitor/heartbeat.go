package lagmonitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// heartbeatTimeout is generous: a commit that waits for a semi-synchronous
// acknowledgement goes on in the server when its client gives up, and another
// one behind it would only wait for the same row.
const heartbeatTimeout = 10 * time.Second

// heartbeatBackoff is how long nothing is tried after an error.
const heartbeatBackoff = 5 * time.Second

func heartbeatTable(schema string) string { return mysqlconn.QuoteName(schema) + ".`heartbeat`" }

// heart writes the heartbeat row of the leader. It is used by one goroutine.
type heart struct {
	cfg Config
	log *slog.Logger
	met *metrics

	db      *sql.DB
	target  heartTarget
	ready   bool // the table and the row are there
	until   time.Time
	lastErr string
	beaten  *atomic.Pointer[Beat] // where each beat is shown; may be nil
}

// Beat is the latest write of a heartbeat: under way, or with its outcome.
type Beat struct {
	Address string    // of the leader
	Began   time.Time // on the proxy's clock, as is Ended
	Ended   time.Time // zero while it is under way
	Written bool      // the row was changed: without an error it may have been another proxy's turn
	Err     error
}

// Beat returns the latest one; zero before the first.
func (m *Monitor) Beat() Beat {
	if b := m.beaten.Load(); b != nil {
		return *b
	}
	return Beat{}
}

func (h *heart) show(b Beat) {
	if h.beaten != nil {
		h.beaten.Store(&b)
	}
}

// heartTarget is which leader in which epoch.
type heartTarget struct {
	address  string
	serverID uint64
	epoch    uint64
}

// beat writes one heartbeat to the leader of the snapshot, if there is one that
// takes writes. Several proxies share the row: it is written when it is due, by
// whoever comes first, so that the leader sees one heartbeat per interval.
func (h *heart) beat(ctx context.Context, snap *topology.Snapshot, now time.Time) {
	l := snap.Leader
	if l == nil || l.State != topology.StateUp || l.ServerID == 0 || now.Before(h.until) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	err := h.aim(heartTarget{l.Address, l.ServerID, snap.Epoch})
	if err == nil && !h.ready {
		if err = h.prepare(ctx); err == nil {
			h.ready = true
		}
	}
	if err == nil {
		var result sql.Result
		b := Beat{Address: l.Address, Began: time.Now()}
		h.show(b)
		result, err = h.db.ExecContext(ctx, h.guard()+fmt.Sprintf(
			"UPDATE %s SET written = UTC_TIMESTAMP(6), epoch = %d WHERE server_id = %d AND @bellwether_ok"+
				" AND written NOT BETWEEN UTC_TIMESTAMP(6) - INTERVAL %d MICROSECOND AND UTC_TIMESTAMP(6)",
			heartbeatTable(h.cfg.Heartbeat.Schema), h.target.epoch, h.target.serverID, h.cfg.Heartbeat.Interval.Microseconds()*9/10))
		b.Ended, b.Err = time.Now(), err
		if err == nil {
			n, _ := result.RowsAffected()
			b.Written = n > 0
		}
		h.show(b)
	}
	h.note(ctx, err, now)
}

func (h *heart) note(ctx context.Context, err error, now time.Time) {
	if err == nil {
		if h.lastErr != "" {
			h.log.Info("heartbeat written again")
		}
		h.lastErr = ""
		h.met.heartbeats.WithLabelValues("ok").Inc()
		return
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // shutting down
	}
	h.met.heartbeats.WithLabelValues("error").Inc()
	h.until, h.ready = now.Add(heartbeatBackoff), false
	if text := mysqlconn.Describe(err); text != h.lastErr {
		h.lastErr = text
		h.log.Warn("cannot write the heartbeat; lag is still measured by GTID position",
			"leader", h.target.address, "error", text)
	}
}

// guard sets @bellwether_ok to whether this is the server that is meant, and it
// takes writes. As a user variable its value goes into a statement-based binlog
// too, so that followers do the same as the leader.
func (h *heart) guard() string {
	return fmt.Sprintf("SET @bellwether_ok = (CONCAT(@@global.read_only) IN ('0', 'OFF') AND @@global.server_id = %d); ", h.target.serverID)
}

// aim connects to another leader when there is one.
func (h *heart) aim(t heartTarget) error {
	if h.db != nil && h.target == t {
		return nil
	}
	h.close()
	db, err := mysqlconn.Open(mysqlconn.Config{
		Address: t.address, User: h.cfg.User, Password: h.cfg.Password, TLS: h.cfg.TLS,
		ConnectTimeout: h.cfg.ConnectTimeout, IOTimeout: heartbeatTimeout,
		Program: "bellwether heartbeat",
	}, h.log)
	if err != nil {
		return err
	}
	h.db, h.target, h.ready = db, t, false
	return nil
}

func (h *heart) close() {
	if h.db != nil {
		_ = h.db.Close()
		h.db = nil
	}
}

// prepare makes the table where it is missing, and the leader's row. What is
// there already causes no write.
func (h *heart) prepare(ctx context.Context) error {
	table := heartbeatTable(h.cfg.Heartbeat.Schema)
	var writable bool
	q := "SELECT CONCAT(@@global.read_only) IN ('0', 'OFF') AND @@global.server_id = ?"
	if err := h.db.QueryRowContext(ctx, q, h.target.serverID).Scan(&writable); err != nil {
		return err
	}
	if !writable {
		return fmt.Errorf("%s takes no writes, or is another server", h.target.address)
	}
	find := fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE server_id = %d", table, h.target.serverID)
	var rows int
	err := h.db.QueryRowContext(ctx, find).Scan(&rows)
	if number, _, ok := mysqlconn.ServerError(err); ok && (number == 1049 || number == 1146) {
		if err := h.create(ctx, number == 1049); err != nil {
			return err
		}
		rows, err = 0, nil
	}
	if err != nil || rows > 0 {
		return err
	}
	_, err = h.db.ExecContext(ctx, h.guard()+fmt.Sprintf(
		"INSERT IGNORE INTO %s (server_id, epoch, written) SELECT %d, %d, UTC_TIMESTAMP(6) FROM DUAL WHERE @bellwether_ok",
		table, h.target.serverID, h.target.epoch))
	return err
}

func (h *heart) create(ctx context.Context, schemaToo bool) error {
	if schemaToo {
		if _, err := h.db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+mysqlconn.QuoteName(h.cfg.Heartbeat.Schema)); err != nil {
			return err
		}
	}
	_, err := h.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+heartbeatTable(h.cfg.Heartbeat.Schema)+` (
		server_id BIGINT UNSIGNED NOT NULL PRIMARY KEY COMMENT 'of the leader that wrote this row',
		epoch BIGINT UNSIGNED NOT NULL,
		written DATETIME(6) NOT NULL COMMENT 'UTC, by the clock of that leader'
	) ENGINE=InnoDB COMMENT='written by Bellwether, see docs/lag.md'`)
	return err
}
