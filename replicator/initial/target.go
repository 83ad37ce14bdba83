package initial

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// check refuses what cannot end well, before anything is changed.
func (p *Plan) check(ctx context.Context) error {
	for _, s := range []*node.Server{p.Leader, p.Follower} {
		on, err := s.Var(ctx, "log_bin")
		if err != nil {
			return err
		}
		if on != "1" {
			return fmt.Errorf("%s: %w", s.Name, node.ErrNoBinlog)
		}
	}
	for _, v := range []string{"server_id", "lower_case_table_names"} {
		a, err := p.Leader.Var(ctx, v)
		if err != nil {
			return err
		}
		b, err := p.Follower.Var(ctx, v)
		if err != nil {
			return err
		}
		if (a == b) != (v == "lower_case_table_names") {
			return fmt.Errorf("%s of the leader is %s, of the follower %s: the follower cannot follow", v, a, b)
		}
	}
	return p.matchPackets(ctx)
}

// matchPackets lets the follower take rows as long as the leader does.
func (p *Plan) matchPackets(ctx context.Context) error {
	var sizes [2]int
	for i, s := range []*node.Server{p.Leader, p.Follower} {
		text, err := s.Var(ctx, "max_allowed_packet")
		if err != nil {
			return err
		}
		if sizes[i], err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("max_allowed_packet of %s: %w", s.Name, err)
		}
	}
	if sizes[1] >= sizes[0] {
		return nil
	}
	p.log().Warn("raising the follower's max_allowed_packet to the leader's until it restarts; set it in its configuration too",
		"leader", sizes[0], "follower", sizes[1])
	return node.Exec(ctx, p.Follower.DB, fmt.Sprintf("SET GLOBAL max_allowed_packet=%d", sizes[0]))
}

// seize makes the follower ours: it follows nobody, and its mark says that it
// holds half a copy. resumed tells that the mark was there already.
func (p *Plan) seize(ctx context.Context) (resumed bool, err error) {
	n, err := node.Strings(ctx, p.Follower.DB, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='"+tabledef.OwnSchema+"' AND TABLE_NAME='copy'")
	if err != nil {
		return false, err
	}
	resumed = len(n) > 0
	if !resumed && !p.Overwrite && !p.Reuse {
		used, err := node.Strings(ctx, p.Follower.DB, "SELECT CONCAT(TABLE_SCHEMA,'.',TABLE_NAME) FROM information_schema.TABLES WHERE "+
			tabledef.NotSystem("TABLE_SCHEMA")+" LIMIT 3")
		if err != nil {
			return false, err
		}
		if len(used) > 0 {
			return false, fmt.Errorf("%w: %v", ErrNotEmpty, used)
		}
	}
	// read_only stays; super_read_only would keep us out too.
	if err := p.Follower.SetReadOnly(ctx, false); err != nil {
		return false, err
	}
	if err := node.Exec(ctx, p.Follower.DB, "SET GLOBAL event_scheduler=OFF"); err != nil && !node.IsError(err, 1290) {
		return false, err // 1290: it is disabled for good
	}
	c, err := p.writer(ctx)
	if err != nil {
		return false, err
	}
	defer mysqlconn.Discard(c)
	// The mark comes first: a node that suddenly follows nobody would be brought back.
	if err := node.Exec(ctx, c, tabledef.MarkCopy...); err != nil {
		return false, err
	}
	return resumed, p.Follower.ForgetReplica(ctx)
}

// Incomplete reports whether a server holds half a copy, and so must not be read.
func Incomplete(ctx context.Context, s *node.Server) (bool, error) {
	n, err := node.Strings(ctx, s.DB, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='"+tabledef.OwnSchema+"'")
	return len(n) > 0, err
}

// finish sets the position, and takes the mark away last.
func (p *Plan) finish(ctx context.Context, pos gtid.Set, past string) error {
	if err := p.Follower.ResetPosition(ctx, p.Follower.DB, pos, past); err != nil {
		return err
	}
	c, err := p.writer(ctx)
	if err != nil {
		return err
	}
	defer mysqlconn.Discard(c)
	at, err := p.Follower.Applied(ctx, c)
	if err != nil {
		return err
	}
	if !at.Equal(pos) {
		return errors.New("the follower stands at " + at.String() + " and not at " + pos.String() + ": something else writes there")
	}
	if p.Then != nil {
		if err := p.Then(ctx); err != nil {
			return err
		}
	}
	return node.Exec(ctx, c, tabledef.UnmarkCopy)
}
