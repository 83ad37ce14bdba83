package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// afterWriteRun is clients that write and then read what they wrote; the read is what
// counts. Through Bellwether that is all that they do. Directly they read on the first
// follower, where they wait for the write by MASTER_GTID_WAIT, which is what an
// application does that splits its reads itself.
type afterWriteRun struct{ clients int }

func (r afterWriteRun) run(ctx context.Context, b *bench, addr string, slice time.Duration, connected func()) (load, error) {
	nodes := b.servers.cluster.Nodes()
	itself := addr == nodes[0].Addr()
	ways := make([]writeRead, r.clients)
	for i := range ways {
		if err := ways[i].connect(ctx, addr, nodes[1].Addr(), itself); err != nil {
			return load{}, err
		}
		defer ways[i].close()
	}
	connected()
	begin := time.Now()
	took := make([][]time.Duration, r.clients)
	var g errgroup.Group
	for i := range took {
		g.Go(func() error {
			for time.Since(begin) < slice {
				d, err := ways[i].once(ctx, 1+rand.IntN(b.options.tableSize))
				if err != nil {
					return err
				}
				took[i] = append(took[i], d)
			}
			return nil
		})
	}
	err := g.Wait()
	all := slices.Concat(took...)
	return load{units: float64(len(all)), elapsed: time.Since(begin), took: all}, err
}

// writeRead is where one client writes, and where it reads.
type writeRead struct {
	writes, reads driver.Conn
	itself        bool // it waits for the follower itself
}

func (w *writeRead) connect(ctx context.Context, addr, follower string, itself bool) error {
	w.itself = itself
	dial, err := connector(addr)
	if err != nil {
		return err
	}
	if w.writes, err = dial.Connect(ctx); err != nil || !itself {
		w.reads = w.writes
		return err
	}
	if dial, err = connector(follower); err != nil {
		return err
	}
	w.reads, err = dial.Connect(ctx)
	return err
}

func (w *writeRead) close() {
	if w.reads != nil && w.reads != w.writes {
		_ = w.reads.Close()
	}
	if w.writes != nil {
		_ = w.writes.Close()
	}
}

// once writes a row and reads it; it returns how long the read took.
func (w *writeRead) once(ctx context.Context, id int) (time.Duration, error) {
	if _, err := query(ctx, w.writes, fmt.Sprintf("UPDATE sbtest1 SET k=k+1 WHERE id=%d", id)); err != nil {
		return 0, err
	}
	var position string
	if w.itself { // a driver that reads session trackers has it from the answer
		var err error
		if position, err = text1(ctx, w.writes, "SELECT @@last_gtid"); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	if w.itself {
		reached, err := text1(ctx, w.reads, "SELECT MASTER_GTID_WAIT('"+position+"', 10)")
		if err != nil {
			return 0, err
		}
		if reached != "0" {
			return 0, errors.New("the follower did not get there in 10 s")
		}
	}
	_, err := query(ctx, w.reads, fmt.Sprintf("SELECT k FROM sbtest1 WHERE id=%d", id))
	return time.Since(begin), err
}

// sharedRun is many clients over few connections: all are connected, workers take them by
// turns. One of ten statements writes.
type sharedRun struct{ clients int }

// sharedWorkers is how many clients of a sharedRun have a statement under way at a time.
const sharedWorkers = 64

func (r sharedRun) run(ctx context.Context, b *bench, addr string, slice time.Duration, connected func()) (load, error) {
	before, err := b.servers.connections(ctx)
	if err != nil {
		return load{}, err
	}
	conns, err := connectMany(ctx, addr, r.clients, func(int) []string { return []string{"SELECT c FROM sbtest1 WHERE id=1"} })
	if err != nil {
		return load{}, err
	}
	defer closeAll(conns)
	connected()
	begin := time.Now()
	took := make([][]time.Duration, sharedWorkers)
	var g errgroup.Group
	for w := range took {
		g.Go(func() error {
			for i := w; time.Since(begin) < slice; i = (i + sharedWorkers) % len(conns) {
				statement := pointSelect(b.options.tableSize)
				if rand.IntN(10) == 0 {
					statement = fmt.Sprintf("UPDATE sbtest1 SET k=k+1 WHERE id=%d", 1+rand.IntN(b.options.tableSize))
				}
				t := time.Now()
				if _, err := query(ctx, conns[i], statement); err != nil {
					return fmt.Errorf("client %d: %w", i, err)
				}
				took[w] = append(took[w], time.Since(t))
			}
			return nil
		})
	}
	err = g.Wait()
	after, countErr := b.servers.connections(ctx)
	for i := range after {
		if n := after[i] - before[i]; n > 100 {
			err = errors.Join(err, fmt.Errorf("node %d has %d connections of clients more, not 100", i, n))
		}
	}
	err = errors.Join(err, countErr)
	all := slices.Concat(took...)
	return load{units: float64(len(all)), elapsed: time.Since(begin), took: all}, err
}

// connections is how many connections of the application each node has; some are idle ones
// of other targets.
func (s *servers) connections(ctx context.Context) ([]int, error) {
	open := make([]int, len(s.cluster.Nodes()))
	for i, n := range s.cluster.Nodes() {
		err := n.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", sandbox.AppAccount.User).Scan(&open[i])
		if err != nil {
			return nil, err
		}
	}
	return open, nil
}
