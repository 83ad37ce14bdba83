package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// ErrApart says that the follower has transactions that the leader does not have,
// so that nothing can make it follow.
var ErrApart = errors.New("the follower has transactions of its own")

// ToNative lets the follower replicate by itself from src, from where the engine
// left it, and returns that position.
func ToNative(ctx context.Context, leader, follower *node.Server, src node.Source) (gtid.Set, error) {
	pos, err := position(ctx, leader, follower)
	if err != nil {
		return gtid.Set{}, err
	}
	if err := follower.ForgetReplica(ctx); err != nil {
		return gtid.Set{}, err
	}
	if follower.IsMariaDB() {
		// The engine moves the binlog's position only; the server's own replication
		// begins at gtid_slave_pos.
		if err := node.Exec(ctx, follower.DB, "SET GLOBAL gtid_slave_pos='"+pos.String()+"'"); err != nil {
			return gtid.Set{}, err
		}
	}
	if err := follower.SetReadOnly(ctx, true); err != nil {
		return gtid.Set{}, err
	}
	return pos, follower.StartReplica(ctx, src)
}

// ToEngine stops the follower's own replication and leaves it where the engine
// goes on: everything that it has applied is in its binlog's position.
func ToEngine(ctx context.Context, leader, follower *node.Server) (gtid.Set, error) {
	if err := follower.StopReplica(ctx); err != nil {
		return gtid.Set{}, err
	}
	pos, err := position(ctx, leader, follower)
	if err != nil {
		return gtid.Set{}, err
	}
	written, err := follower.Written(ctx, follower.DB)
	if err != nil {
		return gtid.Set{}, err
	}
	if err := follower.SetReadOnly(ctx, false); err != nil {
		return gtid.Set{}, err
	}
	if err := follower.ForgetReplica(ctx); err != nil {
		return gtid.Set{}, err
	}
	if written.Equal(pos) {
		return pos, nil
	}
	// Without log_slave_updates the binlog knows nothing of what was replicated.
	return pos, follower.ResetPosition(ctx, follower.DB, pos, "")
}

// position is what the follower has applied, which must all be the leader's.
func position(ctx context.Context, leader, follower *node.Server) (gtid.Set, error) {
	pos, err := follower.Applied(ctx, follower.DB)
	if err != nil {
		return gtid.Set{}, err
	}
	has, err := leader.Written(ctx, leader.DB)
	if err != nil {
		return gtid.Set{}, err
	}
	if !has.Contains(pos) {
		return gtid.Set{}, fmt.Errorf("%w: %s", ErrApart, pos.Subtract(has))
	}
	return pos, nil
}
