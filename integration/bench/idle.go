package main

import (
	"context"
	"fmt"
	"time"
)

// idleGoal is the most that an idle session may take, in bytes.
const idleGoal = 24 << 10

// idleRun is sessions that logged in, ran a query, and now do nothing.
type idleRun struct {
	sessions int
	follower bool // one query on a follower, too
}

// idleSettle is how long the sessions are left alone before memory is read.
const idleSettle = 3 * time.Second

// measure takes fresh processes, so that nothing of other workloads is in them.
// A direct connection has no proxy; of each kind of proxy one is enough.
func (r *idleRun) measure(ctx context.Context, b *bench, res *result) {
	for _, t := range b.targets {
		if t.name != haproxy1 && t.name != bellwether || ctx.Err() != nil {
			continue
		}
		f, err := r.one(ctx, b, t)
		if err != nil {
			res.fail(t, err)
			continue
		}
		res.add(t, f)
	}
}

func (r *idleRun) one(ctx context.Context, b *bench, t *target) (figures, error) {
	f := noFigures()
	if err := t.restart(); err != nil {
		return f, err
	}
	before, err := t.settled(ctx)
	if err != nil {
		return f, err
	}
	conns, err := connectMany(ctx, t.addr, r.sessions, func(i int) []string {
		id := 1 + i%b.options.tableSize
		statements := []string{fmt.Sprintf("SELECT c FROM sbtest1 WHERE id=%d FOR UPDATE", id)}
		if r.follower {
			statements = append(statements, fmt.Sprintf("SELECT c FROM sbtest1 WHERE id=%d", id))
		}
		return statements
	})
	if err != nil {
		return f, err
	}
	defer closeAll(conns)
	after, err := t.settled(ctx)
	if err != nil {
		return f, err
	}
	f.Memory = (after.memory - before.memory) / float64(r.sessions)
	return f, nil
}

// settled is the target's usage after a while of quiet.
func (t *target) settled(ctx context.Context) (usage, error) {
	select {
	case <-ctx.Done():
		return usage{}, ctx.Err()
	case <-time.After(idleSettle):
		return t.usage()
	}
}
