package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// How often is sampled and shown.
const (
	screenInterval = time.Second
	plainInterval  = 2 * time.Second
	keepEvents     = 50
)

// show samples the demo and shows it.
type show struct {
	d     *demo
	began time.Time
	ends  time.Time // zero: no end
	tally tally
	prev  sample // the one before the one that view shows
	view  View

	mu     sync.Mutex // guards the two below
	events []Event
	turn   *turn // the latest change of the leader

	gone <-chan struct{} // closed when the demo ends
	work sync.WaitGroup  // what keys and signals have begun at the leader

	// What the keys have done. Only the loop of run touches these.
	stopped *sandbox.Node // its replication was stopped, or its commits
	lock    *sql.Conn     // what keeps it from committing; nil where the servers replicate
	killed  *sandbox.Node // a follower
	busy    bool          // an action is under way
}

func newShow(d *demo) *show {
	s := &show{d: d, began: time.Now()}
	if d.o.Duration > 0 {
		s.ends = s.began.Add(d.o.Duration)
	}
	s.view = View{
		Version: d.server.String(), Address: d.at.MySQL, Client: d.client(), Config: d.config,
	}
	if d.at.Admin != "" {
		s.view.Admin = "http://" + d.at.Admin + "/"
	}
	return s
}

// run shows until ctx ends, which q does by calling quit, or Bellwether does.
func (s *show) run(ctx context.Context, quit func(), ended chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	s.gone = ctx.Done()
	defer s.work.Wait()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { s.onSignals(ctx) })
	wg.Go(func() { s.watch(ctx) })
	s.sample(ctx)
	if out, ok := s.d.o.Out.(*os.File); ok && !s.d.o.Plain && canShow(out) {
		scr, err := openScreen(s.d.o.In, out)
		if err != nil {
			return err
		}
		keys := make(chan byte)
		if scr.in != nil {
			wg.Go(func() { readKeys(ctx, scr.in, keys) })
		}
		err = s.screenLoop(ctx, quit, scr, keys, ended)
		cancel()
		wg.Wait() // nobody reads keys any more
		if closing := scr.close(); err == nil {
			err = closing
		}
		return err
	}
	return s.plainLoop(ctx, ended)
}

// onSignals does at the leader what no key asks for.
func (s *show) onSignals(ctx context.Context) {
	var kill <-chan time.Time
	if s.d.o.KillLeaderAfter > 0 {
		t := time.NewTimer(s.d.o.KillLeaderAfter)
		defer t.Stop()
		kill = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-kill:
			s.work.Go(func() { s.killLeader(ctx) })
		case sig := <-s.d.o.Signals:
			if sig == syscall.SIGUSR2 {
				s.work.Go(func() { s.switchOver(ctx) })
			} else {
				s.work.Go(func() { s.killLeader(ctx) })
			}
		}
	}
}

// screenLoop draws and obeys keys.
func (s *show) screenLoop(ctx context.Context, quit func(), scr *screen, keys <-chan byte, ended chan error) error {
	tick := time.NewTicker(screenInterval)
	defer tick.Stop()
	size, stop := resized()
	defer stop()
	results := make(chan func())
	var actions sync.WaitGroup
	defer actions.Wait()
	for {
		s.fillKeys(scr.in != nil)
		s.fillTimes()
		if err := scr.draw(&s.view); err != nil {
			return fmt.Errorf("draw: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return tooEarly(ended, err)
		case <-tick.C:
			s.sample(ctx)
		case <-size:
		case done := <-results:
			done()
			s.busy = false
		case k := <-keys:
			switch k {
			case 'q', 'Q', 3, 4: // 3 is Ctrl-C, 4 is Ctrl-D
				quit()
			case 'h', 'H', '?':
				s.view.Help = !s.view.Help
			case 'l', 'L':
				s.work.Go(func() { s.killLeader(ctx) })
			case 'w', 'W':
				s.work.Go(func() { s.switchOver(ctx) })
			case 's', 'S', 'k', 'K':
				if s.busy {
					continue
				}
				s.busy = true
				do := s.toggleReplication
				if k == 'k' || k == 'K' {
					do = s.toggleNode
				}
				actions.Go(func() {
					done := do(ctx)
					select {
					case results <- done:
					case <-ctx.Done():
					}
				})
			}
		}
	}
}

// plainLoop prints lines of text.
func (s *show) plainLoop(ctx context.Context, ended chan error) error {
	o := s.d.o.Out
	fmt.Fprintf(o, "\nconnect  %s\n", s.view.Client)
	if s.view.Admin != "" {
		fmt.Fprintf(o, "watch    %s\n", s.view.Admin)
	}
	fmt.Fprintf(o, "change   %s\n\n", s.view.Config)
	tick := time.NewTicker(plainInterval)
	defer tick.Stop()
	shown := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return tooEarly(ended, err)
		case <-tick.C:
		}
		s.sample(ctx)
		if ctx.Err() != nil {
			return nil // what was sampled is not whole
		}
		s.fillTimes()
		for ; shown < len(s.view.Events); shown++ {
			e := s.view.Events[shown]
			fmt.Fprintf(o, "%s  %s\n", e.At.Format(time.TimeOnly), e.Text)
		}
		fmt.Fprint(o, renderPlain(&s.view))
	}
}

// tooEarly says that Bellwether ended by itself. Whoever waits for it later
// finds it ended, without an error.
func tooEarly(ended chan<- error, err error) error {
	ended <- nil
	if err == nil {
		return errors.New("bellwether ended")
	}
	return fmt.Errorf("bellwether ended: %w", err)
}

// sample reads all counters and measures the view anew.
func (s *show) sample(ctx context.Context) {
	now := sample{
		Nodes:  s.tally.add(countNodes(ctx, s.d.cluster.Nodes())),
		Routes: countRoutes(s.d.app.Registry()),
		Load:   s.d.load.sample(),
		At:     time.Now(),
	}
	s.view.measure(&s.prev, &now, s.d.app.Store().Load())
	s.prev = now
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.Events = append(s.view.Events[:0], s.events...)
}

func (s *show) fillTimes() {
	s.fillTurn()
	now := time.Now()
	s.view.Running = now.Sub(s.began)
	if !s.ends.IsZero() {
		s.view.Left = max(s.ends.Sub(now), 0)
	}
}

func (s *show) fillKeys(readable bool) {
	s.view.Keys = nil
	if !readable {
		return
	}
	first, last := s.followers()
	replication, node := s.stopWord()+last.Name(), "kill "+first.Name()
	if s.stopped != nil {
		replication = s.startWord() + s.stopped.Name()
	}
	if s.killed != nil {
		node = "start " + s.killed.Name()
	}
	if s.busy {
		replication, node = "...", "..."
	}
	s.view.Keys = slices.Concat([]Key{{'q', "quit"}}, s.leaderKeys(), []Key{{'s', replication}, {'k', node}, {'h', "help"}})
}

// followers are the first and the last node that run and do not lead, or any that do
// not where none of them runs.
func (s *show) followers() (first, last *sandbox.Node) {
	leader := s.leader()
	for _, n := range s.d.cluster.Nodes() {
		runs := n.PID() != 0
		if n == leader || first != nil && !runs {
			continue
		}
		if first == nil || first.PID() == 0 {
			first = n
		}
		last = n
	}
	return first, last
}

// toggleReplication stops or starts replication of the last follower. What it
// returns belongs to the loop.
func (s *show) toggleReplication(ctx context.Context) func() {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	flavor := s.d.server.Flavor
	if !s.d.o.Native {
		return s.toggleCommits(ctx)
	}
	n, next, did, do := s.stopped, (*sandbox.Node)(nil), "started", sandbox.StartReplication
	if n == nil {
		_, n = s.followers()
		next, did, do = n, "stopped", sandbox.StopReplication
	}
	s.note("you %s replication on %s", did, n.Name())
	if err := do(ctx, n.DB(), flavor); err != nil {
		s.note("%s: %v", n.Name(), err)
		return func() {}
	}
	return func() { s.stopped = next }
}

// toggleCommits keeps the last follower from committing what the engine applies to it, or
// lets it go on.
func (s *show) toggleCommits(ctx context.Context) func() {
	if n, lock := s.stopped, s.lock; n != nil {
		s.note("you let %s commit again", n.Name())
		_, err := lock.ExecContext(ctx, "UNLOCK TABLES")
		if err = errors.Join(err, lock.Close()); err != nil {
			s.note("%s: %v", n.Name(), err) // it was killed meanwhile, and with it the lock
		}
		return func() { s.stopped, s.lock = nil, nil }
	}
	_, n := s.followers()
	s.note("you keep %s from committing (FLUSH TABLES WITH READ LOCK)", n.Name())
	lock, err := n.DB().Conn(ctx)
	if err == nil {
		_, err = lock.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK")
	}
	if err != nil {
		s.note("%s: %v", n.Name(), err)
		return func() {}
	}
	return func() { s.stopped, s.lock = n, lock }
}

func (s *show) stopWord() string {
	if s.d.o.Native {
		return "stop replication on "
	}
	return "hold "
}

func (s *show) startWord() string {
	if s.d.o.Native {
		return "start replication on "
	}
	return "let go of "
}

// toggleNode kills or starts the first follower.
func (s *show) toggleNode(ctx context.Context) func() {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if n := s.killed; n != nil {
		s.note("you started %s", n.Name())
		if err := n.Start(ctx); err != nil {
			s.note("%v", err)
			return func() {}
		}
		return func() { s.killed = nil }
	}
	n, _ := s.followers()
	s.note("you killed %s", n.Name())
	if err := n.Kill(); err != nil {
		s.note("%v", err)
		return func() {}
	}
	return func() { s.killed = n }
}

func (s *show) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == keepEvents {
		s.events = append(s.events[:0], s.events[keepEvents/2:]...)
	}
	s.events = append(s.events, Event{time.Now(), fmt.Sprintf(format, args...)})
}

// watch notes what changes in the topology.
func (s *show) watch(ctx context.Context) {
	old, changed := s.d.app.Store().Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		var next *topology.Snapshot
		next, changed = s.d.app.Store().Changed()
		for _, text := range changes(old, next) {
			s.note("%s", text)
		}
		old = next
	}
}

// finish samples a last time, when the load has ended, and prints the summary.
func (s *show) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	running := time.Since(s.began)
	s.sample(ctx)
	s.view.Running = running
	fmt.Fprintf(s.d.o.Out, "\n%s", renderSummary(&s.view))
}
