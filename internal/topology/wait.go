package topology

import (
	"container/heap"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Wait is somebody's waiting for a follower to have what must be seen.
type Wait struct {
	// Reached is closed when a published position of the follower contains it.
	Reached chan struct{}

	store *Store
	node  string
	floor gtid.Set
	since time.Time // when the floor rose
	mark  gtid.Mark // what the follower lacks of it; the key in its heap
	done  bool      // no session waits by it
	at    int       // index in that heap; -1: in none
}

// line is all that wait for one follower. Each waits for one transaction that the
// follower lacks; only those whose transaction has come are looked at when a
// position is published.
type line struct {
	waiting int // sessions
	heaps   map[gtid.Source]*waits
	// sample is the one wait by which the follower's delay is learned. It stays when
	// its session gave up.
	sample *Wait
	wanted chan struct{} // holds a token where somebody began to wait
}

// waits is a heap by the number that is waited for.
type waits []*Wait

func (h waits) Len() int           { return len(h) }
func (h waits) Less(i, j int) bool { return h[i].mark.Number < h[j].mark.Number }
func (h waits) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *waits) Push(x any) {
	w := x.(*Wait)
	w.at = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *waits) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.at = -1
	return w
}

func (st *Store) line(node string) *line {
	l := st.lines[node]
	if l == nil {
		l = &line{heaps: make(map[gtid.Source]*waits), wanted: make(chan struct{}, 1)}
		st.lines[node] = l
	}
	return l
}

// Await waits for a follower to have the floor, which rose at since. The caller ends
// it with Done, whether it was reached or not.
func (st *Store) Await(node string, floor gtid.Set, since time.Time) *Wait {
	w := &Wait{Reached: make(chan struct{}), store: st, node: node, floor: floor, since: since, at: -1}
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	l := st.line(node)
	l.waiting++
	st.enqueue(l, w)
	return w
}

// Note has the follower's delay learned from a floor that nobody waits for there.
func (st *Store) Note(node string, floor gtid.Set, since time.Time) {
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	if l := st.line(node); l.sample == nil {
		st.enqueue(l, &Wait{Reached: make(chan struct{}), store: st, node: node, floor: floor, since: since, done: true, at: -1})
	}
}

// enqueue puts a wait in its heap, unless the present position has it already.
func (st *Store) enqueue(l *line, w *Wait) {
	n := st.current.Load().Node(w.node)
	if n == nil || !l.place(w, n.Position) {
		close(w.Reached) // there is nothing to wait for, or nobody
		return
	}
	if l.sample == nil && n.Load != nil {
		l.sample = w
		n.Load.Lacking.Store(w.since.UnixNano())
	}
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// place puts a wait where its next missing transaction is waited for. It returns
// false where none is missing.
func (l *line) place(w *Wait, position gtid.Set) bool {
	m, missing := position.Missing(w.floor)
	if !missing {
		return false
	}
	w.mark = m
	h := l.heaps[m.Source]
	if h == nil {
		h = new(waits)
		l.heaps[m.Source] = h
	}
	heap.Push(h, w)
	return true
}

// Done ends a wait.
func (w *Wait) Done() {
	st := w.store
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	l := st.line(w.node)
	l.waiting--
	w.done = true
	if w != l.sample {
		l.remove(w)
	}
}

func (l *line) remove(w *Wait) {
	if w.at < 0 {
		return
	}
	h := l.heaps[w.mark.Source]
	heap.Remove(h, w.at)
	if h.Len() == 0 {
		delete(l.heaps, w.mark.Source)
	}
}

// Awaited returns a channel that gets a token when somebody begins to wait for the
// follower.
func (st *Store) Awaited(node string) <-chan struct{} {
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	return st.line(node).wanted
}

// Waiting says how many sessions wait for the follower, and since when the floor
// from which its delay is being learned has been there; zero: none.
func (st *Store) Waiting(node string) (sessions int, learning time.Time) {
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	l := st.line(node)
	if l.sample != nil {
		learning = l.sample.since
	}
	return l.waiting, learning
}

// wake ends the waits whose floor a snapshot reached. What is learned of delays under
// one leader does not hold for the next.
func (st *Store) wake(s *Snapshot, newEpoch bool) {
	st.waitMu.Lock()
	defer st.waitMu.Unlock()
	for name, l := range st.lines {
		n := s.Node(name)
		if n == nil {
			l.forget(nil)
			for _, h := range l.heaps {
				for h.Len() > 0 {
					close(heap.Pop(h).(*Wait).Reached)
				}
			}
			continue
		}
		l.advance(n, s.At)
		if l.sample != nil && (newEpoch || lost(l.sample, n, s.At)) {
			l.forget(n)
		}
	}
}

// lost says whether a floor will never be reached: a follower that has had all of
// the leader's for so long never gets it.
func lost(w *Wait, n *Node, at time.Time) bool {
	const long = 10 * time.Second
	return !at.IsZero() && n.Lag.Known && n.Lag.Behind == 0 && n.Lag.Tx == 0 && at.Sub(w.since) > long
}

// forget drops the sample of a line; a session that waits by it goes on.
func (l *line) forget(n *Node) {
	if w := l.sample; w != nil {
		l.sample = nil
		if w.done {
			l.remove(w)
		}
	}
	if n != nil && n.Load != nil {
		n.Load.Lacking.Store(0)
	}
}

// advance wakes those whose floor the follower has reached.
func (l *line) advance(n *Node, at time.Time) {
	for source, h := range l.heaps {
		highest := n.Position.Highest(source)
		var again []*Wait
		for h.Len() > 0 && (*h)[0].mark.Number <= highest {
			w := heap.Pop(h).(*Wait)
			if !n.Position.Contains(w.floor) {
				again = append(again, w)
				continue
			}
			close(w.Reached)
			if w == l.sample {
				l.sample = nil
				l.learn(n, at.Sub(w.since))
			}
		}
		for _, w := range again {
			l.place(w, n.Position)
		}
		if h.Len() == 0 {
			delete(l.heaps, source)
		}
	}
}

// learn takes a delay of the follower that was seen into what is expected of it.
func (l *line) learn(n *Node, seen time.Duration) {
	if n.Load == nil {
		return
	}
	n.Load.Lacking.Store(0)
	if seen < 0 {
		return
	}
	const most = time.Minute // or it would take long to believe in a follower again
	n.Load.Delay.Store((n.Load.Delay.Load() + int64(min(seen, most))) / 2)
}

// Forecast is in how long the follower is expected to have a floor that rose at
// risen, now. What it expects is the delay that was learned, the lag that was
// measured, and for how long it has lacked what it lacks.
func (n *Node) Forecast(risen, now time.Time) time.Duration {
	var delay time.Duration
	if n.Lag.Known {
		delay = n.Lag.Behind
	}
	if n.Load != nil {
		delay = max(delay, time.Duration(n.Load.Delay.Load()))
		if since := n.Load.Lacking.Load(); since != 0 {
			delay = max(delay, now.Sub(time.Unix(0, since)))
		}
	}
	return max(delay-now.Sub(risen), 0)
}
