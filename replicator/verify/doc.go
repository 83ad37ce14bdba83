// Package verify tells which rows of followers differ from the leader's, while
// both are in use.
//
// Ranges of the primary key are compared by checksum: the leader's first, then,
// once the follower has applied everything that the leader had written by then,
// the follower's. Ranges that differ are read again row by row, as rows may have
// changed in between. What still differs is proved: the leader's rows are read
// with shared locks, so that they cannot change, the follower reaches the position
// of that moment, and both are compared. Only what is proved is reported. Such
// locks cover only rows that seem to differ, a few at a time, and for no longer
// than [Options.LockTime].
//
// Goroutines: one per follower while Run compares a range; all end before it returns.
package verify
