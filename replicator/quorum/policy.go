package quorum

import (
	"slices"
	"time"
)

// All is a Policy's Acks that means every follower of the in-sync set.
const All = -1

// Policy is when a transaction is acknowledged.
type Policy struct {
	// Acks is how many followers must have committed a transaction; 0: nobody is
	// waited for; All: every one that is in sync.
	Acks int
	// MinInSync is how many followers must be in sync for anything to be
	// acknowledged. With All it is at least 1.
	MinInSync int
	// Degrade acknowledges at once while too few followers are in sync; otherwise
	// writes wait for them.
	Degrade bool
	// MaxLag is how far behind a follower in sync may be; 0: DefaultMaxLag.
	MaxLag time.Duration
}

// DefaultMaxLag is Kafka's former default of replica.lag.time.max.ms.
const DefaultMaxLag = 10 * time.Second

// Needed is how many followers must be in sync for the policy to be kept as it is meant.
func (p Policy) Needed() int {
	if p.Acks == All {
		return max(p.MinInSync, 1)
	}
	return max(p.Acks, p.MinInSync)
}

// least is how many must be in sync for anything to be acknowledged.
func (p Policy) least() int {
	if p.Acks == All {
		return max(p.MinInSync, 1)
	}
	return p.MinInSync
}

// Member is a follower as Decide sees it.
type Member struct {
	InSync    bool
	Committed uint64 // the number of the last transaction, in the leader's order, that it has with all before it
}

// Verdict is what Decide says.
type Verdict struct {
	UpTo  uint64 // the last transaction that may be acknowledged; 0: none
	Short bool   // fewer followers are in sync than the policy wants
}

// Decide says which transactions may be acknowledged, of which last is the newest.
func Decide(p Policy, members []Member, last uint64) Verdict {
	inSync := 0
	committed := make([]uint64, 0, len(members))
	for _, m := range members {
		if m.InSync {
			inSync++
		}
		if m.InSync || p.Acks != All {
			committed = append(committed, m.Committed)
		}
	}
	v := Verdict{Short: inSync < p.Needed()}
	need := p.Acks
	if p.Acks == All {
		need = inSync
	}
	switch {
	case p.Acks == 0, v.Short && p.Degrade:
		v.UpTo = last
	case inSync < p.least() || need > len(committed):
	default:
		slices.Sort(committed)
		v.UpTo = min(committed[len(committed)-need], last)
	}
	return v
}
