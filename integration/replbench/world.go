package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// world is a leader and a follower for each candidate.
type world struct {
	dir        string
	server     *sandbox.Server
	leader     *sandbox.Node
	asLeader   *node.Server
	candidates []*candidate
}

// startWorld starts a leader with those arguments, and a follower for each of list.
func startWorld(ctx context.Context, s *sandbox.Server, durable bool, args []string, list ...*candidate) (w *world, err error) {
	w = &world{server: s}
	if w.dir, err = os.MkdirTemp("", "bw-replbench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.leader, w.asLeader, err = w.start(ctx, "leader", 1, durable, args); err != nil {
		return nil, err
	}
	if err := sandbox.CreateAccounts(ctx, w.leader.DB(), s.Flavor); err != nil {
		return nil, err
	}
	if err := prepare(ctx, w.leader.DB()); err != nil {
		return nil, err
	}
	for i, c := range list {
		if c.node, c.server, err = w.start(ctx, c.name, uint32(i+2), true, c.args); err != nil {
			return nil, err
		}
		if err := sandbox.CreateEngineAccount(ctx, c.node.DB()); err != nil {
			return nil, err
		}
		if err := c.server.ResetPosition(ctx, c.server.DB, gtid.Set{}, ""); err != nil {
			return nil, err
		}
		w.candidates = append(w.candidates, c)
	}
	return w, nil
}

// start starts a server. The tables fit into its buffer pool.
func (w *world) start(ctx context.Context, name string, id uint32, durable bool, args []string) (*sandbox.Node, *node.Server, error) {
	n, err := sandbox.NewNode(sandbox.NodeOptions{
		Server: w.server, Name: name, Dir: filepath.Join(w.dir, name), ServerID: id, Durable: durable, BufferPool: "256M", ExtraArgs: args,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := n.Start(ctx); err != nil {
		return nil, nil, errors.Join(err, n.Close())
	}
	s, err := node.Of(ctx, name, n.DB())
	return n, s, err
}

func (w *world) close() error {
	var errs []error
	for _, c := range w.candidates {
		errs = append(errs, c.node.Close())
	}
	if w.leader != nil {
		errs = append(errs, w.leader.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

func (w *world) names() (names []string) {
	for _, c := range w.candidates {
		names = append(names, c.name)
	}
	return names
}

// compare checks that all followers hold what the leader holds: a figure of one that does not
// is worth nothing.
func (w *world) compare(ctx context.Context, out io.Writer) error {
	for _, table := range tables {
		want, err := checksum(ctx, w.leader, table)
		if err != nil {
			return err
		}
		for _, c := range w.candidates {
			got, err := checksum(ctx, c.node, table)
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("%s differs in table %s", c.name, table)
			}
		}
	}
	_, err := fmt.Fprintln(out, "all followers hold what the leader holds")
	return err
}

func checksum(ctx context.Context, n *sandbox.Node, table string) (string, error) {
	var name, sum string
	err := n.DB().QueryRowContext(ctx, "CHECKSUM TABLE "+table+" EXTENDED").Scan(&name, &sum)
	return sum, err
}
