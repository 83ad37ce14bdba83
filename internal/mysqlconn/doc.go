// Package mysqlconn opens connections for Bellwether's own queries: probes, the
// heartbeat, reading accounts and routines. Clients' traffic never passes here.
//
// It is a thin layer over go-sql-driver/mysql: it chooses the network from the
// address, builds the TLS configuration, caps the pool, sends the driver's own
// messages to slog, and puts a deadline on every network operation. The
// goroutines are those of database/sql; Close on the [database/sql.DB] ends them.
package mysqlconn
