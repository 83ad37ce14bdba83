// Package executor changes the leader on real servers: it refuses writes on the
// old one, waits until the new one has everything, lets it take writes, and lets
// the others follow it. MariaDB and MySQL, with the servers' own
// replication or with one of Bellwether's, which it knows as an [Engine].
//
// [Switchover] is the planned change, while all nodes live. What is decided of
// it (who can lead, and what speaks against it) is pure, in [Plan]; what is done
// stands in steps.go, each step with what undoes it. Until the candidate takes
// writes everything can be undone; from then on only the followers are left to be
// told, and what could not be told is a warning in the report.
//
// [Loop] lets a failover.Machine drive the servers: it looks at each over connections
// of its own (observe.go), and performs the machine's actions (hands.go), each over
// a connection that owns the node by a named lock and the node's mark. A planned change
// is its guest, and writes the record as the machine would ([Succession]).
//
// Goroutines end with Run; but for those of a Loop none outlives a call. The package never turns
// semi-synchronous replication off: a leader whose commits wait for an
// acknowledgement cannot be made read-only, and the switchover is given up.
package executor
