// Package binlog decodes the binary log of MySQL and MariaDB, event by event,
// from bytes that somebody else read: a stream from a leader, a relay log, a
// file.
//
// An [Event] is one whole event with its checksum verified and cut off. What is
// in it is decoded on demand, by one function for each type; what a replica
// needs and libraries leave raw is decoded too: the status variables of Query
// events, MariaDB's GTID flags, XA, and the bounds of each column's value in a
// row image. An [Assembler] groups events into transactions, unpacks compressed
// ones, and hands on a large transaction in parts, so that none has to fit into
// memory.
//
// Everything here is pure and does no I/O. Decoders check every bound: malformed
// bytes give an error that wraps [ErrMalformed], never a panic. Slices that they
// return point into the event. Sources: the servers' log_event.h, libs/mysql/binlog
// and https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html.
package binlog
