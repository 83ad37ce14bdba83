// Package stream reads a leader's binlog over the network, of either flavour,
// from an exact GTID position on.
//
// [Open] registers as a replica, says which position the reader has, and asks for
// all behind it; the leader refuses with error 1236 where it no longer has that
// ([ErrPurged]). A [Dump] gives event by event, with checksums verified. The
// leader sends heartbeats while it has nothing else; a stream that is silent for
// longer than three of them is dead. A [Source] groups the events into
// transactions, as replicator/apply wants them.
//
// A Dump never reconnects: what was handed on of a transaction that was cut must
// be rolled back, and the position of the reader's own server says exactly from
// where a new one must go on.
//
// As a semi-synchronous replica ([Options.SemiSync]) the reader acknowledges what
// it chooses to, when it chooses to ([Dump.Ack]): acknowledgements are cumulative.
//
// The package starts no goroutine. The protocol is described at
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html
// and https://mariadb.com/kb/en/5-slave-registration/.
package stream
