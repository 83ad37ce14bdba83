// Package accounts finds the account that a server would choose for a client.
//
// A [Table] is built from the rows of the leader's user table and is immutable;
// [Table.Match] applies the server's own rules: host patterns from the most
// specific to the least, named users before the anonymous one, netmasks, CIDR
// blocks, `%` and `_` wildcards, host names where the server resolves them, and
// the unix socket, which is "localhost" and has no address.
//
// The two flavours sort differently. MariaDB (10.2 and later) orders hosts by
// how many strings a pattern can match, MySQL (8.0 and later) puts addresses
// first and then goes by the position of the first wildcard. Both orders are
// here, named after [gtid.Flavor]. They were taken from the behaviour of running
// servers and of sql_acl.cc and sql_auth_cache.cc, and are pinned by tests.
//
// The package is pure: it starts no goroutine, reads no clock and does no I/O.
package accounts
