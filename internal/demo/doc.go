// Package demo is `bellwether demo`: plain servers as local processes, of which
// Bellwether makes a leader and followers (replication.mode: engine; or followers by the
// servers' own replication, Options.Native), a small shop database, a mixed load, and a
// live view of what goes where.
//
// What is shown is measured, not assumed: queries per node are counted by the
// servers themselves, reasons come from Bellwether's metrics, lag and states
// from its topology.
//
// A key, a signal or Options.KillLeaderAfter kills the leader. Bellwether replaces it
// as anywhere else (failover.mode: automatic, acks: 1); the demo tells the steps from
// the incident, and starts the old leader again.
//
// # Files
//
// Everything lives in one folder whose name holds the id and the start time of
// the process that made it. A run that was killed is recognised by that name at
// the next start: servers that run out of the folder are ended, and the folder
// is removed. A run that is alive is left alone, so several can run at a time.
//
// # Goroutines
//
// [Run] blocks and owns them all: Bellwether itself, one per client of the load,
// one that watches the topology, one that reads keys where there is a terminal, one that waits for signals, one for what a key does,
// and the loop that samples and draws. They have ended when it returns. [View]
// and what renders it are pure.
package demo
