package router

import "sync/atomic"

// learnedWays is how many digests share a set; a set is one cache line.
const learnedWays = 8

// Learned is a bounded set of digests of statements that a follower refused. It
// is safe for concurrent use, and takes no lock. Where a set of the table is
// full, a new digest takes the place of an older one: a forgotten statement
// costs one more refusal.
type Learned struct {
	mask  uint64
	sets  [][learnedWays]atomic.Uint64
	hands []atomic.Uint32 // next place to be taken in each full set
	count atomic.Int64
}

// NewLearned returns an empty set that holds about size digests.
func NewLearned(size int) *Learned {
	n := 1
	for n*learnedWays < size {
		n *= 2
	}
	return &Learned{
		mask:  uint64(n - 1),
		sets:  make([][learnedWays]atomic.Uint64, n),
		hands: make([]atomic.Uint32, n),
	}
}

// digestKey keeps zero for empty places.
func digestKey(d uint64) uint64 {
	if d == 0 {
		return hashPrime
	}
	return d
}

// Add remembers a digest, forgetting another where there is no room.
func (l *Learned) Add(d uint64) {
	d = digestKey(d)
	if l.Has(d) {
		return
	}
	i := d >> 32 & l.mask
	set := &l.sets[i]
	for w := range set {
		if set[w].CompareAndSwap(0, d) {
			l.count.Add(1)
			return
		}
		if set[w].Load() == d {
			return
		}
	}
	set[l.hands[i].Add(1)%learnedWays].Store(d)
}

// Has says whether a digest is remembered.
func (l *Learned) Has(d uint64) bool {
	if l == nil || l.count.Load() == 0 {
		return false
	}
	d = digestKey(d)
	set := &l.sets[d>>32&l.mask]
	for w := range set {
		if set[w].Load() == d {
			return true
		}
	}
	return false
}

// Len returns how many digests are remembered.
func (l *Learned) Len() int {
	if l == nil {
		return 0
	}
	return int(l.count.Load())
}

// Reset forgets all, as when routines or views have changed.
func (l *Learned) Reset() {
	for i := range l.sets {
		for w := range l.sets[i] {
			if l.sets[i][w].Swap(0) != 0 {
				l.count.Add(-1)
			}
		}
	}
}
