package proxy

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/router"
)

const (
	digestSets = 512 // a power of two
	digestWays = 8   // entries that share a set: 4096 in all
)

// digests is the statistics of statements that differ in literals only, in
// bounded memory and without a lock. A set that is full gives its least used
// entry up; what it counted goes to the sum of those forgotten.
type digests struct {
	sets      [digestSets][digestWays]atomic.Pointer[digestEntry]
	forgotten atomic.Uint64 // statements of entries that were given up
}

type digestEntry struct {
	digest    uint64
	text      string
	count     atomic.Uint64
	errors    atomic.Uint64
	total     atomic.Uint64 // nanoseconds
	longest   atomic.Uint64 // nanoseconds
	leader    atomic.Uint64
	followers atomic.Uint64
	reason    atomic.Uint32 // of the last one
}

// maxDigestText bounds what is kept of a statement's text, bytes.
const maxDigestText = 1024

// ran is where a statement ran, why there, and what came of it.
type ran struct {
	target router.Target
	reason router.Reason
	failed bool
}

// sampleEvery is how many statements of a session are represented by one, once it
// has run as many: to find a statement's digest takes about as long as to route it.
const sampleEvery = 16

// sample says how many statements the next one stands for in the statistics by
// digest; 0 where another one stands for it.
func (s *session) sample() uint64 {
	turn := s.turn.Load()
	switch {
	case turn <= sampleEvery:
		return 1
	case turn%sampleEvery == 0:
		return sampleEvery
	default:
		return 0
	}
}

// add counts a statement that stands for weight of them.
func (e *digestEntry) add(weight uint64, took time.Duration, r ran) {
	e.count.Add(weight)
	ns := uint64(max(took, 0))
	e.total.Add(weight * ns)
	for old := e.longest.Load(); ns > old && !e.longest.CompareAndSwap(old, ns); old = e.longest.Load() {
	}
	if r.failed {
		e.errors.Add(weight)
	}
	switch r.target {
	case router.TargetLeader:
		e.leader.Add(weight)
	case router.TargetFollower:
		e.followers.Add(weight)
	}
	e.reason.Store(uint32(r.reason))
}

// entry finds the entry of a statement, making one where there is none.
func (d *digests) entry(q *router.Query) *digestEntry {
	digest := q.Digest()
	set := &d.sets[digest&(digestSets-1)]
	for w := range set {
		if e := set[w].Load(); e != nil && e.digest == digest {
			return e
		}
	}
	text := router.DigestText(q.SQL, q.Mode)
	if len(text) > maxDigestText {
		text = text[:maxDigestText]
	}
	fresh := &digestEntry{digest: digest, text: text}
	least, place := ^uint64(0), 0
	for w := range set {
		e := set[w].Load()
		if e == nil {
			if set[w].CompareAndSwap(nil, fresh) {
				return fresh
			}
			e = set[w].Load()
		}
		if e.digest == digest {
			return e
		}
		if n := e.count.Load(); n < least {
			least, place = n, w
		}
	}
	if old := set[place].Swap(fresh); old != nil {
		d.forgotten.Add(old.count.Load())
	}
	return fresh
}

// DigestStats is the statistics of one digest.
type DigestStats struct {
	Digest           string
	Text             string // normalised, without literals
	Count, Errors    uint64
	Total, Longest   time.Duration
	Leader, Follower uint64 // where they ran
	Reason           string // of the last one
}

// Digests returns the most frequent statements, at most limit, and how many are known.
func (srv *Server) Digests(limit int) (list []DigestStats, total int) {
	var all []*digestEntry
	for i := range srv.digests.sets {
		for w := range srv.digests.sets[i] {
			if e := srv.digests.sets[i][w].Load(); e != nil {
				all = append(all, e)
			}
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].count.Load() > all[j].count.Load() })
	for _, e := range all[:min(limit, len(all))] {
		list = append(list, DigestStats{
			Digest: router.FormatDigest(e.digest), Text: e.text, Count: e.count.Load(), Errors: e.errors.Load(),
			Total: time.Duration(e.total.Load()), Longest: time.Duration(e.longest.Load()),
			Leader: e.leader.Load(), Follower: e.followers.Load(), Reason: router.Reason(e.reason.Load()).String(),
		})
	}
	return list, len(all)
}
