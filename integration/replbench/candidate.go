package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwetherdb/bellwether/integration/measure"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/apply"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// candidate is a way to replicate, with a follower of its own.
type candidate struct {
	name        string
	args        []string // of its server
	connections int      // of the engine; 0: the server replicates by itself
	node        *sandbox.Node
	server      *node.Server
}

const (
	nativeSerial   = "native, serial"
	nativeParallel = "native, 4 workers"
	engineSerial   = "engine, 1 connection"
	engineParallel = "engine, 4 connections"
)

func candidates(f gtid.Flavor) []*candidate {
	serial := []string{"--slave-parallel-threads=0"}
	parallel := []string{"--slave-parallel-threads=4", "--slave-parallel-mode=optimistic"}
	if f == gtid.MySQL {
		serial = []string{"--replica-parallel-workers=1"}
		parallel = []string{"--replica-parallel-workers=4", "--replica-preserve-commit-order=ON"}
	}
	return []*candidate{
		{name: nativeSerial, args: serial},
		{name: nativeParallel, args: parallel},
		{name: engineSerial, connections: 1},
		{name: engineParallel, connections: 4},
	}
}

// follow replicates until stop, which returns what went wrong, unless it was stop itself.
func (c *candidate) follow(ctx context.Context, w *world) (stop func() error, err error) {
	if c.connections == 0 {
		src := node.Source{Address: w.leader.Addr(), User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password}
		if err := c.server.StartReplica(ctx, src); err != nil {
			return nil, err
		}
		return func() error { return c.server.StopReplica(context.WithoutCancel(ctx)) }, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	a := apply.New(apply.Options{
		Follower: account(c.node), Flavor: w.server.Flavor, Connections: c.connections,
	})
	go func() {
		done <- a.Run(ctx, func(ctx context.Context, pos gtid.Set) (apply.Source, error) {
			d, err := stream.Open(ctx, stream.Options{
				Leader:   mysqlconn.Config{Address: w.leader.Addr(), User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password},
				Flavor:   w.server.Flavor,
				ServerID: c.node.ServerID(),
			}, pos)
			if err != nil {
				return nil, err
			}
			return stream.NewSource(d, 0), nil
		})
	}()
	return func() error {
		defer cancel()
		select {
		case err := <-done:
			return fmt.Errorf("it ended by itself: %w", err)
		default:
		}
		cancel()
		if err := <-done; err == nil {
			return errors.New("it ended without a reason")
		}
		return nil
	}, nil
}

func account(n *sandbox.Node) mysqlconn.Config {
	return mysqlconn.Config{Address: n.Addr(), User: sandbox.EngineAccount.User, Password: sandbox.EngineAccount.Password}
}

// used is the processor time of the follower's server and, for the engine, of this process.
func (c *candidate) used() (server, applier time.Duration, err error) {
	user, system, err := measure.CPUTime(c.node.PID())
	if err != nil || c.connections == 0 {
		return user + system, 0, err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, 0, err
	}
	return user + system, time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
