package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/bellwetherdb/bellwether/integration/measure"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator"
	"github.com/bellwetherdb/bellwether/replicator/ack"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/quorum"
)

// waiting is how a leader's commits wait for its two followers.
type waiting struct {
	name   string
	engine bool
	count  int // followers that must have a transaction
	relay  bool
}

const (
	nativeOne = "native semi-sync, 1"
	engineOne = "engine, acks 1"
)

func waitings(f gtid.Flavor) []waiting {
	out := []waiting{
		{"engine, acks none", true, 0, false},
		{nativeOne, false, 1, false},
		{"engine, acks relay", true, 1, true},
		{engineOne, true, 1, false},
		{"engine, acks 2", true, 2, false},
	}
	if f == gtid.MySQL { // MariaDB waits for one, always
		out = append(out, waiting{"native semi-sync, 2", false, 2, false})
	}
	return out
}

// quorumWorld is a leader with two followers that replicate by themselves and two of the
// engine; at a time only two follow.
type quorumWorld struct {
	*world
	native, engine []*node.Server
	nodes          []*sandbox.Node
}

func startQuorum(ctx context.Context, s *sandbox.Server) (q *quorumWorld, err error) {
	q = &quorumWorld{}
	args := sandbox.SemiSyncArgs(s.Flavor)
	if q.world, err = startWorld(ctx, s, true, args); err != nil {
		return nil, err
	}
	if err := sandbox.CreateEngineAccount(ctx, q.leader.DB()); err != nil {
		return nil, errors.Join(err, q.close())
	}
	for i, name := range []string{"native1", "native2", "engine1", "engine2"} {
		n, s, err := q.start(ctx, name, uint32(i+20), true, args)
		if err == nil {
			q.nodes = append(q.nodes, n)
			err = errors.Join(sandbox.CreateEngineAccount(ctx, n.DB()), s.ResetPosition(ctx, s.DB, gtid.Set{}, ""))
		}
		if err != nil {
			return nil, errors.Join(err, q.close())
		}
		if i < 2 {
			q.native = append(q.native, s)
		} else {
			q.engine = append(q.engine, s)
		}
	}
	return q, nil
}

func (q *quorumWorld) close() error {
	var errs []error
	for _, n := range q.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(append(errs, q.world.close())...)
}

// commits measures how long a client waits for its commit, in turns of slices.
func (q *quorumWorld) commits(ctx context.Context, o *options) (*lagReport, error) {
	r := &lagReport{lags: map[string][]time.Duration{}}
	all := waitings(q.server.Flavor)
	for _, v := range all {
		r.names = append(r.names, v.name)
	}
	for slice := range lagSlices {
		for i := range all {
			v := &all[(i+slice)%len(all)]
			took, err := q.commit(ctx, v, max(1, o.lagSamples/lagSlices))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			r.lags[v.name] = append(r.lags[v.name], took...)
		}
	}
	return r, nil
}

func (q *quorumWorld) commit(ctx context.Context, v *waiting, samples int) (took []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	stop, err := q.follow(ctx, v)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	conn, err := q.leader.DB().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	for i := range samples + samples/10 {
		at := time.Now()
		if _, err := conn.ExecContext(ctx, "UPDATE shop.beat SET n=n+1 WHERE id=1"); err != nil {
			return nil, err
		}
		if i >= samples/10 { // the first ones are for warming up
			took = append(took, time.Since(at))
		}
	}
	return took, nil
}

// follow lets two follow, and the leader wait for them, until stop.
func (q *quorumWorld) follow(ctx context.Context, v *waiting) (stop func() error, err error) {
	if !v.engine {
		return q.followNative(ctx, v.count)
	}
	nodes := []replicator.NodeConfig{{Name: "leader", Address: q.leader.Addr()}}
	for _, n := range q.nodes[2:] {
		nodes = append(nodes, replicator.NodeConfig{Name: n.Name(), Address: n.Addr()})
	}
	account := account(q.leader)
	account.Address = ""
	cfg := replicator.Config{Leader: "leader", Nodes: nodes, Account: account, Acks: quorum.Policy{Acks: v.count, MaxLag: 10 * time.Second}}
	if v.relay {
		cfg.Relay = replicator.RelayConfig{Dir: filepath.Join(q.dir, "relay"), Acknowledge: true}
	}
	e, err := replicator.New(cfg, nil, nil)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(run) }()
	stop = func() error {
		cancel()
		err := <-done
		_, err2 := ack.Disable(context.WithoutCancel(ctx), q.asLeader, true)
		return errors.Join(err, err2)
	}
	for !ready(e, nodes[1:], v) {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return stop, nil
}

func ready(e *replicator.Engine, followers []replicator.NodeConfig, v *waiting) bool {
	for _, n := range followers {
		if s, ok := e.Status(n.Name); !ok || s.State != replicator.StateStreaming {
			return false
		}
	}
	if v.count == 0 {
		return true
	}
	s, ok := e.Acknowledgement()
	return ok && s.State == ack.StateAcknowledging && (len(s.InSync) == len(followers) || v.relay && len(s.InSync) == 1)
}

// followNative is the servers' own semi-synchronous replication, without a timeout.
func (q *quorumWorld) followNative(ctx context.Context, count int) (stop func() error, err error) {
	name, status := "rpl_semi_sync_master_", "Rpl_semi_sync_master_clients"
	if q.server.Flavor == gtid.MySQL {
		name, status = "rpl_semi_sync_source_", "Rpl_semi_sync_source_clients"
	}
	set := "SET GLOBAL " + name + "wait_point=AFTER_SYNC, GLOBAL " + name + "timeout=1000000, GLOBAL " + name + "enabled=1"
	if q.server.Flavor == gtid.MySQL {
		set += fmt.Sprintf(", GLOBAL %swait_for_replica_count=%d", name, count)
	}
	src := node.Source{Address: q.leader.Addr(), User: sandbox.ReplicationAccount.User, Password: sandbox.ReplicationAccount.Password}
	stop = func() error {
		ctx := context.WithoutCancel(ctx)
		err := node.Exec(ctx, q.leader.DB(), "SET GLOBAL "+name+"enabled=0")
		for _, s := range q.native {
			err = errors.Join(err, s.StopReplica(ctx))
		}
		return err
	}
	pos, err := q.asLeader.Written(ctx, q.asLeader.DB)
	if err == nil {
		err = node.Exec(ctx, q.leader.DB(), set)
	}
	for _, s := range q.native {
		if err == nil {
			err = s.StartReplica(ctx, src)
		}
		if err == nil {
			err = s.WaitApplied(ctx, pos)
		}
	}
	for err == nil {
		var ignored, clients string
		if err = q.leader.DB().QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE '"+status+"'").Scan(&ignored, &clients); clients == "2" {
			return stop, nil
		}
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.Join(err, stop())
}

func printCommits(r *lagReport, out io.Writer) {
	fmt.Fprintf(out, "\ncommit latency: one client's UPDATE on the leader, which waits for so many of two followers (%d samples each)\n", len(r.lags[r.names[0]]))
	fmt.Fprintf(out, "  %-22s %12s %12s\n", "", "p50 ms", "p99 ms")
	ms := func(name string, p int) float64 { return measure.Percentile(r.lags[name], p).Seconds() * 1000 }
	for _, name := range r.names {
		fmt.Fprintf(out, "  %-22s %12.2f %12.2f\n", name, ms(name, 50), ms(name, 99))
	}
	fmt.Fprintf(out, "  %s / %s: p50 %.2f, p99 %.2f (goal 1.5 at most)\n", engineOne, nativeOne, ms(engineOne, 50)/ms(nativeOne, 50), ms(engineOne, 99)/ms(nativeOne, 99))
}

func runAcks(ctx context.Context, o *options, s *sandbox.Server, out io.Writer) (err error) {
	q, err := startQuorum(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	fmt.Fprintf(out, "%s:", s)
	r, err := q.commits(ctx, o)
	if err == nil {
		printCommits(r, out)
	}
	return err
}
