package lagmonitor

import (
	"slices"
	"sort"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// historyLimit is how many different positions are remembered. When there are
// more, every other one of the older half is forgotten, so that the resolution
// falls with age.
const historyLimit = 1024

// history is the leader's positions over time, the only measure of lag: all
// times are the proxy's own monotonic ones, so no clock of any server matters.
type history struct {
	samples []sample // each position contains the one before it
}

type sample struct {
	position gtid.Set
	first    time.Time // the position had certainly been reached by then
	last     time.Time // and nothing after it had been committed before then
}

// add notes that the leader was seen at position by a probe.
func (h *history) add(position gtid.Set, sent, received time.Time) {
	if n := len(h.samples); n > 0 {
		newest := &h.samples[n-1]
		switch gtid.Compare(newest.position, position) {
		case gtid.Equal:
			if sent.After(newest.last) {
				newest.last = sent
			}
			return
		case gtid.Before:
		default:
			// Another leader, without all that the old one had, or RESET MASTER: the
			// past says nothing about this one.
			h.samples = nil
		}
	}
	h.samples = append(h.samples, sample{position: position, first: received, last: sent})
	if len(h.samples) > historyLimit {
		h.thin()
	}
}

func (h *history) thin() {
	half := len(h.samples) / 2
	kept := h.samples[:0:0]
	for i, s := range h.samples {
		if i >= half || i%2 == 0 {
			kept = append(kept, s)
		}
	}
	h.samples = slices.Clip(kept)
}

// newest returns the last position seen, and false when there is none.
func (h *history) newest() (sample, bool) {
	if len(h.samples) == 0 {
		return sample{}, false
	}
	return h.samples[len(h.samples)-1], true
}

// measurement is what the history tells of a position of a follower.
type measurement struct {
	// known is false when even the oldest position remembered is not contained:
	// then the lag is at least span.
	known  bool
	behind time.Duration // the age, at the time of the probe, of the oldest transaction that was missing; an upper bound
	asOf   time.Time     // the follower had everything that was committed before asOf, less behind
	tx     uint64        // transactions that were missing
	span   time.Duration
}

// measure compares the position of a follower, from a probe whose answer came at
// received. There must be a newest sample.
func (h *history) measure(position gtid.Set, received time.Time) measurement {
	n := len(h.samples)
	// The first sample that is not contained: containment is monotonic over the
	// samples, because each contains the one before it.
	missing := sort.Search(n, func(i int) bool { return !position.Contains(h.samples[i].position) })
	// The leader's position as it could be known when the follower was asked.
	ref := sort.Search(n, func(i int) bool { return h.samples[i].first.After(received) }) - 1
	m := measurement{}
	if ref >= missing {
		m.tx = h.samples[ref].position.Subtract(position).Count()
	}
	switch missing {
	case n:
		return measurement{known: true, asOf: h.samples[n-1].last}
	case 0:
		m.span = max(received.Sub(h.samples[0].first), 0)
		if ref < 0 { // nothing is known to have been missing then, nor to have been there
			m.tx = h.samples[0].position.Subtract(position).Count()
		}
		return m
	}
	m.known = true
	have := h.samples[missing-1].last
	if missing > ref {
		// What is missing came after the follower was asked, as far as is known.
		m.asOf = have
		return m
	}
	m.behind = max(received.Sub(have), 0)
	m.asOf = received
	return m
}
