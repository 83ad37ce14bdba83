package demo

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// numBuckets covers 1 µs to about 16 s in steps of an eighth of a power of two.
const numBuckets = 8 * 24

// histogram counts durations. It is safe for concurrent use.
type histogram [numBuckets]atomic.Uint64

func (h *histogram) add(d time.Duration) { h[bucket(d)].Add(1) }

func (h *histogram) counts() (out [numBuckets]uint64) {
	for i := range h {
		out[i] = h[i].Load()
	}
	return out
}

// bucket is the index for d: the power of two, and the next three bits.
func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1))
	power := bits.Len64(us) - 1
	eighth := us << 3 >> power & 7
	return min(power*8+int(eighth), numBuckets-1)
}

// lower is the smallest duration of a bucket.
func lower(i int) time.Duration {
	return time.Duration((8+uint64(i%8))<<(i/8)>>3) * time.Microsecond
}

// quantile returns the duration below which the share q of the counts is, and
// whether there are any.
func quantile(counts [numBuckets]uint64, q float64) (time.Duration, bool) {
	var sum uint64
	for _, n := range counts {
		sum += n
	}
	if sum == 0 {
		return 0, false
	}
	rank := uint64(q * float64(sum))
	for i, n := range counts {
		if n > rank {
			return lower(i + 1), true
		}
		rank -= n
	}
	return lower(numBuckets), true
}
