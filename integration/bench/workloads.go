package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/integration/measure"
)

// clients run queries against addr for a slice of time. They call connected
// once, when they have their connections: what the proxy has used by then is
// not counted, as logging in would weigh much in a short slice.
type clients interface {
	run(ctx context.Context, b *bench, addr string, slice time.Duration, connected func()) (load, error)
}

var (
	_ clients = sysbenchRun{}
	_ clients = connectRun{}
	_ clients = bulkRun{}
	_ clients = afterWriteRun{}
	_ clients = sharedRun{}
)

// workload is one row of the report's table.
type workload struct {
	name  string
	title string
	unit  string  // what rates and CPU are counted by
	goal  float64 // of Bellwether's CPU to HAProxy's, at most; 0: none
	long  bool    // not in the short form
	short bool    // in the short form only
	reads bool    // it only reads: of HAProxy's, the one before the same follower is the measure

	// targets are those that it runs against, where not against all that are not special.
	targets []string

	clients clients // or:
	idle    *idleRun
}

const (
	text   = "--db-ps-mode=disable"
	binary = "--db-ps-mode=auto"
)

// workloads are those that the options ask for, in the order in which they run.
func workloads(o options) []workload {
	bench := func(test string, threads int, args ...string) clients {
		return sysbenchRun{test: test, threads: threads, args: args}
	}
	const point, ro, rw = "oltp_point_select", "oltp_read_only", "oltp_read_write"
	levels := []string{bellwetherOne, eventual}
	all := []workload{
		{name: "point-text-16", title: "point select, text, 16 threads", unit: "query", goal: 1.15, clients: bench(point, 16, text)},
		{name: "point-binary-16", title: "point select, binary, 16 threads", unit: "query", goal: 1.15, clients: bench(point, 16, binary)},
		{name: "point-text-256", title: "point select, text, 256 threads", unit: "query", goal: 1.15, clients: bench(point, 256, text)},
		{name: "point-binary-256", title: "point select, binary, 256 threads", unit: "query", goal: 1.15, long: true, clients: bench(point, 256, binary)},
		{name: "read-only-text", title: "read-only, no transaction, text, 16 threads", unit: "query", goal: 1.15, clients: bench(ro, 16, text, "--skip-trx=on")},
		{name: "read-only-binary", title: "read-only, no transaction, binary, 16 threads", unit: "query", goal: 1.15, long: true, clients: bench(ro, 16, binary, "--skip-trx=on")},
		{name: "read-write-text", title: "read-write transactions, text, 16 threads", unit: "query", goal: 1.15, clients: bench(rw, 16, text)},
		{name: "read-write-binary", title: "read-write transactions, binary, 16 threads", unit: "query", goal: 1.15, long: true, clients: bench(rw, 16, binary)},
		{name: "bulk", title: "10 MB result, 50,000 rows", unit: "MB", goal: 1.3, clients: bulkRun{}},
		{name: "connect", title: "connect, query, disconnect, 8 clients", unit: "cycle", goal: 0.75, clients: connectRun{clients: 8}},
		idle(1000, false), idle(1000, true), idle(5000, false), idle(5000, true),
		{name: "level-reads", title: "what the level session costs over eventual: point select, text, 16 threads", unit: "query", targets: levels, long: true, clients: bench(point, 16, text)},
		{name: "level-mixed", title: "what the level session costs over eventual: reads and writes without transactions, text, 16 threads", unit: "query", targets: levels, long: true, clients: bench(rw, 16, text, "--skip-trx=on")},
		{name: "after-write", title: "a read after a write of the same session, 4 clients", unit: "read", targets: []string{direct, bellwetherOne, strong}, clients: afterWriteRun{clients: 4}},
		{name: "shared", title: "10,000 clients over 100 connections to each node, a tenth writes", unit: "query", targets: []string{shared}, clients: sharedRun{clients: 10_000}, long: true},
		{name: "shared-short", title: "2,000 clients over 100 connections to each node, a tenth writes", unit: "query", targets: []string{shared}, clients: sharedRun{clients: 2000}, short: true},
	}
	for i := range all {
		w := &all[i]
		w.reads = strings.HasPrefix(w.name, "point-") || strings.HasPrefix(w.name, "read-only-")
	}
	return slices.DeleteFunc(all, func(w workload) bool {
		return o.short && w.long || !o.short && w.short || !o.only.MatchString(w.name)
	})
}

func idle(sessions int, follower bool) workload {
	w := workload{
		name: fmt.Sprint("idle-", sessions), title: fmt.Sprint(sessions, " idle sessions after a query on the leader"),
		unit: "session", long: sessions > 1000, idle: &idleRun{sessions: sessions, follower: follower},
	}
	if follower {
		w.name += "-follower"
		w.title += " and one on a follower"
	}
	return w
}

// measure runs the workload against each target in turn, round after round.
func (w workload) measure(ctx context.Context, b *bench) *result {
	res := newResult(w, b)
	if w.idle != nil {
		w.idle.measure(ctx, b, res)
		return res
	}
	if !b.options.short {
		for _, t := range w.of(b.targets) { // caches, pools, the servers' threads
			if _, err := w.clients.run(ctx, b, t.addr, time.Second, func() {}); err != nil {
				res.fail(t, err)
			}
		}
	}
	for range b.options.rounds {
		for _, t := range w.of(b.targets) {
			if ctx.Err() != nil {
				return res
			}
			f, err := w.slice(ctx, b, t)
			if err != nil {
				res.fail(t, err)
				continue
			}
			res.add(t, f)
		}
	}
	return res
}

// of are those of all targets that the workload runs against.
func (w workload) of(all []*target) []*target {
	return slices.DeleteFunc(slices.Clone(all), func(t *target) bool {
		switch {
		case len(w.targets) > 0:
			return !slices.Contains(w.targets, t.name)
		case t.name == haproxyFollower:
			return !w.reads
		}
		return t.special
	})
}

// slice measures one target once, the followers being where the leader is.
func (w workload) slice(ctx context.Context, b *bench, t *target) (figures, error) {
	f := noFigures()
	if err := b.servers.cluster.WaitReplicated(ctx); err != nil {
		return f, err
	}
	leader0, followers0, err := b.servers.selects(ctx)
	if err != nil {
		return f, err
	}
	var before usage
	usageErr := errors.New("the clients never said that they are connected")
	l, err := w.clients.run(ctx, b, t.addr, b.options.slice, func() { before, usageErr = t.usage() })
	if err := errors.Join(err, usageErr); err != nil {
		return f, err
	}
	after, err := t.usage()
	if err != nil {
		return f, err
	}
	leader1, followers1, err := b.servers.selects(ctx)
	if err != nil {
		return f, err
	}
	f.Rate = l.units / l.elapsed.Seconds()
	f.P95 = milliseconds(l.p95)
	if len(l.took) > 0 {
		f.P50, f.P95, f.P99 = milliseconds(measure.Percentile(l.took, 50)), milliseconds(measure.Percentile(l.took, 95)), milliseconds(measure.Percentile(l.took, 99))
	}
	f.Followers = (followers1 - followers0) / (followers1 - followers0 + leader1 - leader0)
	if t.proxy != nil {
		f.User = microseconds(after.user-before.user) / l.units
		f.CPU = microseconds(after.user-before.user+after.system-before.system) / l.units
		f.Memory = after.memory
	}
	return f, nil
}

// usage is what a target's process has used; nothing for a direct connection.
type usage struct {
	user, system time.Duration
	memory       float64 // bytes, resident
}

func (t *target) usage() (u usage, err error) {
	if t.proxy == nil {
		return usage{memory: math.NaN()}, nil
	}
	if u.user, u.system, err = measure.CPUTime(t.proxy.PID()); err != nil {
		return u, fmt.Errorf("%s: %w", t.name, err)
	}
	u.memory, err = residentMemory(t.proxy.PID())
	return u, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
