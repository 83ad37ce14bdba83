package replicator

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/initial"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// askTimeout bounds questions to servers that may stand still.
const askTimeout = 20 * time.Second

// look finds out what decide needs, but for purged.
func look(ctx context.Context, leader, follower *node.Server, ours bool) (*survey, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s := &survey{ours: ours}
	var err error
	if s.unfit, err = unfit(ctx, leader, follower); err != nil || len(s.unfit) > 0 {
		return s, err
	}
	if s.halfCopied, err = initial.Incomplete(ctx, follower); err != nil {
		return nil, err
	}
	tables, err := node.Strings(ctx, follower.DB, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE "+tabledef.NotSystem("TABLE_SCHEMA")+" LIMIT 1")
	if err != nil {
		return nil, err
	}
	s.empty = len(tables) == 0
	status, err := follower.ReplicaStatus(ctx)
	if err != nil {
		return nil, err
	}
	s.native = len(status) > 0
	at, err := follower.Applied(ctx, follower.DB)
	if err != nil {
		return nil, err
	}
	s.unplaced = at.IsEmpty()
	s.foreign, err = foreign(ctx, leader, follower)
	return s, err
}

// foreign asks both servers for foreignTo, the follower first.
func foreign(ctx context.Context, leader, follower *node.Server) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	name := "gtid_executed"
	if leader.IsMariaDB() {
		name = "gtid_binlog_state"
	}
	f, err := follower.Var(ctx, name)
	if err != nil {
		return "", err
	}
	l, err := past(ctx, leader, name)
	if err != nil {
		return "", err
	}
	return foreignTo(leader.Flavor, l, f)
}

// past is what a leader has in its binlog. On MySQL what waits for an acknowledgement is not
// in gtid_executed yet, but owned, and followers may have it.
func past(ctx context.Context, leader *node.Server, name string) (string, error) {
	if leader.IsMariaDB() {
		return leader.Var(ctx, name)
	}
	// In this order: what is owned becomes executed, and not the other way.
	owned, err := leader.Var(ctx, "gtid_owned")
	if err != nil {
		return "", err
	}
	executed, err := leader.Var(ctx, name)
	if err != nil {
		return "", err
	}
	waiting, err := gtid.ParseOwned(owned)
	if err != nil {
		return "", err
	}
	all, err := gtid.Parse(leader.Flavor, executed)
	return all.Union(waiting).String(), err
}

// setting is what a variable must be for the engine to work.
type setting struct{ name, want string }

// unfit lists what the settings of the two servers make impossible.
func unfit(ctx context.Context, leader, follower *node.Server) ([]string, error) {
	if leader.Flavor != follower.Flavor {
		return []string{fmt.Sprintf("the leader is %s, it is %s", leader.Flavor, follower.Flavor)}, nil
	}
	both := []setting{{"log_bin", "1"}}
	onLeader := []setting{{"binlog_format", "ROW"}}
	if leader.Flavor == gtid.MySQL {
		both = append(both, setting{"gtid_mode", "ON"})
	} else if leader.AtLeast(10, 8) {
		onLeader = append(onLeader, setting{"binlog_alter_two_phase", "0"})
	}
	var out []string
	for _, s := range []struct {
		server *node.Server
		want   []setting
	}{{leader, append(onLeader, both...)}, {follower, both}} {
		for _, w := range s.want {
			got, err := s.server.Var(ctx, w.name)
			if err != nil {
				return nil, err
			}
			if got != w.want {
				out = append(out, fmt.Sprintf("%s of %s is %s and must be %s", w.name, s.server.Name, got, w.want))
			}
		}
	}
	a, err := leader.Var(ctx, "server_id")
	if err != nil {
		return nil, err
	}
	b, err := follower.Var(ctx, "server_id")
	if err == nil && a == b {
		out = append(out, "its server_id is the leader's: "+a)
	}
	return out, err
}

// protect keeps clients and events from writing to a follower. What the engine
// writes must keep the order of its numbers (MariaDB).
func protect(ctx context.Context, leader, follower *node.Server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := follower.SetReadOnly(ctx, false); err != nil {
		return err
	}
	if err := node.Exec(ctx, follower.DB, "SET GLOBAL event_scheduler=OFF"); err != nil && !node.IsError(err, erOptionPrevents) {
		return err
	}
	if _, err := ack.Disable(ctx, follower, false); err != nil {
		return err
	}
	if err := makeRoom(ctx, leader, follower); err != nil || !follower.IsMariaDB() {
		return err
	}
	return node.Exec(ctx, follower.DB, "SET GLOBAL gtid_strict_mode=1")
}

// makeRoom lets the follower take what the leader's largest rows become as text.
func makeRoom(ctx context.Context, leader, follower *node.Server) error {
	var sizes [2]int64
	for i, s := range []*node.Server{leader, follower} {
		text, err := s.Var(ctx, "max_allowed_packet")
		if err != nil {
			return err
		}
		if sizes[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return fmt.Errorf("max_allowed_packet of %s: %w", s.Name, err)
		}
	}
	const most = 1 << 30          // that the servers take
	want := min(4*sizes[0], most) // base64, of the row before and after
	if sizes[1] >= want {
		return nil
	}
	return node.Exec(ctx, follower.DB, fmt.Sprintf("SET GLOBAL max_allowed_packet=%d", want))
}

const erOptionPrevents = 1290 // the event scheduler is disabled for good
