// Package mark writes an epoch on a server and compares it there: whoever acts on
// a node (applies to it, promotes it, lets it acknowledge) marks it with its epoch
// first, and is refused where a higher one was there before.
//
// The mark is a row of a table that no other node gets: it is written with
// sql_log_bin=0, in a schema of its own ([Schema]) that the initial copy and the
// comparison leave out. It is as durable as the server's commits are
// (innodb_flush_log_at_trx_commit=1).
//
// The package starts no goroutine.
package mark
