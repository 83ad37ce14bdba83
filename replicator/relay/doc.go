// Package relay is the relay log: what one reader has read of the leader's binlog, kept in
// files, for all followers to read from. So the leader is read once however many followers
// there are, and a follower that is behind reads from here, also what the leader has purged.
//
// A [Log] is a folder of segments that are only ever appended to (segment.go). A segment
// begins with the position before its first transaction and with whose binlog it is; then
// come the events as they were received, each under a checksum of its own. Who reads sees
// whole transactions only. [Open] finds the last whole one and cuts off what is behind it;
// a segment is synced when the next one begins, so that only the last can be torn. When the
// segments take more room than they may, the oldest goes.
//
// The log is never more than a copy: followers know themselves where they stand, and what
// is not here is read from the leader. Where it could differ from the leader's binlog, as
// after that server was started anew, it is given up ([Log.Reset]).
//
// One goroutine writes; each [Cursor] is used by one. The package starts none.
package relay
