package router

import (
	"net/netip"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// RuleSpec is a routing rule as the configuration gives it. All given
// conditions must hold for it to match; a rule without conditions always does.
type RuleSpec struct {
	Name       string
	Users      []string       // user names, as the client logged in
	Schemas    []string       // default schemas
	Clients    []string       // CIDRs, or single addresses
	Pattern    string         // RE2, over the text of the statement, comments included
	Digest     string         // as FormatDigest writes it
	Target     string         // leader | follower; empty leaves the decision
	Node       string         // a node by name
	MaxLag     *time.Duration // instead of the policy's
	NoFollower string         // leader | error; empty: the policy's
	// Consistency is a Level's name; empty: the policy's.
	Consistency string
}

// PolicySpec is what a Policy is compiled from.
type PolicySpec struct {
	MaxLag      time.Duration // the limit that topology.Node.Eligible stands for
	NoFollower  string        // leader (or empty) | error
	Consistency string        // a Level's name; empty: session
	Pin         bool          // a session stays on its follower while that is eligible
	Zone        string        // followers of this zone are preferred; empty for none
	ByLatency   bool          // a follower that answers probes slower gets fewer reads
	Rules       []RuleSpec    // the first that matches counts
	Learned     *Learned      // statements that followers refused; may be nil
}

// SessionView is what Route needs to know of a session.
type SessionView struct {
	InTransaction bool
	Autocommit    bool
	LockedTables  bool
	// ReadOnlyTxn: the open transaction is READ ONLY and has been started on the
	// follower Pinned, where it stays.
	ReadOnlyTxn bool
	HomeOnly    Reason // why everything goes home now; ReasonNone: it does not
	TempTables  bool   // the session has, or may have, temporary tables
	User        string
	Schema      string // the default schema
	ClientAddr  netip.Addr
	Pinned      string // the follower that the session reads from, or empty
	// Floor is what the session must be able to see: its own writes, and what it
	// has read. A follower whose position does not contain it serves none of its
	// reads. Empty: anything fresh enough will do.
	Floor gtid.Set
	// FloorOpen: what the session must be able to see is not known yet, so that no
	// follower can be shown to have it.
	FloorOpen bool
	// Stay: the session has read from Pinned, and only from there is it certain
	// that the next read is not older than the last.
	Stay bool
	// Level is what the session was SET to; LevelNone: nothing.
	Level Level
	// Asked: Floor holds the leader's position, asked for since the statement came,
	// so that whatever was committed before is in it.
	Asked bool
	Seed  uint64    // settles ties; a counter or a random number that differs between calls
	Now   time.Time // adds the age of a measurement to the lag that max_lag limits; zero: age does not count
}

// Query is the text of a statement, for what of the policy needs it: rules by
// pattern or digest, and what was learned. Its digest is computed at most once.
type Query struct {
	SQL  []byte
	Mode Mode

	digest uint64
	known  bool
}

// Digest returns Digest64 of the text.
func (q *Query) Digest() uint64 {
	if !q.known {
		q.digest, q.known = Digest64(q.SQL, q.Mode), true
	}
	return q.digest
}

// Decision is where a statement goes, and why.
type Decision struct {
	Target Target
	Node   *topology.Node // nil for TargetRefuse, and for TargetLeader when there is no leader
	Reason Reason         // why there
	Rule   string         // the name of the rule that matched, or empty
	Level  Level          // what holds for the statement
	// Ask: a follower could serve the read if the leader's position were known, asked
	// for now, and then SessionView.Asked.
	Ask bool
}
