// Package link is a connection to a server on which the replicator speaks the
// protocol itself: commands sent ahead of the answers to earlier ones, and
// binlog dumps. Logins are those of internal/wire, TLS that of internal/mysqlconn.
//
// It starts no goroutine.
package link
