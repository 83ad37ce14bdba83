package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bellwetherdb/bellwether/integration/measure"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// sample is one catch-up.
type sample struct {
	rate            float64 // transactions per second
	server, applier float64 // processor time, µs per transaction
}

// catchUpReport is the samples of a workload, by candidate.
type catchUpReport struct {
	load    *workload
	names   []string
	samples map[string][]sample
}

// catchUps lets the leader write while nobody follows, and then each candidate in turn catch
// up; the turn begins with another one in each round. The first round is not counted.
func (w *world) catchUps(ctx context.Context, o *options, l *workload) (*catchUpReport, error) {
	r := &catchUpReport{load: l, names: w.names(), samples: map[string][]sample{}}
	n := max(clients, o.transactions/l.share/clients*clients)
	for round := range o.rounds + 1 {
		if err := w.write(ctx, l, n, uint64(round)); err != nil {
			return nil, err
		}
		pos, err := w.asLeader.Written(ctx, w.asLeader.DB)
		if err != nil {
			return nil, err
		}
		for i := range w.candidates {
			c := w.candidates[(i+round)%len(w.candidates)]
			s, err := c.catchUp(ctx, w, pos, n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				r.samples[c.name] = append(r.samples[c.name], s)
			}
		}
	}
	return r, nil
}

// mostPatience is for how long a follower may take to catch up.
const mostPatience = 5 * time.Minute

func (c *candidate) catchUp(ctx context.Context, w *world, pos gtid.Set, n int) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	server, applier, err := c.used()
	if err != nil {
		return s, err
	}
	began := time.Now()
	stop, err := c.follow(ctx, w)
	if err != nil {
		return s, err
	}
	err = c.reach(ctx, pos)
	took := time.Since(began)
	if err2 := stop(); err2 != nil {
		return s, fmt.Errorf("%w (%w)", err2, err)
	}
	if err != nil {
		return s, err
	}
	server2, applier2, err := c.used()
	s.rate = float64(n) / took.Seconds()
	s.server = float64((server2 - server).Microseconds()) / float64(n)
	s.applier = float64((applier2 - applier).Microseconds()) / float64(n)
	return s, err
}

// reach waits until the follower has applied pos. It looks every few milliseconds: often
// enough for a catch-up of a second, and seldom enough to cost next to nothing.
func (c *candidate) reach(ctx context.Context, pos gtid.Set) error {
	for {
		at, err := c.server.Applied(ctx, c.server.DB)
		if err != nil {
			return err
		}
		if at.Contains(pos) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is at %s, not at %s: %w", at, pos, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *catchUpReport) median(name string, of func(*sample) float64) float64 {
	var v []float64
	for i := range r.samples[name] {
		v = append(v, of(&r.samples[name][i]))
	}
	return measure.Median(v)
}

func (r *catchUpReport) print(out io.Writer) {
	fmt.Fprintf(out, "\ncatch-up, %s: %s (medians of %d rounds)\n", r.load.name, r.load.title, len(r.samples[r.names[0]]))
	fmt.Fprintf(out, "  %-22s %12s %18s %18s\n", "", "tx/s", "server µs/tx", "applier µs/tx")
	rate := func(s *sample) float64 { return s.rate }
	for _, name := range r.names {
		fmt.Fprintf(out, "  %-22s %12.0f %18.0f %18.0f\n", name, r.median(name, rate),
			r.median(name, func(s *sample) float64 { return s.server }), r.median(name, func(s *sample) float64 { return s.applier }))
	}
	for _, pair := range [][2]string{{engineSerial, nativeSerial}, {engineParallel, nativeParallel}} {
		fmt.Fprintf(out, "  %s / %s: %.2f times as fast (goal 1)\n", pair[0], pair[1], r.median(pair[0], rate)/r.median(pair[1], rate))
	}
}
