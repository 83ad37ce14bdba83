package topology

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Role is the part that a node plays in the present epoch.
type Role uint8

// Roles of a node.
const (
	RoleUnknown  Role = iota // not verified yet, or contradictory
	RoleLeader               // takes writes
	RoleFollower             // replicates from the leader
)

func (r Role) String() string {
	switch r {
	case RoleLeader:
		return "leader"
	case RoleFollower:
		return "follower"
	default:
		return "unknown"
	}
}

// State is whether a node can be used, apart from how fresh it is.
type State uint8

// States of a node.
const (
	StateUnknown  State = iota // never answered a probe
	StateUp                    // answers probes, and its role is verified
	StateDown                  // does not answer
	StateBroken                // answers, but must not be read from: replication stopped, wrong source, writable follower
	StateDraining              // being removed: no new work, running work ends by itself
)

func (s State) String() string {
	switch s {
	case StateUp:
		return "up"
	case StateDown:
		return "down"
	case StateBroken:
		return "broken"
	case StateDraining:
		return "draining"
	default:
		return "unknown"
	}
}

// Lag is how far a follower is behind the leader. The zero value is "unknown",
// which is not zero lag: a follower with unknown lag serves no reads.
type Lag struct {
	Known  bool
	Behind time.Duration // age, on the leader's clock, of the oldest transaction not yet applied; 0 when the positions are equal
	Tx     uint64        // transactions not yet applied
	// Measured is when this was found out, on the proxy's clock: what is known
	// ages, and Behind+age bounds the staleness of a read.
	Measured time.Time
}

// Load counts the work that is under way on a node. It is shared by all
// snapshots in which the node appears, and safe for concurrent use.
type Load struct {
	Outstanding atomic.Int64  // statements being executed for clients
	Connections atomic.Int64  // open backend connections, idle ones included
	Statements  atomic.Uint64 // statements executed for clients, since the start
	Latency     atomic.Int64  // of probes, smoothed, nanoseconds; 0: not known. See Answered

	// Delay is how long after the leader the follower had lately what sessions had to
	// see, nanoseconds; Lacking since when it lacks such a thing, nanoseconds of the
	// Unix epoch, 0 for not. See Node.Forecast.
	Delay   atomic.Int64
	Lacking atomic.Int64
}

// Answered takes in how long a probe took. One of eight counts, so that a single slow one
// moves nobody. Only the lag monitor calls it.
func (l *Load) Answered(took time.Duration) {
	old := l.Latency.Load()
	if old == 0 {
		old = int64(took)
	}
	l.Latency.Store(max(old+(int64(took)-old)/8, 1))
}

// Node is one server of the cluster. Nodes in a Snapshot are immutable, but for Load.
type Node struct {
	Name    string
	Address string // host:port, or the path of a unix socket
	Weight  int    // share of reads among eligible followers; 0 takes none
	Zone    string

	// Bound, of the leader only, contains all that anybody can have seen there until
	// Lag.Measured: on MySQL a transaction is visible before it is in Position.
	Bound gtid.Set

	Role     Role
	State    State
	Eligible bool   // may serve reads: up, lag known and under the limit, hysteresis applied
	Why      string // why not eligible, for people; empty when Eligible

	Version  string // @@version
	ServerID uint64
	UUID     string // @@server_uuid; empty on MariaDB
	Position gtid.Set
	Lag      Lag
	// Replication is what Bellwether's engine does with the node, for people; empty
	// in native mode, and of the leader.
	Replication string

	Load *Load
}

// Snapshot is the cluster at one moment. It is immutable.
type Snapshot struct {
	At     time.Time // when it was published
	Seq    uint64    // grows by one with each published snapshot
	Epoch  uint64    // grows with each change of leader; 0 before the first leader is known
	Flavor gtid.Flavor
	Nodes  []*Node // in the order of the configuration
	Leader *Node   // one of Nodes; nil when there is none
}

// Node returns the node of that name, or nil.
func (s *Snapshot) Node(name string) *Node {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Clone returns a copy whose nodes can be changed before it is published. Load
// counters stay shared.
func (s *Snapshot) Clone() *Snapshot {
	c := *s
	c.Nodes = make([]*Node, len(s.Nodes))
	c.Leader = nil
	for i, n := range s.Nodes {
		m := *n
		c.Nodes[i] = &m
		if s.Leader == n {
			c.Leader = &m
		}
	}
	return &c
}

// Store holds the present Snapshot. The zero value is not usable; see NewStore.
type Store struct {
	current atomic.Pointer[Snapshot]
	hurry   atomic.Int64 // until when positions are wanted soon, nanoseconds of the Unix epoch

	mu      sync.Mutex    // guards publishing and changed
	changed chan struct{} // closed when the next snapshot is published

	waitMu sync.Mutex // guards lines and all in them; taken after mu, never before
	lines  map[string]*line
}

// NewStore returns a Store that holds s, or an empty Snapshot where s is nil.
func NewStore(s *Snapshot) *Store {
	if s == nil {
		s = &Snapshot{}
	}
	st := &Store{changed: make(chan struct{}), lines: make(map[string]*line)}
	st.current.Store(s)
	return st
}

// Load returns the present snapshot, never nil.
func (st *Store) Load() *Snapshot { return st.current.Load() }

// Update publishes what f makes of a private clone of the present snapshot.
// Writers are serialised; f must be quick and must not block. Returning nil
// publishes nothing.
func (st *Store) Update(f func(next *Snapshot) *Snapshot) *Snapshot {
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.current.Load()
	next := f(old.Clone())
	if next == nil {
		return old
	}
	next.Seq = old.Seq + 1
	st.current.Store(next)
	close(st.changed)
	st.changed = make(chan struct{})
	st.wake(next, next.Epoch != old.Epoch)
	return next
}

// Hurry asks for newer positions than the usual interval of probing would bring,
// until a moment soon after now: a session waits for a follower to have what it
// wrote or read.
func (st *Store) Hurry(until time.Time) { st.hurry.Store(until.UnixNano()) }

// Hurried says whether somebody wants newer positions at the moment now.
func (st *Store) Hurried(now time.Time) bool { return now.UnixNano() < st.hurry.Load() }

// Changed returns the present snapshot and a channel that is closed when a
// newer one is published.
func (st *Store) Changed() (*Snapshot, <-chan struct{}) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.current.Load(), st.changed
}
