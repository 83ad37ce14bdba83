package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

var (
	shared  = poolKey{shared: true, user: "a"}
	another = poolKey{shared: true, user: "b"}
)

// lentTo makes a connection that counts as open in p and that a new session has.
func lentTo(t *testing.T, p *pool, key poolKey) (*backend, *session) {
	t.Helper()
	b, s := &backend{key: key, load: new(topology.Load), born: time.Now()}, new(session)
	if _, err := p.acquire(t.Context(), &wish{own: true}); err != nil {
		t.Fatal(err)
	}
	p.made(b, s)
	return b, s
}

// ask lets a session wait for a connection and returns where its answer comes.
func ask(p *pool, key poolKey) chan *backend {
	got := make(chan *backend, 1)
	go func() {
		b, err := p.acquire(context.Background(), &wish{who: new(session), key: key})
		if err == nil {
			got <- b
		}
		close(got)
	}()
	synctest.Wait()
	return got
}

func arrived(got chan *backend) bool {
	synctest.Wait()
	return len(got) > 0
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{MaxPerNode: 1, MaxIdle: 1, Wait: time.Minute})
		b, s := lentTo(t, p, shared)
		first, second := ask(p, shared), ask(p, shared)
		b.offer(time.Now(), false)
		p.look()
		if !arrived(first) || arrived(second) {
			t.Fatal("not the first in the queue was served")
		}
		if b.claim(s) {
			t.Error("a session took back what another has")
		}
		if got := <-first; got != b {
			t.Error("another connection was given")
		}
		b.lease.owner.homeID.Store(1)
		b.offer(time.Now(), false)
		p.look()
		if !arrived(second) {
			t.Error("the second was left waiting")
		}
	})
}

func TestOfferIsTakenBackWhileNobodyWants(t *testing.T) {
	p := testPool(PoolSettings{MaxPerNode: 1, Wait: time.Second})
	b, s := lentTo(t, p, shared)
	b.offer(time.Now(), false)
	if !b.claim(s) || p.wanted() {
		t.Error("nobody wants the connection, and its session does not get it back")
	}
}

// What a client may still ask about, and what is about to be killed, is not taken.
func TestNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{MaxPerNode: 1, MaxIdle: 1, Wait: time.Minute})
		b, s := lentTo(t, p, shared)
		if !b.hold(s) {
			t.Fatal("a connection in use cannot be held")
		}
		if b.hold(new(session)) {
			t.Error("a stranger's connection was held")
		}
		b.offer(time.Now(), true)
		if b.hold(s) {
			t.Error("what is offered was held")
		}
		got := ask(p, shared)
		time.Sleep(2 * time.Second)
		p.look()
		if arrived(got) {
			t.Error("a held connection was taken")
		}
		b.unhold()
		b.offer(time.Now(), true)
		p.look()
		if arrived(got) {
			t.Error("a connection was taken before its time")
		}
		time.Sleep(diagnosticsTime)
		p.look()
		if !arrived(got) {
			t.Error("a connection was not taken at its time")
		}
	})
}

// A connection goes to whom it fits before one is closed for whom it does not, but not
// for ever.
func TestQueueOvertaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{MaxPerNode: 1, MaxIdle: 1, Wait: time.Hour})
		b, _ := lentTo(t, p, shared)
		other := ask(p, another)
		for i := range maxPassed {
			mine := ask(p, shared)
			b.offer(time.Now(), false)
			p.look()
			if !arrived(mine) {
				t.Fatalf("round %d: the one whom it fits waits", i)
			}
		}
		mine := ask(p, shared)
		b.offer(time.Now(), false)
		p.look()
		if !arrived(other) || arrived(mine) {
			t.Fatal("one waits for ever")
		}
		if got := <-other; got != nil {
			t.Error("a connection of another user was given")
		}
		if p.open != 1 || p.dialing != 1 {
			t.Errorf("open %d, being made %d, want 1 and 1", p.open, p.dialing)
		}
		p.made(nil, nil)
		if !arrived(mine) {
			t.Error("a place became free, and the one who waits does not get it")
		}
	})
}

func TestQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{MaxPerNode: 1, Wait: time.Second})
		b, _ := lentTo(t, p, shared)
		start := time.Now()
		if _, err := p.acquire(t.Context(), &wish{key: shared}); !errors.Is(err, errPoolFull) || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want errPoolFull after 1s", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.acquire(ctx, &wish{key: shared}); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		if len(p.queue) != 0 || p.wanted() {
			t.Error("who gave up still stands in the queue")
		}
		p.discard(b)
		if p.open != 0 {
			t.Errorf("%d connections count as open", p.open)
		}
	})
}

func TestDialsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{Wait: time.Minute})
		for range maxDials {
			if _, err := p.acquire(t.Context(), &wish{own: true}); err != nil {
				t.Fatal(err)
			}
		}
		got := ask(p, shared)
		if arrived(got) {
			t.Fatal("more connections are being made than are allowed")
		}
		p.made(nil, nil)
		if !arrived(got) {
			t.Error("one was made, and the next does not begin")
		}
	})
}

func TestLifetimesDiffer(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		jitter float64
		age    time.Duration
		want   bool
	}{{0, 59 * time.Minute, false}, {0, 61 * time.Minute, true}, {0.99, 53 * time.Minute, false}, {0.99, 55 * time.Minute, true}} {
		b := &backend{born: now.Add(-tt.age), jitter: tt.jitter}
		if got := b.expired(time.Hour, now); got != tt.want {
			t.Errorf("age %v, jitter %v: expired is %v", tt.age, tt.jitter, got)
		}
	}
}

func TestPreparedCache(t *testing.T) {
	var c preparedCache
	key := func(text string) *stmtKey { return &stmtKey{text: text} }
	for i, text := range []string{"a", "b", "c"} {
		c.add(key(text), uint32(i+1))
	}
	c.add(&stmtKey{id: 7}, 9)
	if old := c.add(key("b"), 4); old == nil || old.id != 2 {
		t.Errorf("the statement that was replaced: %v, want 2", old)
	}
	c.find(key("a"))
	var closed []uint32
	for _, h := range c.trim(2) {
		closed = append(closed, h.id)
	}
	if len(closed) != 2 || closed[0] != 9 || closed[1] != 3 {
		t.Errorf("closed %v, want a session's own, 9, and the one unused longest, 3", closed)
	}
	if c.find(key("a")) == nil || c.find(key("b")) == nil || c.find(key("c")) != nil {
		t.Error("the wrong ones were kept")
	}
}

// What a client may still ask about is never taken where another connection can be made.
func TestKeptIsTakenInNeedOnly(t *testing.T) {
	for _, kept := range []bool{false, true} {
		var l lease
		now := time.Now()
		l.offered, l.since, l.kept = true, now, kept
		later := now.Add(time.Hour)
		if l.free(now, restTime) || l.free(later, restTime) == kept {
			t.Errorf("kept %v: free for one that could do without it: %v at once, %v later", kept, l.free(now, restTime), l.free(later, restTime))
		}
		if l.free(now, 0) == kept || !l.free(later, 0) {
			t.Errorf("kept %v: free for one that can get no other: %v at once, %v later", kept, l.free(now, 0), l.free(later, 0))
		}
	}
}
