// Package coord says which proxy coordinates, keeps the topology record, and
// carries what the proxies see of the nodes from one to the other.
//
// [Local] is for a single proxy: the record is a file, replaced whole by rename
// after fsync, under a lock that a second process does not get. [Etcd] is for a
// fleet: one proxy holds the key of the coordinator for as long as its lease
// lives, and the record is replaced by a transaction that compares its revision.
// A coordinator that sleeps and wakes may still believe in itself; nothing rests on
// its belief, for the comparison fails, and the nodes hold the newer epoch.
//
// A proxy's right to route writes by the record ends with its [Lease], on the
// monotonic clock, a margin before others may count on it. Without etcd nobody can
// change the record, so there is no failover; reads go on, and writes go on until the
// lease ends.
//
// Run blocks and owns the goroutines; they end with its context.
package coord
