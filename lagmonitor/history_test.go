package lagmonitor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

func pos(seq int) gtid.Set {
	s, err := gtid.Parse(gtid.MariaDB, fmt.Sprintf("0-1-%d", seq))
	if err != nil {
		panic(err)
	}
	return s
}

func TestMeasure(t *testing.T) {
	// The leader, asked each 100 ms, the answer 2 ms later.
	leader := map[int]int{0: 10, 100: 10, 200: 20, 300: 30, 400: 30, 500: 30}
	for _, c := range []struct {
		name         string
		seq, askedAt int
		want         measurement
	}{
		{"has all", 30, 510, measurement{known: true, asOf: at(500)}},
		{"has more than was seen", 35, 510, measurement{known: true, asOf: at(500)}},
		{"lacks the last write", 25, 510, measurement{known: true, behind: 310 * time.Millisecond, asOf: at(510), tx: 5}},
		{"lacks more", 10, 510, measurement{known: true, behind: 410 * time.Millisecond, asOf: at(510), tx: 20}},
		{"asked before the write was seen", 20, 250, measurement{known: true, asOf: at(200)}},
		{"asked before, and lacked something older", 10, 250, measurement{known: true, behind: 150 * time.Millisecond, asOf: at(250), tx: 10}},
		{"older than the history", 5, 510, measurement{tx: 25, span: 508 * time.Millisecond}},
		{"older, asked before the history", 5, 1, measurement{tx: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h history
			for ms := 0; ms <= 500; ms += 100 {
				h.add(pos(leader[ms]), at(ms), at(ms+2))
			}
			if got := h.measure(pos(c.seq), at(c.askedAt)); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestHistoryIsClearedWhenTheLeaderGoesBack(t *testing.T) {
	var h history
	h.add(pos(10), at(0), at(1))
	h.add(pos(20), at(100), at(101))
	h.add(pos(5), at(200), at(201)) // RESET MASTER, or a leader that lost something
	if n := len(h.samples); n != 1 {
		t.Errorf("%d samples", n)
	}
	if m := h.measure(pos(3), at(210)); m.known {
		t.Errorf("%+v", m)
	}
}

// Whatever is measured must be an upper bound of the true lag, for any rates of
// writing and applying, and no worse than the interval between probes allows.
func TestMeasureIsAnUpperBound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var h history
		var commits []int // when each transaction was committed on the leader, in ms
		const interval = 100
		delay := r.IntN(2000)
		for ms := range 5000 {
			for r.IntN(50) == 0 {
				commits = append(commits, ms)
			}
			if ms%interval == 0 {
				h.add(pos(len(commits)), at(ms), at(ms+1))
			}
			if ms%interval != interval/2 || ms < 3000 {
				continue
			}
			applied := 0
			for _, c := range commits {
				if c+delay <= ms {
					applied++
				}
			}
			truth := 0 // age of the oldest transaction that is missing
			if applied < len(commits) {
				truth = ms - commits[applied]
			}
			m := h.measure(pos(applied), at(ms))
			bound := m.behind + at(ms).Sub(m.asOf)
			if !m.known || bound < time.Duration(truth)*time.Millisecond {
				t.Fatalf("delay %d, at %d: true lag %d ms, measured %+v", delay, ms, truth, m)
			}
			if m.behind > time.Duration(truth+interval)*time.Millisecond {
				t.Fatalf("delay %d, at %d: true lag %d ms, measured %v: too pessimistic", delay, ms, truth, m.behind)
			}
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 10 * historyLimit {
		h.add(pos(i+1), at(i*100), at(i*100+1))
		if len(h.samples) > historyLimit {
			t.Fatalf("%d samples", len(h.samples))
		}
	}
	end := at(10 * historyLimit * 100)
	for _, seq := range []int{10*historyLimit - 1, 10*historyLimit - 100, 5 * historyLimit, historyLimit} {
		m := h.measure(pos(seq), end)
		truth := end.Sub(at(seq * 100))
		if !m.known || m.behind < truth || m.behind > 2*truth+time.Second {
			t.Errorf("seq %d: true lag about %v, measured %+v", seq, truth, m)
		}
	}
}

func BenchmarkMeasureFarBehind(b *testing.B) {
	var h history
	for i := range historyLimit {
		h.add(pos(i+1), at(i*100), at(i*100+1))
	}
	p := pos(3)
	for b.Loop() {
		h.measure(p, at(historyLimit*100))
	}
}
