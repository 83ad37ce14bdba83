package router

import "time"

// Target is where a statement goes.
type Target uint8

// Targets.
const (
	TargetNone     Target = iota // not decided; in a hint or a rule: no wish
	TargetLeader                 // the home connection
	TargetFollower               // a follower; Decision.Node says which
	TargetRefuse                 // an error: no follower is eligible, and the policy forbids the leader

	numTargets
)

var targetNames = [...]string{"none", "leader", "follower", "refuse"}

// NumTargets is how many targets there are, for arrays of counters.
const NumTargets = int(numTargets)

func (t Target) String() string {
	if int(t) < len(targetNames) {
		return targetNames[t]
	}
	return "unknown"
}

// Hint is what a leading comment asks for:
//
//	/* bellwether: target=follower max_lag=200ms node=db2 */ SELECT ...
//
// Pairs are separated by spaces or commas. Keys and targets are not
// case-sensitive; the name of a node is.
type Hint struct {
	Present bool
	Target  Target
	MaxLag  time.Duration // 0: the policy's
	Node    string
	Err     string // why the hint could not be understood; then it has no effect
}
