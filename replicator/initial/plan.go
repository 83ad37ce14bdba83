package initial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// Plan says what to copy where. Leader and Follower are needed; the pool of the
// leader needs Workers+4 connections, the follower's Workers+3. Use [Plan.Run] once.
type Plan struct {
	Leader, Follower *node.Server

	// Reuse compares what the follower has with the leader by checksum and copies
	// only what differs. A copy of the same leader that was cut short is
	// always reused.
	Reuse bool
	// Overwrite allows a follower that has data of its own; without it Run returns
	// ErrNotEmpty.
	Overwrite bool

	Workers   int    // connections on each side; 0: 4
	ChunkRows uint64 // rows of a range, about; 0: 100,000

	MaxBytesPerSecond int64 // of row data, over all workers; 0: no limit
	MaxLeaderThreads  int   // pause while the leader runs more statements than that (Threads_running); 0: no limit

	LockTimeout  time.Duration // for the commits of the leader to stand still; 0: 2 s
	LockAttempts int           // 0: 30
	LockPause    time.Duration // between attempts; 0: 5 s

	// Then is called when the follower stands at the copy's position, while its mark is
	// still there; may be nil.
	Then func(ctx context.Context) error

	Progress func(Progress) // called about once a second, and at the end, never concurrently; may be nil
	Logger   *slog.Logger   // may be nil

	progress progressState
	gate     gate
}

// Result is what was done.
type Result struct {
	Position     gtid.Set // where the follower stands
	Tables       int
	Rows         uint64 // copied
	Bytes        int64  // copied
	Ranges       int
	RangesReused int      // found equal, and not copied
	Warnings     []string // what could not be copied and does not hold rows, such as a view that is invalid on the leader too
}

// Errors of Run that callers tell apart.
var (
	// ErrNotEmpty says that the follower has data and that neither Overwrite nor
	// Reuse was set.
	ErrNotEmpty = errors.New("the follower has data of its own")
	// ErrChanged says that the leader's tables changed while they were copied.
	// Running the plan anew copies what is missing.
	ErrChanged = errors.New("a table of the leader was changed or dropped during the copy")
	// ErrUnsupported says that something cannot be copied exactly.
	ErrUnsupported = errors.New("cannot be copied exactly")
)

func (p *Plan) setDefaults() error {
	if p.Leader == nil || p.Follower == nil {
		return errors.New("a copy needs a leader and a follower")
	}
	if p.Leader.Flavor != p.Follower.Flavor {
		return fmt.Errorf("%w: the leader is %s, the follower %s", ErrUnsupported, p.Leader.Flavor, p.Follower.Flavor)
	}
	if p.Workers == 0 {
		p.Workers = 4
	}
	if p.ChunkRows == 0 {
		p.ChunkRows = 100_000
	}
	if p.LockTimeout == 0 {
		p.LockTimeout = 2 * time.Second
	}
	if p.LockAttempts == 0 {
		p.LockAttempts = 30
	}
	if p.LockPause == 0 {
		p.LockPause = 5 * time.Second
	}
	return nil
}

func (p *Plan) log() *slog.Logger {
	if p.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Logger
}

// Run copies. It returns when the follower stands at the result's position,
// replicating from nobody, and read-only. After an error the follower is
// unusable until a later run has succeeded; its mark says so.
func (p *Plan) Run(ctx context.Context) (*Result, error) {
	if err := p.setDefaults(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	wg.Go(func() { p.watch(ctx) })

	resumed, err := p.seize(ctx)
	if err != nil {
		return nil, err
	}
	p.phase("snapshot")
	c, err := p.capture(ctx)
	if err != nil {
		return nil, err
	}
	defer c.snapshot.close()
	res := &Result{Position: c.snapshot.Position, Tables: len(c.tables)}
	p.log().Info("snapshot taken", "position", res.Position, "tables", res.Tables)
	if err := p.restore(ctx, c, p.Reuse || resumed, res); err != nil {
		if node.IsError(err, node.ErrTableDefChanged, node.ErrNoSuchTable) {
			err = errors.Join(ErrChanged, err)
		}
		return nil, err
	}
	p.phase("position")
	if err := p.finish(ctx, res.Position, c.snapshot.Past); err != nil {
		return nil, err
	}
	p.phase("done")
	p.emit()
	return res, nil
}

// captured is the leader at the moment of the snapshot.
type captured struct {
	snapshot  *snapshot
	tables    []*tabledef.Table
	structure *structure
	system    []systemTable
}

// restore makes the follower what was captured. What acts on rows comes after them.
func (p *Plan) restore(ctx context.Context, c *captured, reuse bool, res *Result) error {
	p.phase("structure")
	if err := p.prepareSchemas(ctx, c.structure, reuse); err != nil {
		return err
	}
	p.phase("rows")
	if err := p.copyRows(ctx, c, reuse, res); err != nil {
		return err
	}
	p.phase("routines")
	if err := p.createPrograms(ctx, c.structure, res); err != nil {
		return err
	}
	p.phase("accounts")
	return p.restoreSystem(ctx, c.system)
}

// capture reads the structure before and after the snapshot: where both are the
// same, and no DDL was begun in between, it is the snapshot's too.
func (p *Plan) capture(ctx context.Context) (*captured, error) {
	for attempt := range 5 {
		count, err := p.ddlCount(ctx)
		if err != nil {
			return nil, err
		}
		before, err := p.readStructure(ctx)
		if err != nil {
			return nil, err
		}
		c := &captured{}
		c.snapshot, err = p.takeSnapshot(ctx, p.Workers+1, func(ctx context.Context, lock *sql.Conn) error {
			if before.sequences, err = p.readSequences(ctx, lock, before); err != nil {
				return err
			}
			c.system, err = p.readSystem(ctx, lock)
			return err
		})
		if err != nil {
			return nil, err
		}
		after, err := p.readStructure(ctx)
		if err == nil {
			c.tables, err = tabledef.Read(ctx, p.Leader, c.snapshot.conns[0])
		}
		var again int64
		if err == nil {
			again, err = p.ddlCount(ctx)
		}
		if err == nil && again == count && before.equal(after) {
			c.structure = before
			return c, p.checkTables(c)
		}
		c.snapshot.close()
		if err != nil {
			return nil, err
		}
		p.log().Info("the leader's structure changed around the snapshot, taking another", "attempt", attempt+1)
	}
	return nil, fmt.Errorf("%w: its structure changed around each of five snapshots", ErrChanged)
}

func (p *Plan) checkTables(c *captured) error {
	for _, t := range c.tables {
		if !t.Transactional {
			c.snapshot.close()
			return fmt.Errorf("%w: table %s is of the engine %s, which has no snapshots; convert it to InnoDB, or copy with the leader stopped",
				ErrUnsupported, t, t.Engine)
		}
	}
	return nil
}
