package maintenance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/handover"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// HandoverOptions say who is to replicate from now on.
type HandoverOptions struct {
	Native    bool     // the servers themselves; else the engine
	Followers []string // names; none: all but the leader
	// As and Password are of the account by which the servers follow the leader (REPLICATION
	// SLAVE); an empty As: replication.user.
	As, Password string
}

// HandedOver is one follower that somebody else replicates to from now on.
type HandedOver struct {
	Follower string
	Position gtid.Set // where the one stopped and the other begins
}

// Handover hands followers over between the engine and the servers' own replication, each at the
// exact position where it stands. The configuration is that of the engine, whose account
// (replication.user) does the work; no proxy may replicate by it meanwhile. What was
// handed over before an error stays so.
func Handover(ctx context.Context, a *Access, o HandoverOptions) ([]HandedOver, error) {
	r := &a.Config.Replication
	if r.Mode != "engine" {
		return nil, errors.New("the configuration must be the one with replication.mode engine: its replication.user does the work")
	}
	password, err := r.Password.Resolve()
	if err != nil {
		return nil, fmt.Errorf("replication.password: %w", err)
	}
	a = &Access{Config: a.Config, Leader: a.Leader, User: r.User, Password: password}
	leader, l, err := a.leader(ctx, 2, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	nodes, err := a.followers(leader, o.Followers)
	if err != nil {
		return nil, err
	}
	var seized []func()
	defer func() {
		for _, release := range seized {
			release()
		}
	}()
	for _, n := range nodes {
		cfg, err := a.reach(n)
		if err != nil {
			return nil, err
		}
		release, err := replicator.Seize(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %s", n.Name, mysqlconn.Describe(err))
		}
		seized = append(seized, release)
	}
	if o.Native && o.As == "" {
		o.As, o.Password = r.User, password
	}
	if o.Native {
		// Nobody would acknowledge what the engine made it wait for.
		if _, err := ack.Disable(ctx, l, true); err != nil {
			return nil, fmt.Errorf("%s: %w", leader.Name, err)
		}
	}
	var out []HandedOver
	for _, n := range nodes {
		pos, err := a.handOver(ctx, l, n, node.Source{Address: leader.Address, User: o.As, Password: o.Password}, o.Native)
		if err != nil {
			return out, fmt.Errorf("%s: %s", n.Name, mysqlconn.Describe(err))
		}
		out = append(out, HandedOver{n.Name, pos})
	}
	return out, nil
}

func (a *Access) handOver(ctx context.Context, l *node.Server, n *configs.Node, src node.Source, native bool) (pos gtid.Set, err error) {
	f, err := a.open(ctx, n, 2)
	if err != nil {
		return pos, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if native {
		return handover.ToNative(ctx, l, f, src)
	}
	if pos, err = handover.ToEngine(ctx, l, f); err != nil {
		return pos, err
	}
	return pos, f.SetReadOnly(ctx, true)
}

// followers are the nodes of those names; none: all but the leader.
func (a *Access) followers(leader *configs.Node, names []string) ([]*configs.Node, error) {
	var out []*configs.Node
	for i := range a.Config.Cluster.Nodes {
		n := &a.Config.Cluster.Nodes[i]
		if n.Name != leader.Name && (len(names) == 0 || slices.Contains(names, n.Name)) {
			out = append(out, n)
		}
	}
	for _, name := range names {
		if name == leader.Name {
			return nil, fmt.Errorf("%s is the leader", name)
		}
		if _, err := a.node(name); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s is the only node", leader.Name)
	}
	return out, nil
}
