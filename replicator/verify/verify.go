package verify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// Options say what to compare, and how gently.
type Options struct {
	Leader    *node.Server
	Followers []*node.Server

	ChunkRows uint64        // rows of a range, about; 0: 20,000
	Pause     time.Duration // after each range, so that it can run all the time; 0: none
	LagTime   time.Duration // for a follower to reach the leader's position; 0: 1 min
	LockTime  time.Duration // for which rows that seem to differ are locked on the leader at most; 0: 5 s

	Progress func(Progress) // after each range; may be nil
}

// Progress is how far a verification is.
type Progress struct {
	Table              string
	TablesDone, Tables int
	Ranges             int    // compared
	Rows               uint64 // of the leader, compared
	Differences        int
}

// Kind is how a row differs.
type Kind string

// Kinds of differences.
const (
	Missing Kind = "missing" // the leader has it, the follower does not
	Extra   Kind = "extra"   // the follower has it, the leader does not
	Changed Kind = "changed" // both have it, with other values
	Schema  Kind = "schema"  // the table differs in its structure, or is on one side only
	Unknown Kind = "unknown" // it could not be proved in the time that a lock may last
)

// Difference is one row of one follower that is not as on the leader.
type Difference struct {
	Follower string
	Table    string
	Key      []string // values of KeyNames; empty for tables without a primary key
	KeyNames []string
	Kind     Kind
	Detail   string // for people
}

func (d Difference) String() string {
	key := make([]string, len(d.Key))
	for i := range d.Key {
		key[i] = fmt.Sprintf("%s=%q", d.KeyNames[i], d.Key[i])
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %s: %s %s %s", d.Follower, d.Table, d.Kind, strings.Join(key, " "), d.Detail))
}

// Result is what was found.
type Result struct {
	Tables      int
	Ranges      int
	Rows        uint64
	Differences []Difference
}

// maxDifferences bounds what is reported per table and follower.
const maxDifferences = 1000

// Run compares all tables once. It returns an error where it could not compare;
// differences are no error.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.ChunkRows == 0 {
		o.ChunkRows = 20_000
	}
	if o.LagTime == 0 {
		o.LagTime = time.Minute
	}
	if o.LockTime == 0 {
		o.LockTime = 5 * time.Second
	}
	r := &run{Options: o, result: &Result{}}
	leader, err := session(ctx, o.Leader)
	if err != nil {
		return nil, err
	}
	defer mysqlconn.Discard(leader)
	r.leader = leader
	for _, f := range o.Followers {
		c, err := session(ctx, f)
		if err != nil {
			return nil, err
		}
		defer mysqlconn.Discard(c)
		r.followers = append(r.followers, c)
	}
	tables, err := tabledef.Read(ctx, o.Leader, leader)
	if err != nil {
		return nil, err
	}
	r.result.Tables = len(tables)
	if err := r.schemas(ctx, tables); err != nil {
		return nil, err
	}
	for i, t := range tables {
		if err := r.table(ctx, t, i); err != nil {
			return nil, fmt.Errorf("verify %s: %w", t, err)
		}
	}
	return r.result, nil
}

type run struct {
	Options
	leader    *sql.Conn
	followers []*sql.Conn
	skip      map[string]bool // follower + table that cannot be compared by rows
	result    *Result
}

func session(ctx context.Context, s *node.Server) (*sql.Conn, error) {
	c, err := s.DB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.Name, err)
	}
	statements := []string{
		"SET NAMES binary", "SET character_set_results=NULL", "SET SESSION time_zone='+00:00'", "SET SESSION sql_mode='ALLOW_INVALID_DATES'",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
	}
	if err := node.Exec(ctx, c, statements...); err != nil {
		mysqlconn.Discard(c)
		return nil, err
	}
	return c, nil
}

func (r *run) add(d ...Difference) { r.result.Differences = append(r.result.Differences, d...) }

// schemas compares which tables there are and their columns, after the followers
// have applied what the leader had.
func (r *run) schemas(ctx context.Context, tables []*tabledef.Table) error {
	r.skip = make(map[string]bool)
	if err := r.reach(ctx); err != nil {
		return err
	}
	for i, f := range r.Followers {
		theirs, err := tabledef.Read(ctx, f, r.followers[i])
		if err != nil {
			return err
		}
		have := make(map[string]*tabledef.Table)
		for _, t := range theirs {
			have[t.String()] = t
		}
		for _, t := range tables {
			other := have[t.String()]
			delete(have, t.String())
			detail := ""
			switch {
			case other == nil:
				detail = "is not on the follower"
			case !slices.Equal(t.Columns, other.Columns):
				detail = "has other columns on the follower"
			case !slices.Equal(t.Key, other.Key):
				detail = "has another primary key on the follower"
			default:
				continue
			}
			r.skip[f.Name+" "+t.String()] = true
			r.add(Difference{Follower: f.Name, Table: t.String(), Kind: Schema, Detail: detail})
		}
		for _, name := range slices.Sorted(maps.Keys(have)) {
			r.add(Difference{Follower: f.Name, Table: name, Kind: Schema, Detail: "is on the follower only"})
		}
	}
	return nil
}

// reach waits until all followers have applied what the leader has written by now.
func (r *run) reach(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, f := range r.Followers {
		g.Go(func() error { return r.reachOne(ctx, f, r.LagTime) })
	}
	return g.Wait()
}

func (r *run) reachOne(ctx context.Context, f *node.Server, within time.Duration) error {
	pos, err := r.Leader.Written(ctx, r.Leader.DB)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return f.WaitApplied(ctx, pos)
}

func (r *run) table(ctx context.Context, t *tabledef.Table, done int) error {
	ranges, err := t.Split(ctx, r.leader, r.ChunkRows)
	if err != nil {
		return err
	}
	for _, rng := range ranges {
		rows, err := r.compare(ctx, t, rng)
		if err != nil {
			return err
		}
		r.result.Ranges++
		r.result.Rows += rows
		if r.Progress != nil {
			r.Progress(Progress{
				Table: t.String(), TablesDone: done, Tables: r.result.Tables, Ranges: r.result.Ranges,
				Rows: r.result.Rows, Differences: len(r.result.Differences),
			})
		}
		if r.Pause > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(r.Pause):
			}
		}
	}
	return nil
}

// compare compares one range on all followers, and returns how many rows it has.
func (r *run) compare(ctx context.Context, t *tabledef.Table, rng tabledef.Range) (uint64, error) {
	want, err := t.Sum(ctx, r.leader, rng)
	if err != nil {
		return 0, err
	}
	if err := r.reach(ctx); err != nil {
		return 0, err
	}
	found := make([][]Difference, len(r.Followers))
	g, gctx := errgroup.WithContext(ctx)
	for i, f := range r.Followers {
		if r.skip[f.Name+" "+t.String()] {
			continue
		}
		g.Go(func() error {
			got, err := t.Sum(gctx, r.followers[i], rng)
			if err != nil || got == want {
				return err
			}
			found[i], err = r.inspect(gctx, t, rng, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	for _, d := range found {
		r.add(d...)
	}
	return want.Rows, nil
}

// inspect finds the rows of a range that differ on one follower.
func (r *run) inspect(ctx context.Context, t *tabledef.Table, rng tabledef.Range, i int) ([]Difference, error) {
	own, err := session(ctx, r.Leader) // several followers may be looked at together
	if err != nil {
		return nil, err
	}
	defer mysqlconn.Discard(own)
	a, err := t.Hashes(ctx, own, t.Where(rng), "")
	if err != nil {
		return nil, err
	}
	if err := r.reachOne(ctx, r.Followers[i], r.LagTime); err != nil {
		return nil, err
	}
	b, err := t.Hashes(ctx, r.followers[i], t.Where(rng), "")
	if err != nil {
		return nil, err
	}
	var suspects []string
	for key := range union(a, b) {
		if !maps.Equal(a[key], b[key]) {
			suspects = append(suspects, key)
		}
	}
	slices.Sort(suspects)
	var out []Difference
	for _, key := range suspects {
		d, err := r.prove(ctx, own, t, key, i)
		if err != nil {
			return nil, err
		}
		if out = append(out, d...); len(out) >= maxDifferences {
			return out[:maxDifferences], nil
		}
	}
	return out, nil
}

func union(a, b map[string]map[string]int) map[string]bool {
	out := make(map[string]bool, len(a))
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// prove compares the rows of one key at one position: locked on the leader, so
// that all that was ever done to them is behind the position that is then asked.
func (r *run) prove(ctx context.Context, own *sql.Conn, t *tabledef.Table, key string, i int) ([]Difference, error) {
	f := r.Followers[i]
	where := ""
	d := Difference{Follower: f.Name, Table: t.String()}
	if len(t.Key) > 0 {
		d.Key = tabledef.SplitKey(key)
		where = t.WhereKey(d.Key)
		for _, c := range t.Key {
			d.KeyNames = append(d.KeyNames, c.Name)
		}
	}
	for range 3 {
		a, b, err := r.bothLocked(ctx, own, t, where, i)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil || node.IsError(err, node.ErrLockWaitTimeout, node.ErrDeadlock) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return describe(d, a[key], b[key]), nil
	}
	d.Kind, d.Detail = Unknown, fmt.Sprintf("seems to differ; the row could not be held still for long enough (%s)", r.LockTime)
	return []Difference{d}, nil
}

func (r *run) bothLocked(ctx context.Context, own *sql.Conn, t *tabledef.Table, where string, i int) (a, b map[string]map[string]int, err error) {
	lctx, cancel := context.WithTimeout(ctx, r.LockTime)
	defer cancel()
	if err := node.Exec(ctx, own, "SET SESSION innodb_lock_wait_timeout=1", "START TRANSACTION"); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, node.Exec(ctx, own, "ROLLBACK")) }()
	// The statement is bounded by the lock's own timeout: a context's end would cost the connection.
	if a, err = t.Hashes(ctx, own, where, " LOCK IN SHARE MODE"); err != nil {
		return nil, nil, err
	}
	if err := r.reachOne(lctx, r.Followers[i], r.LockTime); err != nil {
		return nil, nil, err
	}
	b, err = t.Hashes(ctx, r.followers[i], where, "")
	return a, b, err
}

// describe tells how the rows of one key differ, given their hashes.
func describe(d Difference, leader, follower map[string]int) []Difference {
	if maps.Equal(leader, follower) {
		return nil
	}
	if d.Key == nil {
		var out []Difference
		for _, hash := range slices.Sorted(maps.Keys(counts(leader, follower))) {
			n := leader[hash] - follower[hash]
			one := d
			switch {
			case n > 0:
				one.Kind = Missing
			case n < 0:
				one.Kind, n = Extra, -n
			default:
				continue
			}
			one.Detail = fmt.Sprintf("%d times the row whose SHA-256 is %s (the table has no primary key)", n, hash)
			out = append(out, one)
		}
		return out
	}
	switch {
	case len(follower) == 0:
		d.Kind = Missing
	case len(leader) == 0:
		d.Kind = Extra
	default:
		d.Kind = Changed
	}
	return []Difference{d}
}

func counts(a, b map[string]int) map[string]int {
	out := maps.Clone(a)
	if out == nil {
		out = make(map[string]int)
	}
	maps.Copy(out, b)
	return out
}
