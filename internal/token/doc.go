// Package token encodes what a session must be able to see as a short text that an
// application can carry from one connection to another: over requests of one user,
// between proxies, in a cookie or a message. It is pure.
//
// A token is base64url without padding (RFC 4648, section 5) of
//
//	version  1 byte, 1
//	flavour  1 byte, 1 for MariaDB and 2 for MySQL
//	epoch    unsigned varint: how many leaders the proxy that made it had known
//	set      the GTID set in the servers' own text
//	check    4 bytes, CRC-32 (Castagnoli) of all before, big-endian
//
// It is no secret and no proof: who makes one up can only make his own reads wait.
package token
