// Package proxy is the data path: it accepts clients, authenticates them
// against the leader's own accounts, and relays each statement to the node that
// the router chooses.
//
// # Goroutines
//
// [Server.Run] owns the listeners and one small watcher. Each client has one
// goroutine, which owns the client's socket, the session's state and every
// backend connection that the session holds: request out, response back, one
// statement at a time. Nothing else writes to these, with two exceptions that
// other sessions need for KILL: the atomic field busy, which names the backend
// that is executing, and the session's kill flag.
//
// # Who owns what
//
// A backend connection belongs to the pool while it is idle and to exactly one
// session otherwise; one that is shared (pool.mode: transaction) is offered by its
// session between commands, and the pool may take it then, see lease. The home connection is the leader's; a session holds at
// most one follower connection beside it. What the home connection tells by its
// session trackers (schema, system variables) is kept in the session and brought
// to the follower connection as a difference, before the next read there.
//
// # Memory
//
// An idle session holds no large buffer: it waits in a read of a small one, and
// takes pooled buffers for longer requests and for responses.
package proxy
