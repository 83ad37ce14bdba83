// Package node is what the copy, the verification and the hand-over ask of one
// server and tell it, in the words of its flavour: positions, the server's own
// replication, connections with a known session.
//
// It starts no goroutine. A Server owns its pool of connections; Close ends it.
package node
