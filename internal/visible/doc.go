// Package visible asks MariaDB servers up to which position readers certainly see.
//
// The binlog's position is ahead of that: a group of transactions is written to the binlog,
// and then each commits. Where the last commit stands in the binlog the server tells as
// Binlog_snapshot_file and Binlog_snapshot_position, under the lock under which commits
// become visible. So a position that was read before the end of the binlog was asked for is
// visible once the last commit has reached that end.
//
// MySQL needs none of this: what is in gtid_executed can be read. The package starts no
// goroutines.
package visible
