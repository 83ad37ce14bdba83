// Package protocol tests the connection phase and the control side of the
// protocol against real servers: authentication, encryption, limits before
// authentication, PROXY headers, compression, and KILL. Where a server has words
// of its own, what a client is told through the proxy is compared with what the
// leader tells it directly.
package protocol
