package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Never more than the limit run, who waits gets a turn in the end, and whoever does
// not is told so and takes no place.
func TestRedirects(t *testing.T) {
	var r redirects
	const limit = 3
	var running, most atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := r.enter(t.Context(), limit, time.Minute); err != nil {
				t.Error(err)
				return
			}
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			running.Add(-1)
			r.leave(limit)
		})
	}
	wg.Wait()
	if most.Load() > limit || r.running != 0 || len(r.queue) != 0 {
		t.Fatalf("%d at once; %d running and %d waiting at the end", most.Load(), r.running, len(r.queue))
	}
	for range limit {
		if err := r.enter(t.Context(), limit, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.enter(t.Context(), limit, time.Millisecond); !errors.Is(err, errLeaderBusy) {
		t.Fatalf("one too many: %v", err)
	}
	r.leave(limit)
	if err := r.enter(t.Context(), limit, 0); err != nil {
		t.Fatalf("after one left: %v", err)
	}
	if err := r.enter(t.Context(), 0, 0); err != nil {
		t.Fatalf("without a limit: %v", err)
	}
}
