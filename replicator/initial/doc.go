// Package initial copies a leader to a server that has nothing, or nothing
// worth keeping, over plain SQL connections, and lets it stand at the copy's
// exact GTID position, so that its own replication or the engine goes on from there.
//
// [Plan.Run] takes a consistent snapshot over several connections while commits
// stand still for a moment ([Plan.LockTimeout] bounds it), copies structure, rows
// by ranges of the primary key in parallel, then what would act on rows
// (triggers, events, views, routines), accounts and rights, and sets the position.
//
// The copy resumes. A copy that was cut short leaves a mark on the follower; the
// next one compares each range by checksum and copies only those that differ
// from the new snapshot. The same way repairs a server whose data is old or has
// diverged: see [Plan.Reuse].
//
// Goroutines: Run starts one or two per worker, and one that reports and
// watches the leader's load; all end before it returns.
package initial
