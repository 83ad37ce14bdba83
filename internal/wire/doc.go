// Package wire speaks the MySQL and MariaDB client/server protocol: packets,
// messages, authentication arithmetic, the compressed protocol, and the
// [Scanner], which finds the end of a response without looking at its rows.
//
// It knows bytes and no policy: it sees slices, io.Reader and io.Writer, starts
// no goroutine, reads no clock, logs nothing, and imports no other package of
// this module.
//
// # Packets and messages
//
// A packet is a header of [HeaderLen] bytes (three of length, one of sequence)
// and a payload of at most [MaxPayload] bytes. Each message has a file, with an
// append-style encoder that writes the header too (AppendOK, AppendErr, ...)
// and a decoder that takes the payload without the header. Decoders trust no
// length in it: what does not fit is [ErrMalformed]. Slices that a decoder
// hands out borrow from the payload, are clipped to their capacity, and are
// valid until the buffer is reused.
//
// # Capabilities
//
// [Capability] is 64 bits wide: the low half is the protocol's flags, the high
// half MariaDB's extended ones, which exist only when [ClientMySQL] is not set.
//
// # Responses
//
// A [Scanner] walks a response as it arrives in chunks of any size, and says
// how much may be forwarded untouched and where the packets are that end or
// change something. It allocates nothing, so one lives in every session.
//
// Sources: the protocol pages of the MySQL 9 source documentation
// (dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html), MariaDB's
// (mariadb.com/kb/en/clientserver-protocol/), and what the servers really send
// where the pages differ; such places say so.
package wire
