// Package handover gives a follower from the engine to its server's own
// replication and back, at the exact position where the one stops.
//
// Whoever applied must have stopped: the caller sees to it that no engine applies
// on the follower. It starts no goroutine.
package handover
