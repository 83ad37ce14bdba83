package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// world is nodes, a store for the record, and what the actions do to them: the
// hands and the servers of the scenarios.
type world struct {
	now    time.Time
	nodes  []*server
	stored topology.Record
	etcd   bool // the store can be reached
	fail   map[string]string
}

// server is one node of a world. Other nodes and proxies see it as up unless it is
// cut from them.
type server struct {
	name     string
	reach    Reach // for the proxy
	dead     bool  // for everybody
	readOnly bool
	writes   Writes
	source   string
	linkUp   bool // receiving, while the source lives
	applying bool
	heard    time.Time
	executed gtid.Set
	received gtid.Set
	errant   gtid.Set
	mark     uint64
	acks     int
	booted   time.Time
	lag      time.Duration
	cutFrom  []string // nodes that do not hear it
	unseen   gtid.Set // of its own, as a position on MariaDB does not tell it
	forkedOf string   // the node whose history parts from this one's, though the numbers go on alike
}

func (w *world) node(name string) *server {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// hears reports whether n's receiver hears its source, and since when it has not.
func (w *world) hears(n *server) bool {
	src := w.node(n.source)
	return n.linkUp && src != nil && !src.dead && !slices.Contains(src.cutFrom, n.name)
}

// sight is what an observer sees of n now.
func (w *world) sight(observer string, n *server, reach Reach) Sight {
	s := Sight{
		Observer: observer, Node: n.name, Sent: w.now, At: w.now, New: reach, Old: reach, Writes: WritesUnknown,
		ReadOnly: n.readOnly, Booted: n.booted, Epoch: n.mark, Executed: n.executed, Received: n.received.Union(n.executed),
		Errant: n.errant, Acks: n.acks, Lag: n.lag,
	}
	if reach == ReachTooMany {
		s.Old = ReachAnswers
	}
	if n.dead {
		s.New, s.Old = reach, ReachSilent
	}
	if !n.readOnly {
		s.Writes = n.writes
	}
	for _, f := range w.nodes {
		if f.source == n.name && w.hears(f) {
			s.Ackers++
		}
	}
	if !n.readOnly && s.Ackers < n.acks && s.Writes == WritesWork {
		s.Writes = WritesHang
	}
	if n.source != "" {
		if w.hears(n) {
			n.heard = w.now
		}
		src := w.node(n.source)
		// A process that is gone closes its connections; a silent host does not.
		closed := src == nil || src.dead && src.reach == ReachRefused
		s.Link = &Link{Source: n.source, Receiving: n.linkUp && !closed, Applying: n.applying, Heard: n.heard}
	}
	return s
}

// perform does what an action says, and returns its result. ok is false for
// actions that have none.
func (w *world) perform(a Action) (d Done, ok bool) {
	d.ID = a.ID
	if why, bad := w.fail[a.Kind.String()+" "+a.Node]; bad {
		d.Err = why
		return d, true
	}
	n := w.node(a.Node)
	switch a.Kind {
	case HoldWrites, ReleaseWrites, Report, Answer:
		return d, false
	case RunHook:
		d.Err = "no hook is configured"
		return d, true
	case Publish:
		return w.publish(a), true
	default:
	}
	if n == nil || n.dead || n.reach != ReachAnswers {
		d.Err = "cannot be reached"
		return d, true
	}
	if a.Kind == Compare || a.Kind == Repoint && a.Code != "" {
		if n.forkedOf == a.Leader {
			d.Fork = "A:10 to 12"
		}
		if a.Kind == Compare {
			return d, true
		}
	}
	if a.Kind == Repoint && !n.unseen.IsEmpty() {
		d.Own, d.Err = n.unseen, "it has more"
		return d, true
	}
	if d.Fork != "" {
		d.Err = "their histories part"
		return d, true
	}
	if n.mark > a.Epoch {
		d.Err, d.Mark = "a higher epoch is there", n.mark
		return d, true
	}
	n.mark = a.Epoch
	switch a.Kind {
	case Fence:
		n.readOnly = true
	case Revoke:
		n.linkUp = false
	case Drain:
		if from := w.node(a.From); a.From != "" && !from.dead {
			n.received = n.received.Union(from.executed).Union(from.received)
		}
		n.executed = n.executed.Union(n.received)
		if !n.executed.Contains(a.Until) {
			d.Err = "it does not come"
		}
	case Open:
		n.readOnly, n.source, n.linkUp, n.acks = false, "", false, a.Acks
	case RequireAcks:
		n.acks = a.Acks
	case Repoint, RescueAndRejoin:
		n.readOnly, n.source, n.linkUp, n.applying, n.heard = true, a.Leader, true, true, w.now
		if a.Kind == RescueAndRejoin {
			n.executed, n.received, n.errant, n.forkedOf = gtid.Set{}, gtid.Set{}, gtid.Set{}, ""
			n.unseen = gtid.Set{}
		}
		n.executed = n.executed.Union(w.node(a.Leader).executed)
	default:
	}
	d.Executed, d.Received = n.executed, n.received.Union(n.executed)
	return d, true
}

func (w *world) publish(a Action) Done {
	d := Done{ID: a.ID}
	switch {
	case !w.etcd:
		d.Err = "the store cannot be reached"
		return d
	case a.Record.Revision != w.stored.Revision:
		d.Err, d.Conflict = "replaced by another", true
	default:
		if err := w.stored.Follows(&a.Record); err != nil {
			d.Err = err.Error()
			break
		}
		w.stored = a.Record.Clone()
		w.stored.Revision = a.Record.Revision + 1
	}
	d.Record = w.stored.Clone()
	return d
}

// describe is a node's state in one line.
func (n *server) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s epoch=%d executed=%s", n.name, n.mark, n.executed)
	if n.readOnly {
		b.WriteString(" read-only")
	}
	if n.source != "" {
		fmt.Fprintf(&b, " follows=%s", n.source)
	}
	if n.dead {
		b.WriteString(" dead")
	}
	return b.String()
}
