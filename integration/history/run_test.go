package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// run is many sessions over one cluster.
type run struct {
	t         *testing.T
	f         *fixture
	seed      uint64
	began     time.Time
	clients   []*client
	reads     atomic.Int64
	connected atomic.Int64 // connections made
	writes    atomic.Int64
	next      atomic.Int64 // session number
	board     board

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards failures
	failures []string
}

func (r *run) now() time.Duration { return time.Since(r.began) }

func (r *run) newSession() int { return int(r.next.Add(1)) }

// failed notes what a client was told in place of an answer.
func (r *run) failed(c *client, what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf("at %v session %d (%s) %s: %v", r.now().Round(time.Millisecond), c.session, c.level, what, err))
}

// begin opens n sessions, their roles by turns, and lets `active` of them at a
// time work in bursts: all are connected, and each is quick while it works.
func begin(t *testing.T, f *fixture, s uint64, roles []role, n, active int) *run {
	t.Helper()
	r := &run{t: t, f: f, seed: s, began: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	idle := make(chan *client, n)
	for i := range n {
		c := &client{role: roles[i%len(roles)], run: r, session: r.newSession(), r: rand.New(rand.NewPCG(s, uint64(i+1)))}
		r.clients = append(r.clients, c)
		idle <- c
	}
	for range active {
		r.wg.Go(func() {
			for ctx.Err() == nil {
				c := <-idle
				c.burst(ctx)
				idle <- c
			}
		})
	}
	t.Cleanup(r.end)
	return r
}

// end stops the sessions.
func (r *run) end() {
	r.cancel()
	r.wg.Wait()
	for _, c := range r.clients {
		c.close()
	}
}

// more waits until the sessions have read n times more.
func (r *run) more(n int) {
	r.t.Helper()
	for until := r.reads.Load() + int64(n); r.reads.Load() < until; {
		from := r.reads.Load()
		cluster.Eventually(r.t, "the sessions go on", func() bool { return r.reads.Load() > from })
	}
}

// opened waits until each session is connected.
func (r *run) opened() {
	r.t.Helper()
	for r.connected.Load() < int64(len(r.clients)) {
		r.more(1)
	}
	r.t.Logf("%d sessions are open after %v", len(r.clients), r.now().Round(time.Millisecond))
}

// turns lets every fault happen once, in random order, to a follower by chance.
func (r *run) turns(rnd *rand.Rand, reads int) {
	r.t.Helper()
	for _, i := range rnd.Perm(len(faults)) {
		n := r.f.Followers()[rnd.IntN(len(r.f.Followers()))]
		from, at := r.reads.Load(), time.Now()
		end := faults[i].begin(r.t, r.f, n)
		r.more(reads)
		end()
		r.more(reads / 2)
		r.t.Logf("%s %s: %d reads in %v", n.Name(), faults[i].name, r.reads.Load()-from, time.Since(at).Round(time.Millisecond))
	}
}

// history is all that was recorded; the sessions must have ended.
func (r *run) history() []Op {
	var ops []Op
	for _, c := range r.clients {
		ops = append(ops, c.ops...)
	}
	return ops
}

// onFollowers is the share of a level's reads that followers served.
func onFollowers(ops []Op, l Level) float64 {
	all, there := 0, 0
	for _, op := range ops {
		if op.Kind == Read && op.Level == l && !op.Failed {
			all++
			if op.Node != leader {
				there++
			}
		}
	}
	return float64(there) / float64(max(1, all))
}

// tell logs what happened, and fails the test for every promise that was broken
// and for every answer that a client did not get.
func (r *run) tell(ops []Op) *Report {
	r.t.Helper()
	at := time.Now()
	report := Check(keys, ops)
	r.t.Logf("%d clients, %d sessions, %d writes; checked in %v:\n%s", len(r.clients), r.next.Load(), r.writes.Load(), time.Since(at).Round(time.Millisecond), report)
	for l := range levels {
		if report.Reads[l] > 0 {
			r.t.Logf("%s: followers served %.1f%% of the reads", l, 100*onFollowers(ops, l))
		}
	}
	for _, v := range report.Broken {
		r.t.Error(v)
	}
	for i, text := range r.failures {
		if i == 10 {
			r.t.Errorf("and %d more errors", len(r.failures)-i)
			break
		}
		r.t.Error(text)
	}
	return report
}

// linearizable checks the strong reads, key by key.
func (r *run) linearizable(ops []Op) {
	r.t.Helper()
	at := time.Now()
	broken, undecided, reads := Linearizable(keys, ops, time.Minute)
	r.t.Logf("strong: %d reads of single keys, checked by Porcupine in %v", reads, time.Since(at).Round(time.Millisecond))
	if len(broken) > 0 || len(undecided) > 0 || reads == 0 {
		r.t.Errorf("strong: keys that are not linearizable: %v; undecided: %v; %d reads", broken, undecided, reads)
	}
}

// board is where sessions leave tokens for each other.
type board struct {
	mu     sync.Mutex // guards both
	ids    int
	tokens []token // the last ones
}

type token struct {
	id   int
	text string
}

// post keeps a token and returns its id.
func (b *board) post(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids++
	b.tokens = append(b.tokens, token{b.ids, text})
	if len(b.tokens) > 32 {
		b.tokens = slices.Delete(b.tokens, 0, 1)
	}
	return b.ids
}

// pick is one of the last tokens.
func (b *board) pick(r *rand.Rand) (token, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.tokens) == 0 {
		return token{}, false
	}
	return b.tokens[r.IntN(len(b.tokens))], true
}
