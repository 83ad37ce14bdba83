package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/integration/measure"
)

// lagReport is how long after its commit a transaction could be read, by candidate.
type lagReport struct {
	names []string
	lags  map[string][]time.Duration
}

// Steady load: each writer commits, and rests for so long.
const (
	lagWriters = 4
	lagRest    = 8 * time.Millisecond
	lagSlices  = 5
)

// lags measures each candidate alone, in turns of slices, under the same steady load.
func (w *world) lags(ctx context.Context, o *options) (*lagReport, error) {
	r := &lagReport{names: w.names(), lags: map[string][]time.Duration{}}
	for slice := range lagSlices {
		for i := range w.candidates {
			c := w.candidates[(i+slice)%len(w.candidates)]
			v, err := w.lag(ctx, c, max(1, o.lagSamples/lagSlices), uint64(slice))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			r.lags[c.name] = append(r.lags[c.name], v...)
		}
	}
	pos, err := w.asLeader.Written(ctx, w.asLeader.DB)
	if err != nil {
		return nil, err
	}
	for _, c := range w.candidates { // for compare
		if _, err := c.catchUp(ctx, w, pos, 1); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (w *world) lag(ctx context.Context, c *candidate, samples int, seed uint64) (lags []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	pos, err := w.asLeader.Written(ctx, w.asLeader.DB)
	if err != nil {
		return nil, err
	}
	stop, err := c.follow(ctx, w)
	if err != nil {
		return nil, err
	}
	if err = c.reach(ctx, pos); err == nil {
		lags, err = w.beat(ctx, c, samples, seed)
	}
	if err2 := stop(); err2 != nil {
		return nil, fmt.Errorf("%w (%w)", err2, err)
	}
	return lags, err
}

// beat writes, under load, a row on the leader and looks for it on the follower.
func (w *world) beat(ctx context.Context, c *candidate, samples int, seed uint64) (lags []time.Duration, err error) {
	load, stop := context.WithCancel(ctx)
	var g errgroup.Group
	for i := range lagWriters {
		g.Go(func() error { return w.steady(load, seed, uint64(i)) })
	}
	defer func() {
		stop()
		if err2 := g.Wait(); err == nil {
			err = err2
		}
	}()
	from, err := w.leader.DB().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	to, err := c.node.DB().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = to.Close() }()
	for range samples {
		if _, err := from.ExecContext(ctx, "UPDATE shop.beat SET n=LAST_INSERT_ID(n+1) WHERE id=1"); err != nil {
			return nil, err
		}
		at := time.Now()
		var want, n int64
		if err := from.QueryRowContext(ctx, "SELECT LAST_INSERT_ID()").Scan(&want); err != nil {
			return nil, err
		}
		for n < want {
			if err := to.QueryRowContext(ctx, "SELECT n FROM shop.beat WHERE id=1").Scan(&n); err != nil {
				return nil, err
			}
		}
		lags = append(lags, time.Since(at))
	}
	return lags, nil
}

func (w *world) steady(ctx context.Context, seed, client uint64) error {
	conn, err := w.leader.DB().Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := rand.New(rand.NewPCG(seed, client))
	for l := &workloads[1]; ; {
		if err := transaction(ctx, conn, l.statements(r)); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lagRest):
		}
	}
}

func (r *lagReport) print(out io.Writer) {
	fmt.Fprintf(out, "\nlag: from the commit on the leader to the first read that sees it, under a steady load (%d samples each)\n", len(r.lags[r.names[0]]))
	fmt.Fprintf(out, "  %-22s %12s %12s\n", "", "p50 ms", "p99 ms")
	ms := func(name string, p int) float64 { return measure.Percentile(r.lags[name], p).Seconds() * 1000 }
	for _, name := range r.names {
		fmt.Fprintf(out, "  %-22s %12.2f %12.2f\n", name, ms(name, 50), ms(name, 99))
	}
	for _, pair := range [][2]string{{engineSerial, nativeSerial}, {engineParallel, nativeParallel}} {
		fmt.Fprintf(out, "  %s / %s: p99 %.2f (goal 1 at most)\n", pair[0], pair[1], ms(pair[0], 99)/ms(pair[1], 99))
	}
}
