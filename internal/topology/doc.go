// Package topology holds what Bellwether knows of the cluster: nodes, their
// roles, the epoch, and how fresh each follower is.
//
// A [Snapshot] is immutable. The [Store] holds the present one behind an atomic
// pointer: the data path loads it once for each statement, and the executor
// (roles, epoch) and the lag monitor (positions, lag, state) publish new ones.
// The package starts no goroutine, reads no clock and does no I/O.
package topology
