package initial

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// job is one range of one table, and its share of the whole.
type job struct {
	table  *tabledef.Table
	rng    tabledef.Range
	weight float64
}

// rowSession is how rows are written: bytes as they are, in UTC.
func rowSession() []string {
	return []string{
		"SET NAMES binary", "SET character_set_results=NULL", "SET SESSION time_zone='+00:00'",
		"SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
	}
}

// copyRows copies all ranges. With reuse it first compares every range, and
// empties those that differ before any is copied, so that no row meets an old
// one in a unique key.
func (p *Plan) copyRows(ctx context.Context, c *captured, reuse bool, res *Result) error {
	total := 0.0
	for _, t := range c.tables {
		total += weight(t)
	}
	p.report(func(pr *Progress) { pr.Tables = len(c.tables) })
	slices.SortStableFunc(c.tables, func(a, b *tabledef.Table) int { return cmp.Compare(b.Bytes, a.Bytes) })
	split := func(ctx context.Context, jobs chan<- job) error {
		for _, t := range c.tables {
			ranges, err := t.Split(ctx, c.snapshot.conns[p.Workers], p.ChunkRows)
			if err != nil {
				return err
			}
			p.report(func(pr *Progress) { pr.Ranges += len(ranges) })
			for _, r := range ranges {
				select {
				case jobs <- job{table: t, rng: r, weight: 100 * weight(t) / total / float64(len(ranges))}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	}
	if reuse {
		differ, err := p.compareAll(ctx, c, split)
		if err != nil {
			return err
		}
		split = func(ctx context.Context, jobs chan<- job) error {
			for _, j := range differ {
				select {
				case jobs <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
	}
	err := p.eachJob(ctx, c, split, p.copyRange)
	p.report(func(pr *Progress) {
		res.Rows, res.Bytes, res.Ranges, res.RangesReused = pr.Rows, pr.Bytes, pr.Ranges, pr.RangesReused
	})
	return err
}

func weight(t *tabledef.Table) float64 { return float64(t.Bytes) + 4096 }

// eachJob lets the workers do the jobs, each with its own pair of connections.
func (p *Plan) eachJob(ctx context.Context, c *captured, split func(context.Context, chan<- job) error,
	do func(ctx context.Context, from, to *sql.Conn, j job) error,
) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job)
	g.Go(func() error {
		defer close(jobs)
		return split(ctx, jobs)
	})
	for i := range p.Workers {
		g.Go(func() error {
			to, err := p.writer(ctx, append(rowSession(), "SET SESSION unique_checks=0")...)
			if err != nil {
				return err
			}
			defer mysqlconn.Discard(to)
			for j := range jobs {
				if err := do(ctx, c.snapshot.conns[i], to, j); err != nil {
					return fmt.Errorf("table %s %s: %w", j.table, j.rng, err)
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// compareAll empties the ranges that differ, and returns them.
func (p *Plan) compareAll(ctx context.Context, c *captured, split func(context.Context, chan<- job) error) ([]job, error) {
	var mu sync.Mutex // guards differ
	var differ []job
	err := p.eachJob(ctx, c, split, func(ctx context.Context, from, to *sql.Conn, j job) error {
		if err := p.gate.pass(ctx, 0, 0); err != nil {
			return err
		}
		same, err := sameSums(ctx, from, to, j)
		if err != nil {
			return err
		}
		if same {
			p.report(func(pr *Progress) { pr.RangesDone++; pr.RangesReused++; pr.Percent += j.weight })
			return nil
		}
		mu.Lock()
		differ = append(differ, j)
		mu.Unlock()
		return again(func() error {
			_, err := to.ExecContext(ctx, j.table.DeleteRange(j.rng))
			return err
		})
	})
	return differ, err
}

func sameSums(ctx context.Context, from, to *sql.Conn, j job) (bool, error) {
	var a, b tabledef.Sum
	var g errgroup.Group
	g.Go(func() (err error) { a, err = j.table.Sum(ctx, from, j.rng); return err })
	g.Go(func() (err error) { b, err = j.table.Sum(ctx, to, j.rng); return err })
	err := g.Wait()
	return a == b, err
}

// statementSize is how long an INSERT grows before it is sent, in bytes.
const statementSize = 1 << 20

// again repeats what lost a race for locks against another worker: ranges that are
// written together can meet at the gaps of an index (1213 and 1205, seen on MariaDB).
func again(f func() error) error {
	for tries := 1; ; tries++ {
		if err := f(); tries == 20 || !node.IsError(err, node.ErrLockWaitTimeout, node.ErrDeadlock) {
			return err
		}
	}
}

func (p *Plan) copyRange(ctx context.Context, from, to *sql.Conn, j job) error {
	return again(func() error { return p.copyOnce(ctx, from, to, j) })
}

// copyOnce copies one range in one transaction. Reading and writing overlap.
func (p *Plan) copyOnce(ctx context.Context, from, to *sql.Conn, j job) error {
	statements := make(chan []byte, 1)
	free := make(chan []byte, 3)
	for range cap(free) {
		free <- nil
	}
	head := j.table.InsertHead()
	var rows uint64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(statements)
		buf := append((<-free)[:0], head...)
		err := eachRow(gctx, from, j.table.SelectRange(j.rng), func(row []value) error {
			if len(buf) > len(head) {
				buf = append(buf, ',')
			}
			buf = appendTuple(buf, j.table, row)
			rows++
			if len(buf) < statementSize {
				return nil
			}
			var err error
			buf, err = hand(gctx, statements, free, buf, head)
			return err
		})
		if err == nil && len(buf) > len(head) {
			_, err = hand(gctx, statements, free, buf, head)
		}
		return err
	})
	var warned bool
	g.Go(func() (err error) {
		warned, err = p.write(gctx, to, j, statements, free)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if warned { // what the server minded may still be exact: an ENUM's value without a name, say
		same, err := sameSums(ctx, from, to, j)
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("%w: the follower stored something else than it was given", ErrUnsupported)
		}
	}
	p.report(func(pr *Progress) { pr.Rows += rows; pr.RangesDone++; pr.Percent += j.weight })
	return nil
}

// hand gives a statement to the writer and returns a buffer for the next one.
func hand(ctx context.Context, statements chan<- []byte, free <-chan []byte, buf []byte, head string) ([]byte, error) {
	select {
	case statements <- buf:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case next := <-free:
		return append(next[:0], head...), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// write sends the statements in one transaction. One that lost its locks is rolled
// back, and the rest of the range is read to its end and thrown away: to break off
// would cost the connection that holds the snapshot.
func (p *Plan) write(ctx context.Context, to *sql.Conn, j job, statements <-chan []byte, free chan<- []byte) (warned bool, err error) {
	begin := []string{"START TRANSACTION"}
	if j.table.Versioned {
		begin = []string{"SET SESSION system_versioning_insert_history=1", begin[0]}
	}
	if err := node.Exec(ctx, to, begin...); err != nil {
		return false, err
	}
	var lost error
	for s := range statements {
		if lost != nil {
			free <- s
			continue
		}
		if err := p.gate.pass(ctx, len(s), p.MaxBytesPerSecond); err != nil {
			return false, err
		}
		switch _, err := to.ExecContext(ctx, string(s)); {
		case node.IsError(err, node.ErrLockWaitTimeout, node.ErrDeadlock):
			lost = err
			free <- s
			continue
		case err != nil:
			return false, err
		}
		var n int
		if err := to.QueryRowContext(ctx, "SELECT @@warning_count").Scan(&n); err != nil {
			return false, err
		}
		warned = warned || n > 0
		p.report(func(pr *Progress) { pr.Bytes += int64(len(s)) })
		free <- s // has room for every buffer
	}
	switch {
	case ctx.Err() != nil: // the reader failed
		return false, ctx.Err()
	case lost != nil:
		return false, errors.Join(lost, node.Exec(ctx, to, "ROLLBACK"))
	}
	return warned, node.Exec(ctx, to, "COMMIT")
}

// value is what the driver gives for one column: nil, int64, uint64, float64,
// float32 or bytes that are valid until the next row.
type value = driver.Value

// eachRow calls f with each row of a query, below database/sql, which would copy.
func eachRow(ctx context.Context, c *sql.Conn, query string, f func([]value) error) error {
	return c.Raw(func(dc any) (err error) {
		q, ok := dc.(driver.QueryerContext)
		if !ok {
			return errors.New("the driver cannot query")
		}
		rows, err := q.QueryContext(ctx, query, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		row := make([]value, len(rows.Columns()))
		for {
			switch err := rows.Next(row); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if err := f(row); err != nil {
				return err
			}
		}
	})
}

// appendTuple appends a row as "(literal,...)".
func appendTuple(dst []byte, t *tabledef.Table, row []value) []byte {
	dst = append(dst, '(')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch v := v.(type) {
		case int64:
			dst = strconv.AppendInt(dst, v, 10)
		case uint64:
			dst = strconv.AppendUint(dst, v, 10)
		case float64:
			dst = strconv.AppendFloat(dst, v, 'e', -1, 64) // -0 stays what it is only with an exponent
		case float32:
			dst = strconv.AppendFloat(dst, float64(v), 'e', -1, 32)
		case []byte:
			dst = t.Columns[i].AppendLiteral(dst, v)
		default:
			dst = append(dst, "NULL"...)
		}
	}
	return append(dst, ')')
}
