package topology

import (
	"fmt"
	"slices"
	"time"
)

// Record is what all proxies agree on: who leads, since which epoch, and what
// change is under way. It lives where internal/coord keeps it and is replaced
// only as a whole, by whoever has seen the present one (Revision).
type Record struct {
	// Epoch is the number of the newest claim: it grows by one with each attempt to
	// change the leader, whether or not the attempt succeeds, and never repeats.
	Epoch uint64 `json:"epoch"`
	// Leader reigns since the epoch Reign; empty before the first leader. At most
	// one node ever reigns in one epoch.
	Leader string `json:"leader"`
	Reign  uint64 `json:"reign"`
	// Members are the nodes whose acknowledgements count and that can be promoted,
	// the leader included, sorted. Acks is how many of them (without the leader) must
	// hold a write before it is acknowledged; 0 is none.
	Members []string `json:"members,omitempty"`
	Acks    int      `json:"acks"`
	// Settled says that Acks members hold all that this leader was opened with. Until
	// then a write of the reign before is known to be on the leader, and on one member
	// less than it was acknowledged by.
	Settled bool `json:"settled"`
	// Change is the change that is under way; nil when there is none.
	Change *Change `json:"change,omitempty"`
	// Failovers are the times of the latest automatic failovers, oldest first.
	Failovers []time.Time `json:"failovers,omitempty"`
	// Past is the reigns before this one, oldest first, bounded.
	Past []Reign `json:"past,omitempty"`

	// Revision is what the store calls this value; a replacement names the one it
	// replaces. 0 is "there is none yet".
	Revision int64 `json:"-"`
}

// Reign is a leader of the past, and where its successor took over.
type Reign struct {
	Epoch  uint64 `json:"epoch"`
	Leader string `json:"leader"`
	// Until is the position, in the server's own form, that the next leader opened
	// with: what this one has beyond it is divergent.
	Until string `json:"until"`
}

// ChangeKind is why the leader changes.
type ChangeKind string

// Kinds of change.
const (
	KindFailover   ChangeKind = "failover"
	KindSwitchover ChangeKind = "switchover"
	KindAdopt      ChangeKind = "adopt" // the first leader is written down
)

// ChangePhase is how far a change has come in the record.
type ChangePhase string

// Phases of a change. Before PhasePublished nobody new can have been opened; from
// then on the new leader may be.
const (
	PhaseClaimed   ChangePhase = "claimed"
	PhasePublished ChangePhase = "published"
)

// Change is a change of leader that is under way.
type Change struct {
	Kind  ChangeKind  `json:"kind"`
	Phase ChangePhase `json:"phase"`
	From  string      `json:"from"`
	To    string      `json:"to,omitempty"` // asked for (claimed) or chosen (published)
	Owner string      `json:"owner"`        // the proxy that drives it
	Began time.Time   `json:"began"`
}

// Writable says who may be sent writes by this record, and in which epoch; ""
// while a change is under way and the new leader has not been opened for sure.
func (r *Record) Writable() (leader string, epoch uint64) {
	if r.Change != nil {
		return "", 0
	}
	return r.Leader, r.Reign
}

// Clone returns a copy that shares nothing.
func (r *Record) Clone() Record {
	c := *r
	c.Members = slices.Clone(r.Members)
	c.Failovers = slices.Clone(r.Failovers)
	c.Past = slices.Clone(r.Past)
	if r.Change != nil {
		ch := *r.Change
		c.Change = &ch
	}
	return c
}

// mostPast is how many reigns of the past a record keeps.
const mostPast = 16

// Bury puts the present reign among those of the past; its successor opens with until.
func (r *Record) Bury(until string) {
	r.Past = append(r.Past, Reign{Epoch: r.Reign, Leader: r.Leader, Until: until})
	r.Past = r.Past[max(0, len(r.Past)-mostPast):]
}

// Publish lets a node reign in the epoch that the change under way has claimed. Until
// Acks of the members, all of which count, are known to hold what it is opened with, the
// reign is not settled.
func (r *Record) Publish(leader string, members []string) {
	r.Reign, r.Leader = r.Epoch, leader
	r.Change.Phase, r.Change.To = PhasePublished, leader
	r.Members, r.Settled = members, r.Acks == 0
}

// Follows says why next must not replace r; nil when it may. Stores refuse what
// breaks these rules whoever asks.
func (r *Record) Follows(next *Record) error {
	switch {
	case next.Epoch < r.Epoch:
		return fmt.Errorf("epoch %d cannot follow epoch %d", next.Epoch, r.Epoch)
	case next.Reign > next.Epoch:
		return fmt.Errorf("a leader cannot reign since epoch %d, which nobody has claimed", next.Reign)
	case next.Reign < r.Reign:
		return fmt.Errorf("a reign of epoch %d cannot follow one of epoch %d", next.Reign, r.Reign)
	case next.Reign == r.Reign && next.Leader != r.Leader && r.Leader != "":
		return fmt.Errorf("in epoch %d %s reigns already, and not %s", r.Reign, r.Leader, next.Leader)
	case next.Leader == "" && r.Leader != "":
		return fmt.Errorf("a record that names %s as the leader cannot be replaced by one that names none", r.Leader)
	default:
		return nil
	}
}
