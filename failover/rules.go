package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Response is what is done about a problem, apart from telling people.
type Response uint8

// Responses.
const (
	RespondNothing  Response = iota
	RespondFailover          // change the leader
	RespondFence             // make the node read-only: it is not the leader
	RespondOpen              // open the leader again in its own epoch
	RespondRepoint           // let the node follow the leader, after a comparison where there is something to compare
	RespondAdopt             // write down the first leader
)

func (r Response) String() string {
	return [...]string{"alert", "failover", "fence", "open", "repoint", "adopt"}[r]
}

// Rule is a row of the detection table.
type Rule struct {
	Code        string
	Description string
	Priority    int // of several rules about one node the highest counts
	Response    Response
	// Hold is how long Match must be true without a break; nil is at once.
	Hold func(*Config) time.Duration
	// Leader rules are asked once, about the leader; the others about each node that is not.
	Leader bool
	// Match returns the facts for people, and whether the rule holds.
	Match func(v *View, n *NodeView) (string, bool)
}

// Problem is a rule that holds of a node.
type Problem struct {
	Rule  *Rule
	Node  string
	Text  string
	Since time.Time
}

var lostData = &Rule{
	Code: "leader-lost-data", Priority: 62, Leader: true, Response: RespondFailover, Hold: confirmGone,
	Description: "the leader has started anew without transactions that a follower has applied: their GTIDs would be used twice, or have been",
	Match:       leaderLostData,
}

// Rules is the detection table. Rows about the leader exclude each other by
// priority: a leader of which anything is heard never reaches the rows that
// change it for being gone.
var Rules = []*Rule{
	{
		Code: "no-leader", Priority: 100, Leader: true, Response: RespondAdopt, Hold: confirmGone,
		Description: "no leader is written down, and exactly one node takes writes and follows nobody, or the one that is configured to lead first is not behind",
		Match: func(v *View, _ *NodeView) (string, bool) {
			return "the first leader", v.first() != nil
		},
	},
	{
		Code: "alone", Priority: 90, Leader: true,
		Description: "neither the leader nor any other node can be reached: it is this proxy that is cut off",
		Match: func(v *View, _ *NodeView) (string, bool) {
			return "no node can be reached from here", v.unreached() && v.alone()
		},
	},
	{
		Code: "leader-unreachable-from-us", Priority: 85, Leader: true,
		Description: "we cannot reach the leader, but a follower or another proxy hears it",
		Match: func(v *View, _ *NodeView) (string, bool) {
			if !v.unreached() {
				return "", false
			}
			by := v.heardByOthers()
			return "heard by " + strings.Join(by, ", "), len(by) > 0
		},
	},
	{
		Code: "leader-gone", Priority: 80, Leader: true, Response: RespondFailover, Hold: confirmGone,
		Description: "connections are refused, and every stream from the leader is dead",
		Match: func(v *View, _ *NodeView) (string, bool) {
			return "connections are refused and nobody has a stream from it", v.refused() && !slices.ContainsFunc(v.followers(), v.linked)
		},
	},
	{
		Code: "leader-silent", Priority: 75, Leader: true, Response: RespondFailover,
		Description: "nobody has heard the leader for the heartbeat timeout",
		Match: func(v *View, _ *NodeView) (string, bool) {
			silent := v.silentFor()
			return "nobody has heard it", v.unreached() && silent >= v.Config.HeartbeatTimeout
		},
	},
	{
		Code: "leader-suspect", Priority: 70, Leader: true,
		Description: "we cannot reach the leader, and nobody else has been heard of hearing it: not for long enough yet",
		Match: func(v *View, _ *NodeView) (string, bool) {
			return "does not answer", v.unreached()
		},
	},
	{
		Code: "leader-out-of-connections", Priority: 65, Leader: true,
		Description: "the leader is alive, and refuses new connections because it has too many",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "too many connections", n != nil && n.Mine != nil && n.Mine.New == ReachTooMany
		},
	},
	{
		Code: "leader-denies-us", Priority: 64, Leader: true,
		Description: "the leader is alive, and does not let Bellwether's account in",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "access denied", n != nil && n.Mine != nil && n.Mine.New == ReachDenied
		},
	},
	lostData,
	{
		Code: "leader-restarted", Priority: 60, Leader: true, Response: RespondOpen,
		Description: "the leader has started anew, is read-only, and has lost nothing",
		Match: func(v *View, n *NodeView) (string, bool) {
			return "read-only after a restart", n.Up() && n.Rebooted && !v.Blind && n.Best.ReadOnly && n.Best.Epoch <= v.Record.Epoch && n.Best.Executed.Contains(v.Floor)
		},
	},
	{
		Code: "leader-read-only", Priority: 58, Leader: true,
		Description: "the leader is read-only, and not by us: somebody's decision is not overruled",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "read_only is on", n.Up() && n.Best.ReadOnly
		},
	},
	{
		Code: "leader-disk-full", Priority: 56, Leader: true, Response: RespondFailover, Hold: func(c *Config) time.Duration { return orNever(c.DiskFullTimeout) },
		Description: "the leader refuses or delays writes for want of space",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "no space left", n.Up() && n.Best.Writes == WritesDiskFull
		},
	},
	{
		Code: "acknowledgers-gone", Priority: 54, Leader: true,
		Description: "fewer followers are connected than must acknowledge: writes wait, and are never let through without",
		Match: func(v *View, n *NodeView) (string, bool) {
			if !n.Up() || v.Config.Acks == 0 || n.Best.Ackers < 0 || n.Best.Ackers >= v.Config.Acks {
				return "", false
			}
			return fmt.Sprintf("%d of %d acknowledging followers are connected", n.Best.Ackers, v.Config.Acks), true
		},
	},
	{
		Code: "leader-hung", Priority: 52, Leader: true, Response: RespondFailover, Hold: func(c *Config) time.Duration { return orNever(c.HungTimeout) },
		Description: "the leader answers, has its acknowledgers, and writes do not come to an end",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "writes hang", n.Up() && n.Best.Writes == WritesHang
		},
	},
	{
		Code: "replication-broken", Priority: 40, Leader: true,
		Description: "the leader lives, and no follower replicates from it",
		Match: func(v *View, n *NodeView) (string, bool) {
			fs := v.followers()
			return "no follower replicates from it", n.Up() && len(fs) > 0 && !slices.ContainsFunc(fs, func(f *NodeView) bool {
				return f.Best == nil && f.Mine == nil || v.linked(f) && f.Best.Link.Applying
			})
		},
	},
	{
		Code: "two-writable", Priority: 50, Response: RespondFence,
		Description: "a node that is not the leader takes writes",
		Match: func(v *View, n *NodeView) (string, bool) {
			return "takes writes beside " + v.Record.Leader, v.Leader != nil && n.Up() && !n.Best.ReadOnly
		},
	},
	{
		Code: "follower-copied", Priority: 47,
		Description: "a node is being filled with a copy, or was and the copy was cut short: it is left alone until that is whole",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "holds half a copy of the leader", n.Up() && n.Best.Copying
		},
	},
	{
		Code: "follower-forked", Priority: 46, Response: RespondRepoint,
		Description: "a follower has other transactions than the leader under the same GTIDs, and the leader has not been started anew",
		Match: func(v *View, n *NodeView) (string, bool) {
			if v.Leader == nil || !v.Leader.Up() || !n.Up() || n.Fork == "" || v.leaderStartedAnew() {
				return "", false
			}
			return "its history is not the leader's: " + n.Fork, true
		},
	},
	{
		Code: "follower-astray", Priority: 45, Response: RespondRepoint,
		Description: "a follower, or a leader of the past, follows nobody or another node than the leader",
		Match: func(v *View, n *NodeView) (string, bool) {
			if v.Leader == nil || !v.Leader.Up() || !n.Up() || !n.Best.ReadOnly {
				return "", false
			}
			switch l := n.Best.Link; {
			case l == nil:
				return "follows nobody", true
			case l.Source != v.Record.Leader:
				return fmt.Sprintf("follows %q", l.Source), true
			default:
				return "", false
			}
		},
	},
	{
		Code: "follower-errant", Priority: 44,
		Description: "a follower has transactions that no leader wrote: it is not promoted",
		Match: func(_ *View, n *NodeView) (string, bool) {
			if !n.Up() || n.Best.Errant.IsEmpty() {
				return "", false
			}
			return "has " + n.Best.Errant.String() + " of its own", true
		},
	},
	{
		Code: "follower-broken", Priority: 43,
		Description: "a follower does not receive or does not apply",
		Match: func(v *View, n *NodeView) (string, bool) {
			if v.Leader == nil || !v.Leader.Up() || !n.Up() || n.Best.Link == nil {
				return "", false
			}
			return strings.TrimSpace("does not replicate " + n.Best.Link.Error), !n.Best.Link.Receiving || !n.Best.Link.Applying
		},
	},
	{
		Code: "follower-gone", Priority: 42, Hold: confirmGone,
		Description: "a follower does not answer",
		Match: func(_ *View, n *NodeView) (string, bool) {
			return "does not answer", n.Mine != nil && !n.Mine.alive() && !n.Up()
		},
	},
}

const never = time.Duration(1<<63 - 1)

func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return never
	}
	return d
}

func confirmGone(c *Config) time.Duration { return c.ConfirmGone }

// first is who leads where no leader is written down, nil while that is not certain.
func (v *View) first() *NodeView {
	if v.Config.First == "" {
		return v.soleWriter()
	}
	f := v.node(v.Config.First)
	if v.Record.Leader != "" || f == nil || !f.Up() || f.Best.ReadOnly || f.Best.Link != nil {
		return nil
	}
	for _, n := range v.Nodes {
		if n.Mine != nil && n.Mine.New == ReachDenied {
			continue // without our account: no copy of any leader of ours
		}
		// A mark shows that Bellwether worked with a node before, and the record is lost: who
		// led last has the highest, and all that the others have.
		if !n.Up() || n.Best.Epoch > f.Best.Epoch || n.Best.Epoch > 0 && !f.Best.Executed.Contains(n.Best.Executed) {
			return nil
		}
	}
	return f
}

// soleWriter is the one node that takes writes while no leader is written down;
// all nodes must have answered, for any of them could be another one.
func (v *View) soleWriter() *NodeView {
	if v.Record.Leader != "" {
		return nil
	}
	var found *NodeView
	for _, n := range v.Nodes {
		switch {
		case !n.Up():
			return nil
		case n.Best.ReadOnly || n.Best.Link != nil:
		case found != nil:
			return nil
		default:
			found = n
		}
	}
	return found
}

func leaderLostData(v *View, n *NodeView) (string, bool) {
	if !n.Up() {
		return "", false
	}
	for _, f := range v.followers() {
		if f.Fork != "" && v.leaderStartedAnew() {
			return "numbers other transactions as those that " + f.Name + " has: " + f.Fork, true
		}
	}
	if !n.Rebooted || n.Best.Executed.Contains(v.Floor) {
		return "", false
	}
	return "lacks what followers have: " + v.Floor.Subtract(n.Best.Executed).String(), true
}

// match finds what holds now: of the leader's rules the first by priority, and
// for each other node the first of its own.
func match(v *View) []Problem {
	var out []Problem
	about := func(n *NodeView, leader bool) {
		var top *Problem
		for _, r := range Rules {
			if r.Leader != leader || top != nil && top.Rule.Priority >= r.Priority || leader && n == nil && r.Response != RespondAdopt {
				continue
			}
			if text, ok := r.Match(v, n); ok {
				top = &Problem{Rule: r, Text: text, Since: v.Now}
				if n != nil {
					top.Node = n.Name
				}
			}
		}
		if top != nil {
			out = append(out, *top)
		}
	}
	about(v.Leader, true)
	if v.Leader == nil {
		return out
	}
	for _, n := range v.followers() {
		about(n, false)
	}
	return out
}
