package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/visible"
)

// Written is what a server has in its binlog: on a leader, everything that it
// has committed. Under AFTER_SYNC it may be ahead of what a read can see.
func (s *Server) Written(ctx context.Context, q Querier) (gtid.Set, error) {
	query := "SELECT @@GLOBAL.gtid_executed"
	if s.IsMariaDB() {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	return s.position(ctx, q, query)
}

// Applied is what a follower has applied, by whichever means: its own
// replication moves gtid_slave_pos, the engine the binlog's position.
func (s *Server) Applied(ctx context.Context, q Querier) (gtid.Set, error) {
	written, err := s.Written(ctx, q)
	if err != nil || !s.IsMariaDB() {
		return written, err
	}
	replicated, err := s.position(ctx, q, "SELECT @@GLOBAL.gtid_slave_pos")
	if err != nil {
		return gtid.Set{}, err
	}
	return written.Union(replicated), nil
}

// Past is MariaDB's gtid_binlog_state: up to which number of each server its transactions are
// in the binlog. Empty on MySQL, whose sets tell that by themselves.
func (s *Server) Past(ctx context.Context, q Querier) (past string, err error) {
	if !s.IsMariaDB() {
		return "", nil
	}
	if err := q.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_binlog_state").Scan(&past); err != nil {
		return "", fmt.Errorf("ask %s for its past: %w", s.Name, err)
	}
	return past, nil
}

func (s *Server) position(ctx context.Context, q Querier, query string) (gtid.Set, error) {
	var text string
	if err := q.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return gtid.Set{}, fmt.Errorf("ask %s for its position: %w", s.Name, err)
	}
	return gtid.Parse(s.Flavor, text)
}

// WaitApplied waits until whoever reads on a follower sees all of pos. It polls, as the
// servers' own waits know only their own replication. The error wraps the context's.
func (s *Server) WaitApplied(ctx context.Context, pos gtid.Set) error {
	var seen visible.Position
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		at, err := s.visible(ctx, &seen)
		if err != nil {
			return err
		}
		if at.Contains(pos) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to reach %s (it is at %s): %w", s.Name, pos, at, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// visible is what readers certainly see; on MariaDB Applied is ahead of it while a commit is
// under way.
func (s *Server) visible(ctx context.Context, seen *visible.Position) (gtid.Set, error) {
	if s.IsMariaDB() {
		set, err := seen.Ask(ctx, s.DB)
		if !errors.Is(err, visible.ErrNoBinlog) {
			return set, err
		}
	}
	return s.Applied(ctx, s.DB)
}

// ResetPosition makes an (otherwise stopped) server stand exactly at pos: its
// binlog begins anew there, so that its own replication and the engine both go
// on from pos. What was in its binlog is gone. past is what MariaDB's gtid_binlog_state was
// where pos was taken; empty, where that is not known: of each domain only the last server
// that wrote is known then, and what others have of earlier ones looks like their own once
// this server leads.
func (s *Server) ResetPosition(ctx context.Context, q Querier, pos gtid.Set, past string) error {
	if s.IsMariaDB() {
		if past == "" {
			past = pos.String()
		}
		// The binlog's state first: with it empty, setting gtid_slave_pos cannot conflict.
		return Exec(ctx, q,
			"RESET MASTER",
			fmt.Sprintf("SET GLOBAL gtid_binlog_state='%s'", past),
			fmt.Sprintf("SET GLOBAL gtid_slave_pos='%s'", pos))
	}
	return Exec(ctx, q, s.resetBinlogWord(), fmt.Sprintf("SET GLOBAL gtid_purged='%s'", pos))
}

func (s *Server) resetBinlogWord() string {
	if s.AtLeast(8, 2) {
		return "RESET BINARY LOGS AND GTIDS"
	}
	return "RESET MASTER"
}

// AtLeast reports whether the server's version is major.minor or later.
func (s *Server) AtLeast(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(s.Version, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
