package failover

import (
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Config is the policy. Defaults fills in the durations.
type Config struct {
	Self  string       // the name of this proxy among the observers
	Nodes []NodeConfig // in the order of the configuration
	// Acks is how many followers must hold a write before it is acknowledged: 0 is
	// none, at most len(Nodes)-1.
	Acks int
	// First is the node that leads where no leader is written down; empty: the one that
	// takes writes, where that is one only.
	First string
	// Compare is whether those who follow are compared with the leader by content.
	Compare bool
	// Automatic is whether failover starts by itself. Without it problems are
	// reported, and only requests are carried out.
	Automatic bool

	// HeartbeatTimeout is how long a leader may be silent to everybody.
	HeartbeatTimeout time.Duration
	// ConfirmGone is how long "connection refused and every stream dead" must hold.
	ConfirmGone time.Duration
	// HungTimeout is how long writes may hang on a leader that has its
	// acknowledgers; 0 never calls that a reason to fail over.
	HungTimeout time.Duration
	// DiskFullTimeout is the same for a leader that refuses writes for want of
	// space; 0 alerts only.
	DiskFullTimeout time.Duration
	// Freshness is how old a sight may be to count. It must be longer than the
	// interval of probes with its timeout.
	Freshness time.Duration
	// Pause is how long Step may go uncalled (ticks included) before everything that
	// was known counts as old: it was us who did not look.
	Pause time.Duration

	// FenceTimeout bounds the fencing of the old leader in a failover: after it the
	// revocation alone must do. In a switchover it bounds the holding of writes.
	FenceTimeout time.Duration
	// StepTimeout bounds each other action; then it is tried again or given up.
	StepTimeout time.Duration
	// LeaseTTL is how long after a claim another proxy may still route writes by the
	// record before it; 0 where there is one proxy only.
	LeaseTTL time.Duration

	// MinInterval between two automatic failovers, and at most MaxFailovers of them
	// in Window; beyond that a person must ask.
	MinInterval  time.Duration
	MaxFailovers int
	Window       time.Duration
}

// TimeFor is how long an action of a step may take: one that nobody needs to have carried out is
// given a tenth of the time.
func (c *Config) TimeFor(a *Action) time.Duration {
	if a.Brief {
		return c.StepTimeout / 10
	}
	return c.StepTimeout
}

// Names are the names of all nodes, sorted.
func (c *Config) Names() []string {
	names := make([]string, len(c.Nodes))
	for i := range c.Nodes {
		names[i] = c.Nodes[i].Name
	}
	slices.Sort(names)
	return names
}

// Promotion says how much a node is wanted as leader.
type Promotion uint8

// Promotion rules.
const (
	PromoteNeutral Promotion = iota
	PromotePrefer
	PromoteAvoid // only if there is no other
	PromoteNever
)

// NodeConfig is one node in the policy.
type NodeConfig struct {
	Name      string
	Zone      string
	Promotion Promotion
}

// Reach is how a connection attempt, or the use of an old connection, ended.
type Reach uint8

// How a node can be reached.
const (
	ReachUnknown Reach = iota // not tried
	ReachAnswers
	ReachRefused // nobody listens: the kernel said so
	ReachSilent  // no answer within the timeout, or no route
	ReachTooMany // alive, out of connections (1040, 1203)
	ReachDenied  // alive, does not let us in
)

// Alive reports whether the server process certainly lives.
func (r Reach) Alive() bool { return r == ReachAnswers || r == ReachTooMany || r == ReachDenied }

// Writes is what became of the last write of a heartbeat row.
type Writes uint8

// What a leader does with writes.
const (
	WritesUnknown Writes = iota
	WritesWork
	WritesHang     // sent, no answer so far
	WritesReadOnly // refused: read-only
	WritesDiskFull // refused for want of space
)

// Link is what a follower says of its connection to its source.
type Link struct {
	Source    string // node name; "" for a source that is none of ours
	Receiving bool   // the receiver is connected
	Applying  bool   // the applier runs without error
	// Heard is when the source was heard last (event or heartbeat), on the clock of
	// the proxy; zero where the server does not tell. A receiver that is connected
	// and does not tell counts as hearing.
	Heard time.Time
	Error string // for people
}

// Sight is what one observer saw of one node at one moment. All times are of the
// clock of the machine that steps; who hands over a sight of another proxy turns
// its age into such a time.
type Sight struct {
	Observer string // a proxy's name
	Node     string
	Sent     time.Time // when the probe began
	At       time.Time // when it ended

	New    Reach // a new connection
	Old    Reach // a connection from before
	Stream Reach // the binlog stream: ReachAnswers while events or heartbeats arrive
	Writes Writes

	// What the node said, when it answered.
	ReadOnly bool
	Booted   time.Time // when the server started; zero is unknown
	Epoch    uint64    // the mark on the node: the highest epoch it was told; 0 none
	Version  string
	Executed gtid.Set
	Received gtid.Set // with the relay log; never less than Executed
	Errant   gtid.Set // its own, from no leader
	Copying  bool     // it holds half a copy, and somebody is at work there
	// Restarted says that it has started anew since it was told of Epoch, by its own clock.
	Restarted bool
	Link      *Link // nil when it replicates from nobody
	Ackers    int   // acknowledging followers that the leader sees; -1 unknown
	Acks      int   // acknowledgements that the node waits for, without a timeout, when it leads; -1 unknown
	Lag       time.Duration
}

// Event is what Step takes: [Tick], [Seen], [Done], [Coordination] or [Request].
type Event interface{ isEvent() }

// Tick lets time pass. The executor sends one at least every Config.Freshness/4.
type Tick struct{}

// Seen brings a sight.
type Seen struct{ Sight Sight }

// Coordination says that coordination was gained or lost, or that the record
// changed. The first one must come before anything can be done.
type Coordination struct {
	Held bool // this proxy is the coordinator
	// NoLease says that this proxy must not route writes now: it could not renew its
	// lease, and others may have changed the leader.
	NoLease bool
	Record  topology.Record
}

// Request is what a person asks for.
type Request struct {
	ID     uint64 // the answer names it
	Kind   RequestKind
	To     string // candidate; "" for the best
	DryRun bool
	// Force lets a failover go on without the revocation quorum or with concurrent
	// candidates. What may be lost is in the answer and in the incident.
	Force bool
}

// RequestKind is what can be asked for.
type RequestKind uint8

// Requests.
const (
	AskSwitchover RequestKind = iota
	AskFailover               // the leader is given up by decision
	AskUnblock                // forget the failovers so far: anti-flapping begins anew
)

// Done is the result of an action. Err is empty on success.
type Done struct {
	ID       uint64
	Err      string
	Conflict bool            // Publish: another one replaced the record; Record is the present one
	Record   topology.Record // Publish: as stored, with its revision
	Executed gtid.Set        // Revoke, Fence, Drain: what the node holds now that it was done
	Received gtid.Set        // Revoke: durable there, applied or not
	Mark     uint64          // the epoch that the node holds, when it refused a lower one
	// Fork is where the node's history and the leader's part though their numbers do not tell, for
	// people; empty where no such place was found. Compare, Repoint.
	Fork string
	// Own is what the node holds and the leader does not, which is why it does not follow it.
	// Repoint.
	Own gtid.Set
}

func (Tick) isEvent()         {}
func (Seen) isEvent()         {}
func (Coordination) isEvent() {}
func (Request) isEvent()      {}
func (Done) isEvent()         {}

// ActionKind is what is to be done.
type ActionKind uint8

// Actions. All that change a node carry the epoch of the change: the executor
// performs them under the node's ownership (its named lock and epoch mark) and
// must not act where it finds a higher mark; it answers with Done.Mark then.
// All but those marked so are answered with exactly one Done, an error after the
// executor's own timeout included.
const (
	// HoldWrites: statements that write are held, not refused. ReleaseWrites: they
	// go on, to Node in Epoch. Neither is answered.
	HoldWrites ActionKind = iota + 1
	ReleaseWrites
	// Publish replaces the record by Record if the stored one still has the revision
	// Record.Revision; the answer carries what is stored then.
	Publish
	// Fence makes Node refuse writes and ends its sessions. It must not turn
	// semi-sync off to get there. Answer: Executed, final once done.
	Fence
	// Revoke makes Node refuse every epoch lower than Epoch: mark written, receiver
	// stopped (native), lock taken over (engine). Answer: Executed and Received.
	Revoke
	// Drain waits until Node has executed Until, fetching it from From where that is
	// another node, else from its own relay log. Answer: Executed.
	Drain
	// Open lets Node take writes, each acknowledged only when Acks followers hold
	// it. It must stop replicating first.
	Open
	// RequireAcks makes the leader Node wait for Acks followers from now on.
	RequireAcks
	// Repoint lets Node follow Leader, acknowledging under Epoch. With Code, as a repair,
	// they are compared first; where their histories part it fails with Fork.
	Repoint
	// RescueAndRejoin compares Node with Leader, saves what is divergent, and makes
	// it a follower. Text is the position, in the server's own form, at which the
	// reign of Node ended, where it had one. It may take hours; asked again for the
	// same node while it runs, the executor goes on with the one that runs.
	RescueAndRejoin
	// Compare compares what Node and Leader have under the same GTIDs; it changes neither.
	// Answer: Fork.
	Compare
	// RunHook runs the operator's script for Event. Not answered, but for "fence",
	// where a nil error says that the node is certainly off.
	RunHook
	// Report is for people: a problem began or ended, a step began, a decision was
	// made. Not answered.
	Report
	// Answer is the answer to a Request: Request, Err, Reasons, Node. Not answered.
	Answer
)

// Action is one thing to do. Fields that the kind does not name are zero.
type Action struct {
	ID     uint64 // grows; Done names it
	Kind   ActionKind
	Node   string
	Leader string // Repoint, RescueAndRejoin, Compare
	From   string // Drain
	Brief  bool   // Drain: see Config.TimeFor
	Epoch  uint64
	Acks   int // Open, RequireAcks
	Until  gtid.Set
	Record topology.Record // Publish

	Event   string // RunHook, Report: a word such as "suspect", "claim", "chosen", "problem", "problem-over"
	Code    string // Report: of the rule
	Text    string // Report, Answer: a sentence for people
	Reasons []string

	Request uint64 // Answer
	Err     string // Answer: why it was refused or failed; empty for done
}
