package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// connector makes connections of the application's account, without a pool and
// without statements of the driver's own.
func connector(addr string) (driver.Connector, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd = sandbox.AppAccount.User, sandbox.AppAccount.Password
	c.Net, c.Addr, c.DBName = "tcp", addr, sandbox.AppSchema
	c.Timeout = 30 * time.Second
	c.Logger = &mysql.NopLogger{}
	return mysql.NewConnector(c)
}

// query runs a statement in the text protocol and reads its rows; size is the
// sum of its values' lengths.
func query(ctx context.Context, c driver.Conn, text string) (size int, err error) {
	err = eachRow(ctx, c, text, func(values []driver.Value) {
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				size += len(b)
			}
		}
	})
	return size, err
}

// text1 runs a statement and returns the first value of its last row as text.
func text1(ctx context.Context, c driver.Conn, text string) (value string, err error) {
	err = eachRow(ctx, c, text, func(values []driver.Value) {
		if b, ok := values[0].([]byte); ok {
			value = string(b)
		} else {
			value = fmt.Sprint(values[0])
		}
	})
	return value, err
}

// eachRow runs a statement and calls row with each of its rows; the values are the driver's.
func eachRow(ctx context.Context, c driver.Conn, text string, row func([]driver.Value)) error {
	q, ok := c.(driver.QueryerContext)
	if !ok {
		return errors.New("the driver runs no queries")
	}
	rows, err := q.QueryContext(ctx, text, nil)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		row(values)
	}
}

func pointSelect(rows int) string {
	return fmt.Sprintf("SELECT c FROM sbtest1 WHERE id=%d", 1+rand.IntN(rows))
}

// connectRun is clients that connect, run one query and disconnect, again and again.
type connectRun struct{ clients int }

func (r connectRun) run(ctx context.Context, b *bench, addr string, slice time.Duration, connected func()) (load, error) {
	dial, err := connector(addr)
	if err != nil {
		return load{}, err
	}
	cycle := func() error {
		c, err := dial.Connect(ctx)
		if err != nil {
			return err
		}
		_, err = query(ctx, c, pointSelect(b.options.tableSize))
		return errors.Join(err, c.Close())
	}
	connected() // the connections are what is measured
	begin := time.Now()
	took := make([][]time.Duration, r.clients)
	var g errgroup.Group
	for i := range took {
		g.Go(func() error {
			for time.Since(begin) < slice {
				t := time.Now()
				if err := cycle(); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(t))
			}
			return nil
		})
	}
	err = g.Wait()
	all := slices.Concat(took...)
	return load{units: float64(len(all)), elapsed: time.Since(begin), took: all}, err
}

// bulkRun reads the 10 MB of the table bulk on one connection, again and again.
type bulkRun struct{}

func (bulkRun) run(ctx context.Context, _ *bench, addr string, slice time.Duration, connected func()) (load, error) {
	dial, err := connector(addr)
	if err != nil {
		return load{}, err
	}
	c, err := dial.Connect(ctx)
	if err != nil {
		return load{}, err
	}
	connected()
	begin := time.Now()
	size := 0
	var took []time.Duration
	for time.Since(begin) < slice {
		t := time.Now()
		n, err := query(ctx, c, "SELECT payload FROM bulk")
		if err != nil {
			return load{}, errors.Join(err, c.Close())
		}
		size += n
		took = append(took, time.Since(t))
	}
	l := load{units: float64(size) / 1e6, elapsed: time.Since(begin), took: took}
	return l, c.Close()
}

// connectMany opens n sessions and runs each statement once in each of them.
func connectMany(ctx context.Context, addr string, n int, statements func(i int) []string) ([]driver.Conn, error) {
	dial, err := connector(addr)
	if err != nil {
		return nil, err
	}
	conns := make([]driver.Conn, n)
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for range 16 {
		g.Go(func() error {
			for gctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				c, err := dial.Connect(gctx)
				if err != nil {
					return fmt.Errorf("session %d: %w", i, err)
				}
				conns[i] = c
				for _, text := range statements(i) {
					if _, err := query(gctx, c, text); err != nil {
						return fmt.Errorf("session %d: %w", i, err)
					}
				}
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []driver.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}
