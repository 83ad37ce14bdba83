// Package executor changes the leader on real servers: it refuses writes on the
// old one, waits until the new one has everything, lets it take writes, and lets
// the others follow it. MariaDB and MySQL, with the servers' own replication.
//
// [Switchover] is the planned change, while all nodes live. What is decided of
// it (who can lead, and what speaks against it) is pure, in [Plan]; what is done
// stands in steps.go, each step with what undoes it. Until the candidate takes
// writes everything can be undone; from then on only the followers are left to be
// told, and what could not be told is a warning in the report.
//
// The package starts no goroutine that outlives a call. It never turns
// semi-synchronous replication off: a leader whose commits wait for an
// acknowledgement cannot be made read-only, and the switchover is given up.
package executor
