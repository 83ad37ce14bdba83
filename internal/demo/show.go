package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
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

	mu     sync.Mutex // guards events
	events []Event

	// What the keys have done. Only the loop of run touches these.
	stopped bool // replication of the last follower
	killed  bool // the first follower
	busy    bool // an action is under way
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
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
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
	replication, node := "stop replication on "+last.Name(), "kill "+first.Name()
	if s.stopped {
		replication = "start replication on " + last.Name()
	}
	if s.killed {
		node = "start " + first.Name()
	}
	if s.busy {
		replication, node = "...", "..."
	}
	s.view.Keys = []Key{{'q', "quit"}, {'s', replication}, {'k', node}, {'h', "help"}}
}

// followers are those that the keys k and s act on.
func (s *show) followers() (first, last *sandbox.Node) {
	f := s.d.cluster.Followers
	return f[0], f[len(f)-1]
}

// toggleReplication stops or starts replication on the last follower. What it
// returns notes the result.
func (s *show) toggleReplication(ctx context.Context) func() {
	_, n := s.followers()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	flavor := s.d.server.Flavor
	stopped := s.stopped
	var err error
	if stopped {
		s.note("you started replication on %s", n.Name())
		err = sandbox.StartReplication(ctx, n.DB(), flavor)
	} else {
		s.note("you stopped replication on %s", n.Name())
		err = sandbox.StopReplication(ctx, n.DB(), flavor)
	}
	if err != nil {
		s.note("%s: %v", n.Name(), err)
		return func() {}
	}
	return func() { s.stopped = !stopped }
}

// toggleNode kills or starts the first follower, as toggleReplication does.
func (s *show) toggleNode(ctx context.Context) func() {
	n, _ := s.followers()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	killed := s.killed
	var err error
	if killed {
		s.note("you started %s", n.Name())
		err = n.Start(ctx)
	} else {
		s.note("you killed %s", n.Name())
		err = n.Kill()
	}
	if err != nil {
		s.note("%v", err)
		return func() {}
	}
	return func() { s.killed = !killed }
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
