package mysqlconn

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strconv"
)

// Discard closes a connection for good, so that its pool does not give its session to
// somebody else.
func Discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Execer is a pool, a connection or a transaction.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// erNoSuchThread is the servers' answer to a KILL of who is not there.
const erNoSuchThread = 1094

// Kill ends a connection on a server, by the server's id. That there is none is no
// error. The server may go on for a while with what the connection was sent.
func Kill(ctx context.Context, on Execer, id uint64) error {
	_, err := on.ExecContext(ctx, "KILL CONNECTION "+strconv.FormatUint(id, 10))
	if number, _, ok := ServerError(err); ok && number == erNoSuchThread {
		return nil
	}
	return err
}
