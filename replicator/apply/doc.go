// Package apply replays transactions of a leader's binlog on one follower.
//
// Row events go to the server as they are, by BINLOG: its own row code applies
// them. Each transaction keeps the GTID that the leader gave it (GTID_NEXT;
// gtid_domain_id, server_id and gtid_seq_no), and that is the only checkpoint:
// it becomes durable in the very commit that makes the rows durable. Whoever
// starts an Applier asks the follower where it stands (Position) and reads on
// from there, whatever crashed before: nothing is applied twice or left out.
//
// One connection carries many transactions at a time. Each is one command of one
// or several statements, of which the server runs none after one that failed; and
// its first statement fails unless the transaction before it committed, by what
// MariaDB says of that (@@last_gtid) or by a user variable that is set behind each
// commit. So a failure stops all that is on the wire behind it, and no hole can
// come into the follower's position.
// DDL goes alone: all before it has committed, and nothing follows it until it is done.
//
// Deadlocks and lock waits roll back and run again, in order. What the follower
// refuses otherwise (a duplicate key, a row that is not there), and what cannot
// be applied faithfully, is a StopError, which names the GTID. It is never
// skipped. Any other error, as a lost connection, says nothing about the
// follower's rows: apply again from its Position.
//
// With several connections (Options.Connections) transactions execute beside each
// other and commit in the leader's order: see ordered.
//
// Run starts three goroutines, and one for each connection that reads its answers;
// all end with it.
package apply
