// Package sandbox runs MariaDB and MySQL servers as local processes, for
// `bellwether demo` and for the integration tests: small, quick to start, with
// GTID replication, and never left behind.
//
//   - Find looks for an installed server, or one unpacked in a folder (a "tree",
//     which is run through its own dynamic loader).
//   - Node is one server: Start, Stop, Kill, Pause, Continue, Restart. Its data
//     directory is copied from a template that is made once per server version.
//   - Cluster is a leader and its followers, replicating natively.
//   - CreateAccounts, Replicate, WaitPosition and their kin work over any
//     *sql.DB, so that servers in containers are set up by the same code.
//   - ProxyGrants is the one place that says what Bellwether's own account needs.
//
// Goroutines: one per running server waits for its end, and one, locked to its
// thread, forks the servers. The kernel kills a server when the thread that
// forked it ends, so a server cannot outlive this process, however it dies.
// Both kinds end when the last server has.
//
// A Node is safe for concurrent use; its methods are serialised.
package sandbox
