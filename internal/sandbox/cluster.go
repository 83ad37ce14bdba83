package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// ClusterOptions say what cluster to make. Server and Dir are needed.
type ClusterOptions struct {
	Server    *Server
	Dir       string // folder of the cluster; each node has one of its own in it
	Followers int
	// Plain lets nobody replicate: the others are servers that know nothing of the leader,
	// and EngineAccount is made on all of them.
	Plain bool

	// Node may change the options of a node before it is made; i is 0 for the leader.
	Node func(i int, o *NodeOptions)
	// Source returns the address at which a follower finds the leader; by
	// default the leader's own. Tests put a relay in between.
	Source func(follower, leader *Node) (string, error)
	Logger *slog.Logger
}

// Cluster is a leader and its followers. The roles are those of the start.
type Cluster struct {
	Leader    *Node
	Followers []*Node
	opts      ClusterOptions
}

// NewCluster returns a cluster whose nodes db1 (the leader), db2 ... are not started.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	if o.Source == nil {
		o.Source = func(_, leader *Node) (string, error) { return leader.Addr(), nil }
	}
	c := &Cluster{opts: o}
	for i := range o.Followers + 1 {
		name := fmt.Sprintf("db%d", i+1)
		no := NodeOptions{
			Server: o.Server, Name: name, Dir: filepath.Join(o.Dir, name), ServerID: uint32(i + 1), Logger: o.Logger,
		}
		if o.Node != nil {
			o.Node(i, &no)
		}
		n, err := NewNode(no)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			c.Leader = n
		} else {
			c.Followers = append(c.Followers, n)
		}
	}
	return c, nil
}

// Nodes are all nodes, the leader first.
func (c *Cluster) Nodes() []*Node { return append([]*Node{c.Leader}, c.Followers...) }

// Start starts all nodes, makes the accounts, sets up replication (but see
// ClusterOptions.Plain) and waits until the followers are where the leader is. On an error nothing is left running.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

func (c *Cluster) start(ctx context.Context) error {
	flavor := c.opts.Server.Flavor
	g, gctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes() {
		g.Go(func() error { return n.Start(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := CreateAccounts(ctx, c.Leader.DB(), flavor); err != nil {
		return fmt.Errorf("make the accounts: %w", err)
	}
	if c.opts.Plain {
		for _, n := range c.Nodes() {
			if err := CreateEngineAccount(ctx, n.DB()); err != nil {
				return fmt.Errorf("node %s: %w", n.Name(), err)
			}
		}
		return nil
	}
	for _, n := range c.Followers {
		source, err := c.opts.Source(n, c.Leader)
		if err != nil {
			return err
		}
		if err := Replicate(ctx, n.DB(), flavor, source); err != nil {
			return fmt.Errorf("let %s follow: %w", n.Name(), err)
		}
	}
	return c.WaitReplicated(ctx)
}

// WaitReplicated waits until the followers have applied all that the leader had
// committed when it was called.
func (c *Cluster) WaitReplicated(ctx context.Context) error {
	flavor := c.opts.Server.Flavor
	pos, err := Position(ctx, c.Leader.DB(), flavor)
	if err != nil {
		return err
	}
	wait := WaitPosition
	if c.opts.Plain {
		wait = WaitWritten
	}
	for _, n := range c.Followers {
		if err := wait(ctx, n.DB(), flavor, pos); err != nil {
			return fmt.Errorf("node %s: %w", n.Name(), err)
		}
	}
	return nil
}

// Stop shuts all nodes down, the followers first.
func (c *Cluster) Stop(ctx context.Context) error {
	var g errgroup.Group
	for _, n := range c.Followers {
		g.Go(func() error { return n.Stop(ctx) })
	}
	err := g.Wait()
	return errors.Join(err, c.Leader.Stop(ctx))
}

// Close ends all nodes at once (SIGKILL). Their folders stay.
func (c *Cluster) Close() error {
	var err error
	for _, n := range c.Nodes() {
		err = errors.Join(err, n.Close())
	}
	return err
}
