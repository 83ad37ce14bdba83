// Package replicator is the engine of replication.mode engine: it makes plain
// servers, with no replication of their own, followers of the leader, and keeps
// them that.
//
// For each follower an [Engine] runs one loop: it makes the follower its own
// (own.go), looks at what it is (survey.go) and decides what to do ([decide],
// which is pure): copy the leader to it (replicator/initial), read the leader's
// binlog from the follower's own position (replicator/stream, or the relay log of
// feed.go and replicator/relay where it holds that) and apply it
// (replicator/apply), or stop, with a reason, because to go on could only be
// wrong. A lost connection, a restart of anything, the end of this process: the
// loop begins anew from what the follower itself says of its position. A follower
// that was stopped is tried again once in a while; nothing is ever skipped.
//
// Of several proxies one owns a follower: it holds a named lock there on a
// connection of its own. The others stand by. Who takes over first ends all that
// the account of the engine still does on that server, and waits until the server
// has done so, then marks it with a higher epoch (internal/mark).
//
// With failover on, whoever coordinates says in which reign ([Engine.Lead]): followers are
// marked with its epoch, an owner of an earlier one is ended by a later one, and one that
// is outdated leaves them alone.
//
// Followers are protected: read_only, the event scheduler off, and a transaction
// on one that the leader does not have stops it.
//
// Goroutines: where the configuration wants them, one that reads for all, one that acknowledges
// and one that compares (task.go); one per follower, and while it applies those of replicator/apply
// and one that watches; all end with Run.
package replicator
