// Package ack acknowledges a leader's transactions to it, when enough followers
// have committed them (replicator/quorum decides).
//
// An [Acker] is the leader's only semi-synchronous replica. The leader waits with
// each commit until it is acknowledged (AFTER_SYNC: no other session sees it
// before), however long that takes; the Acker sets that up, looks at it every
// second and says loudly where somebody changed it. It reads the leader's binlog
// as any replica does, but keeps only where transactions end, and applies
// nothing: the followers do that by streams of their own, and whoever applies
// tells the Acker what is committed.
//
// A leader goes on waiting when its semi-synchronous replica goes away, and an
// acknowledgement covers all that is before it. So a new connection must learn of
// everything that the leader may be waiting for: on MySQL it reads from
// gtid_executed, which a transaction enters only when its wait is over; on
// MariaDB, whose gtid_binlog_pos a transaction enters before its wait begins, it
// reads the last transaction of each domain once more, for where that ends covers all
// before it. SHOW MASTER STATUS would tell the end, but stands still itself when a
// second group of commits waits behind the first.
//
// Of several proxies one acknowledges: it holds a named lock on the leader. An
// owner of followers that does not acknowledge has to give them up ([Acker.Standby]),
// so that the commits of all are known in one place.
//
// Run starts three goroutines while it is connected.
package ack
