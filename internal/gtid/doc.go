// Package gtid represents sets of global transaction identifiers of both
// flavours behind one type.
//
// A MySQL set is intervals of transaction numbers for each source UUID and tag,
// such as `3E11FA47-...:1-5:8:mytag:1-3`. A MariaDB position is one GTID for each
// replication domain, such as `0-1-100,7-2-3`: the last transaction of that
// domain, which stands for all before it.
//
// Containment is a partial order: two sets can each hold what the other lacks,
// and [Compare] therefore has four answers. Nothing here can be used as a sort
// key. In MariaDB two GTIDs of one domain with the same sequence number and
// different servers are different transactions, and the positions are
// concurrent; which transactions came before cannot be told from a position, so
// a greater sequence number contains a smaller one whoever wrote it.
//
// Values are immutable and safe for concurrent use; the zero value is the empty
// set of either flavour. The package imports none of ours and does no I/O.
package gtid
