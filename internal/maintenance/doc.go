// Package maintenance does what people ask for by a command and the running
// proxy has no part in: comparing followers with the leader (`bellwether verify`),
// filling a server with a copy of the leader (`bellwether clone`), and handing followers
// over between the engine and their own replication (`bellwether handover`).
//
// It reads the same configuration as the proxy, asks the nodes which of them
// leads, and talks to them alone. It starts no goroutines of its own.
package maintenance
