// Package oracle checks the classifier against real servers. Its tests run what
// Classify calls a read on a read-only session: what the server refuses there was
// a write. They run it on an ordinary session as well, and see whether anything
// got into the binary log.
//
// The flavours are those of BELLWETHER_FLAVORS, MariaDB 10.11 by default.
package oracle
