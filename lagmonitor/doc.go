// Package lagmonitor finds out which node leads, which ones follow it, and how
// far behind they are, and publishes that in the topology.Store.
//
// Each node is probed on a goroutine of its own, one round trip at a time. What
// a probe saw is an [Observation]. The judge, which is pure, holds the history
// of observations and turns them into roles, states, lag and eligibility; one
// loop owns the judge and publishes. A heartbeat row is written on the leader,
// and nowhere else.
//
// Roles are facts, not settings: the leader is the node that takes writes and
// replicates from nobody, a follower is read-only and replicates from the
// leader with both threads running, and what the configuration says of roles is
// an expectation that must agree. Lag is measured from the leader's own GTID
// position, on one clock; unknown is not zero. docs/lag.md is the manual.
//
// Run blocks; all goroutines end when its context does. Reconfigure may be
// called at any time from any goroutine.
package lagmonitor
