// Package lineage tells whether two servers that have the same GTIDs have the same
// transactions under them.
//
// A server that lost the end of its binlog in a crash (sync_binlog=0, a disk that lied, a
// restored image) hands the numbers that it lost out again. By their numbers all sets are in
// order then, and a follower that kept the lost transactions goes on from behind them: two
// histories under the same names, and no error anywhere. What tells them apart is what is in
// the binlogs: [Compare] reads the last transaction that both have of each writer, and the first
// in each of their latest files, as a server that starts begins a new one. Where only the last
// differs it looks for the first that does.
//
// Two servers never write a transaction down in the same bytes. What must be equal is what
// replication keeps: which tables, in which order, the second in which the first statement began,
// and the values of the columns that both have written down (binlog_row_image may differ).
// Where that is not known, as of what was purged or copied, nothing is claimed.
package lineage
