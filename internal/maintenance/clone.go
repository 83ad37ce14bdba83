package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/initial"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// CloneOptions say how a server is filled.
type CloneOptions struct {
	Node string // the server that gets the copy

	Overwrite bool // it may have data of its own, which is lost
	Repair    bool // keep what is equal, by checksum, and copy only what differs; implies Overwrite
	Workers   int  // connections on each side; 0: 4

	MaxBytesPerSecond int64 // of row data; 0: no limit
	MaxLeaderThreads  int   // wait while the leader runs more statements than that; 0: never

	// Follow lets the server replicate by itself afterwards, from the leader and as
	// replication.user. Without it the server stands still at the copy's position.
	Follow bool

	Progress io.Writer // for people, about once a second; nil: none
	Logger   *slog.Logger
}

// Clone copies the leader to another node while both run, and lets it follow.
func Clone(ctx context.Context, a *Access, o CloneOptions) (*initial.Result, error) {
	n, err := a.node(o.Node)
	if err != nil {
		return nil, err
	}
	if o.Workers == 0 {
		o.Workers = 4
	}
	leader, l, err := a.leader(ctx, o.Workers+4, o.Node)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	if leader.Name == n.Name {
		return nil, fmt.Errorf("%s is the leader: a copy would destroy it", n.Name)
	}
	src := node.Source{Address: leader.Address, User: a.Config.Replication.User, TLS: encrypted(a.Config.Cluster.TLS.Mode)}
	if o.Follow {
		if src.User == "" {
			return nil, errors.New("replication.user is not configured, by whom the copy is to follow the leader")
		}
		if src.Password, err = a.Config.Replication.Password.Resolve(); err != nil {
			return nil, fmt.Errorf("replication.password: %w", err)
		}
		if network, address := mysqlconn.Network(src.Address); network == "unix" {
			return nil, fmt.Errorf("a server cannot replicate from the socket %s: give %s an address with a port", address, leader.Name)
		}
	}
	f, err := a.open(ctx, n, o.Workers+3)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if why := sameFlavor(l, f); why != "" {
		return nil, errors.New(why)
	}
	if o.Overwrite || o.Repair {
		if err := notInUse(ctx, l, f); err != nil {
			return nil, err
		}
	}
	plan := &initial.Plan{
		Leader: l, Follower: f, Reuse: o.Repair, Overwrite: o.Overwrite || o.Repair, Workers: o.Workers,
		MaxBytesPerSecond: o.MaxBytesPerSecond, MaxLeaderThreads: o.MaxLeaderThreads,
		Progress: cloneProgress(o.Progress), Logger: o.Logger,
	}
	if o.Follow {
		plan.Then = func(ctx context.Context) error { return f.StartReplica(ctx, src) }
	}
	res, err := plan.Run(ctx)
	if err != nil || !o.Follow {
		return res, err
	}
	return res, f.SetReadOnly(ctx, true)
}

// notInUse refuses a server that takes writes and has transactions that the
// leader lacks: clients may be at work there.
func notInUse(ctx context.Context, l, f *node.Server) error {
	readOnly, err := f.ReadOnly(ctx)
	if err != nil || readOnly {
		return err
	}
	at, err := f.Written(ctx, f.DB)
	if err != nil {
		return err
	}
	has, err := l.Written(ctx, l.DB)
	if err != nil {
		return err
	}
	if own := at.Subtract(has); !own.IsEmpty() {
		return fmt.Errorf("%s takes writes and has transactions that %s does not have (%s); if they are to be given up, make it read-only first",
			f.Name, l.Name, own)
	}
	return nil
}

func encrypted(mode string) bool {
	return mode == "required" || mode == "verify-ca" || mode == "verify-identity"
}

func cloneProgress(w io.Writer) func(initial.Progress) {
	if w == nil {
		return nil
	}
	return func(p initial.Progress) {
		fmt.Fprintf(w, "%-9s %5.1f %%, %d rows, %.1f MB, %.1f MB/s", p.Phase, p.Percent, p.Rows, float64(p.Bytes)/1e6, p.BytesPerSecond/1e6)
		if p.RangesReused > 0 {
			fmt.Fprintf(w, ", %d of %d ranges were equal", p.RangesReused, p.Ranges)
		}
		if p.Waiting != "" {
			fmt.Fprintf(w, "; waiting: %s", p.Waiting)
		}
		fmt.Fprintln(w)
	}
}
