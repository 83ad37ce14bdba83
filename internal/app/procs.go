package app

import (
	"context"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The relay makes short system calls and wakes goroutines; spread over more
// processors than it needs, it spends up to a fifth more on waking them. So it
// begins with one, and takes more as the load asks for them.

// procs decides how many processors the process uses. It is pure.
type procs struct {
	now, most int
	busyFor   time.Duration // how long the load has been high, in a row
	idleFor   time.Duration // how long it would have fitted into one less
}

const (
	procsTick  = time.Second
	procsRaise = 2 * time.Second
	procsLower = 10 * time.Second
)

// step takes the processor time used in the last tick, and returns how many
// processors to use.
func (p *procs) step(used, tick time.Duration) int {
	load := float64(used) / float64(tick)
	switch {
	case load > 0.7*float64(p.now):
		p.busyFor, p.idleFor = p.busyFor+tick, 0
	case load < 0.5*float64(p.now-1):
		p.busyFor, p.idleFor = 0, p.idleFor+tick
	default:
		p.busyFor, p.idleFor = 0, 0
	}
	switch {
	case p.busyFor >= procsRaise && p.now < p.most:
		p.now++
		p.busyFor = 0
	case p.idleFor >= procsLower && p.now > 1:
		p.now--
		p.idleFor = 0
	}
	return p.now
}

// adaptProcs applies procs until ctx ends. An explicit GOMAXPROCS wins.
func (a *App) adaptProcs(ctx context.Context) error {
	if os.Getenv("GOMAXPROCS") != "" || a.opts.FixedProcs {
		return nil
	}
	p := procs{now: 1, most: runtime.GOMAXPROCS(0)}
	defer runtime.GOMAXPROCS(p.most)
	runtime.GOMAXPROCS(1)
	tick := time.NewTicker(procsTick)
	defer tick.Stop()
	last, at := cpuTime(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		used, now := cpuTime(), time.Now()
		before := p.now
		if n := p.step(used-last, now.Sub(at)); n != before {
			runtime.GOMAXPROCS(n)
			a.log.Debug("processors in use", "n", n)
		}
		last, at = used, now
	}
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
