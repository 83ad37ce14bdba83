// Package rawclient is a client of the MySQL protocol that shows the bytes of
// every answer, for tests that compare a proxy's with a server's. It asks for
// the capabilities that it is told to, and interprets nothing but where an
// answer ends.
package rawclient
