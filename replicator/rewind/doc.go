// Package rewind takes a server back to before its last transactions: what they changed is changed
// back, from the last row of the last one to the first, and the server stands where it stood. A
// leader that returns with a few transactions of its own is a follower again within a moment, and
// need not be copied.
//
// That is done only where it is exact, and otherwise refused with a reason ([Inexact]) before
// anything is touched: the transactions are the last in the server's binlog (the caller sees to
// that); all of what they did is row events with whole images (binlog_row_image=FULL), on InnoDB
// tables, which no foreign key with a cascade refers to (InnoDB writes those down nowhere). All is
// undone in one transaction, by the server's own row code (BINLOG), past the binlog. A row that is
// not as it was left ends that, and nothing has changed. Until the position is set too, the server
// bears the mark of one that holds half a copy.
package rewind
