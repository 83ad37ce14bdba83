package quorum

import (
	"maps"
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Transaction is one that the leader wrote.
type Transaction struct {
	GTIDs gtid.Set // its own
	File  string   // of the leader's binlog
	End   uint64   // position behind it in that file
}

type entry struct {
	Transaction
	seen time.Time
}

// Window holds what is not acknowledged. It is not safe for concurrent use.
type Window struct {
	policy  Policy
	first   uint64 // number of entries[0]; numbers begin with 1
	entries []entry
	retired gtid.Set // of the last one that is no longer in entries
	acked   uint64
	members map[string]*member
}

type member struct {
	applied   gtid.Set
	upTo      uint64
	connected bool
	left      time.Time // when it was last connected, unless it is
	good      time.Time // since when it could come back into the in-sync set; zero: it could not
	inSync    bool
	judged    bool // it has been in the in-sync set before
	silent    bool // what it commits does not count: see Count
}

// New returns an empty Window for followers of these names, none of them in sync.
func New(p Policy, followers []string) *Window {
	if p.MaxLag <= 0 {
		p.MaxLag = DefaultMaxLag
	}
	w := &Window{policy: p, first: 1, members: map[string]*member{}}
	for _, f := range followers {
		w.members[f] = &member{}
	}
	return w
}

// Count says whose commits count from now on; those of nobody else do, however they
// follow. nil: everybody's, as at first.
func (w *Window) Count(names []string) {
	for name, m := range w.members {
		m.silent = names != nil && !slices.Contains(names, name)
	}
}

func (w *Window) last() uint64 { return w.first + uint64(len(w.entries)) - 1 }

// Waiting is how many transactions are not acknowledged.
func (w *Window) Waiting() int { return int(w.last() - w.acked) }

// Restart forgets all transactions: the leader's binlog is read anew, from a
// position before all that it may wait for. What followers have committed stays.
func (w *Window) Restart() {
	last := w.last()
	w.first, w.acked, w.entries, w.retired = last+1, last, nil, gtid.Set{}
	for _, m := range w.members {
		m.upTo = last
	}
}

// Add takes the next transaction that the leader wrote.
func (w *Window) Add(t Transaction, now time.Time) {
	w.entries = append(w.entries, entry{t, now})
	for _, m := range w.members {
		w.advance(m)
	}
}

// Join says that a follower is replicated to, from where it stands.
func (w *Window) Join(name string, applied gtid.Set) {
	if m := w.members[name]; m != nil {
		m.connected = true
		// A server that was put back to an older state has less than it had.
		m.applied, m.upTo = applied, min(m.upTo, w.first-1)
		if !w.retired.IsEmpty() && !applied.Contains(w.retired) {
			m.upTo = 0
		}
		w.advance(m)
	}
}

// Leave says that a follower is no longer replicated to. What it committed counts on.
func (w *Window) Leave(name string, now time.Time) {
	if m := w.members[name]; m != nil && m.connected {
		m.connected, m.left = false, now
	}
}

// Committed says what a follower has committed by now.
func (w *Window) Committed(name string, applied gtid.Set) {
	if m := w.members[name]; m != nil {
		m.applied = applied
		w.advance(m)
	}
}

func (w *Window) advance(m *member) {
	if m.upTo+1 < w.first {
		if !w.retired.IsEmpty() && !m.applied.Contains(w.retired) {
			return
		}
		m.upTo = w.first - 1
	}
	for m.upTo < w.last() && m.applied.Contains(w.entries[m.upTo+1-w.first].GTIDs) {
		m.upTo++
	}
}

// lag is for how long the oldest transaction that the follower lacks has been there.
func (w *Window) lag(m *member, now time.Time) time.Duration {
	switch {
	case m.upTo+1 < w.first:
		return 2 * w.policy.MaxLag // what it lacks is older than anything that is known
	case m.upTo >= w.last():
		return 0
	}
	return now.Sub(w.entries[m.upTo+1-w.first].seen)
}

// comeback is for how long a follower must be well in time before it is in sync again.
func (w *Window) comeback() time.Duration { return min(time.Second, w.policy.MaxLag/4) }

// Tick lets time pass, and returns who entered and who left the in-sync set, in
// the order of their names.
func (w *Window) Tick(now time.Time) (entered, left []string) {
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		m := w.members[name]
		lag := w.lag(m, now)
		gone := !m.connected && now.Sub(m.left) > w.policy.MaxLag
		switch {
		case m.inSync && (m.silent || gone || lag > w.policy.MaxLag):
			m.inSync, m.good = false, time.Time{}
			left = append(left, name)
		case m.inSync:
		case m.silent || !m.connected || lag > w.policy.MaxLag/2:
			m.good = time.Time{}
		case m.good.IsZero() && m.judged:
			m.good = now
		case !m.judged && m.upTo >= w.acked, m.judged && now.Sub(m.good) >= w.comeback():
			m.inSync, m.judged = true, true
			entered = append(entered, name)
		}
	}
	return entered, left
}

// InSync lists who is in sync, in the order of their names.
func (w *Window) InSync() []string {
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		if w.members[name].inSync {
			out = append(out, name)
		}
	}
	return out
}

// Acknowledge returns the position that may be acknowledged now; ok is false where
// nothing has been added to what was. short says that fewer followers are in sync
// than the policy wants.
func (w *Window) Acknowledge() (t Transaction, ok, short bool) {
	members := make([]Member, 0, len(w.members))
	for _, m := range w.members {
		if m.silent {
			continue
		}
		members = append(members, Member{InSync: m.inSync, Committed: m.upTo})
	}
	v := Decide(w.policy, members, w.last())
	if v.UpTo <= w.acked || v.UpTo < w.first {
		w.retire()
		return Transaction{}, false, v.Short
	}
	w.acked = v.UpTo
	t = w.entries[v.UpTo-w.first].Transaction
	w.retire()
	return t, true, v.Short
}

// retire drops what is acknowledged, and on all followers that are in sync.
func (w *Window) retire() {
	upTo := w.acked
	for _, m := range w.members {
		if m.inSync && !m.silent {
			upTo = min(upTo, m.upTo)
		}
	}
	if upTo < w.first {
		return
	}
	n := upTo - w.first + 1
	w.retired = w.entries[n-1].GTIDs
	w.first = upTo + 1
	if w.entries = w.entries[n:]; len(w.entries) == 0 {
		w.entries = nil
	}
}
