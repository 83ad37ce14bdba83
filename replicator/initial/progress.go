package initial

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// Progress is how far a copy is.
type Progress struct {
	Phase          string // snapshot, structure, rows, routines, accounts, position, done
	Tables         int
	Ranges         int // of all tables; grows while tables are being divided
	RangesDone     int
	RangesReused   int
	Rows           uint64
	Bytes          int64
	BytesPerSecond float64 // over the last second or so
	Percent        float64 // of the rows, weighed by the tables' estimated sizes
	Waiting        string  // why the copy waits, empty where it does not
}

type progressState struct {
	mu      sync.Mutex // guards all below
	now     Progress
	emitted sync.Mutex // held while the callback runs
	bytes   int64      // at the last emission
	at      time.Time
}

func (p *Plan) report(change func(*Progress)) {
	p.progress.mu.Lock()
	defer p.progress.mu.Unlock()
	change(&p.progress.now)
}

func (p *Plan) phase(name string) {
	p.report(func(pr *Progress) { pr.Phase, pr.Waiting = name, "" })
	p.log().Debug("copy", "phase", name)
}

// emit calls the callback with what is true now.
func (p *Plan) emit() {
	p.progress.emitted.Lock()
	defer p.progress.emitted.Unlock()
	p.progress.mu.Lock()
	now := time.Now()
	if d := now.Sub(p.progress.at).Seconds(); !p.progress.at.IsZero() && d > 0 {
		p.progress.now.BytesPerSecond = float64(p.progress.now.Bytes-p.progress.bytes) / d
	}
	p.progress.bytes, p.progress.at = p.progress.now.Bytes, now
	pr := p.progress.now
	p.progress.mu.Unlock()
	if p.Progress != nil {
		p.Progress(pr)
	}
}

// watch reports every second and closes the gate while the leader is loaded.
func (p *Plan) watch(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer p.gate.set(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if p.MaxLeaderThreads > 0 {
			busy := p.leaderBusy(ctx)
			p.gate.set(busy)
			p.report(func(pr *Progress) {
				pr.Waiting = ""
				if busy {
					pr.Waiting = "the leader is loaded"
				}
			})
		}
		p.emit()
	}
}

// leaderBusy reports whether the leader runs more statements than is allowed; a
// leader that does not answer counts as loaded.
func (p *Plan) leaderBusy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var name, value string
	if err := p.Leader.DB.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_running'").Scan(&name, &value); err != nil {
		return true
	}
	n, err := strconv.Atoi(value)
	return err != nil || n > p.MaxLeaderThreads
}

// gate lets the workers through, or holds them.
type gate struct {
	mu     sync.Mutex // guards all below
	closed chan struct{}

	taken time.Time // when the bytes that were let through will be due
}

func (g *gate) set(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case closed && g.closed == nil:
		g.closed = make(chan struct{})
	case !closed && g.closed != nil:
		close(g.closed)
		g.closed = nil
	}
}

// pass waits until n more bytes may be copied, at most perSecond (0: no limit).
func (g *gate) pass(ctx context.Context, n int, perSecond int64) error {
	g.mu.Lock()
	closed := g.closed
	var wait time.Duration
	if perSecond > 0 {
		now := time.Now()
		if g.taken.Before(now) {
			g.taken = now
		}
		wait = g.taken.Sub(now)
		g.taken = g.taken.Add(time.Duration(float64(n) / float64(perSecond) * float64(time.Second)))
	}
	g.mu.Unlock()
	if closed != nil {
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if wait > 0 {
		return sleep(ctx, wait)
	}
	return nil
}
