package node

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Server is one server and a pool of connections to it.
type Server struct {
	Name    string
	Flavor  gtid.Flavor
	Version string // "10.11.19"
	DB      *sql.DB
}

// Open connects to the server and asks what it is. conns is how many
// connections the pool may have.
func Open(ctx context.Context, name string, c mysqlconn.Config, conns int) (*Server, error) {
	c.MaxConns, c.MaxPacket = conns, 1<<30 // the server's max_allowed_packet decides
	if c.IOTimeout == 0 {
		c.IOTimeout = time.Hour // a statement over a large table; contexts end what must end sooner
	}
	db, err := mysqlconn.Open(c, nil)
	if err != nil {
		return nil, err
	}
	s, err := Of(ctx, name, db)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// Of is the server behind an open pool.
func Of(ctx context.Context, name string, db *sql.DB) (*Server, error) {
	s := &Server{Name: name, DB: db}
	if err := db.QueryRowContext(ctx, "SELECT @@version").Scan(&s.Version); err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w", name, err)
	}
	s.Flavor = gtid.MySQL
	if strings.Contains(s.Version, "MariaDB") {
		s.Flavor = gtid.MariaDB
	}
	s.Version, _, _ = strings.Cut(s.Version, "-")
	return s, nil
}

// Close closes the pool.
func (s *Server) Close() error { return s.DB.Close() }

// IsMariaDB reports the flavour.
func (s *Server) IsMariaDB() bool { return s.Flavor == gtid.MariaDB }

// Querier is a pool, a connection or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var (
	_ Querier = (*sql.DB)(nil)
	_ Querier = (*sql.Conn)(nil)
)

// Exec runs statements one after the other; the error names the one that failed.
func Exec(ctx context.Context, q Querier, statements ...string) error {
	for _, s := range statements {
		if _, err := q.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", shorten(s), err)
		}
	}
	return nil
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Rows reads a whole (small) result: a map of column name to value per row, with
// NULL left out.
func Rows(ctx context.Context, q Querier, query string, args ...any) ([]map[string]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shorten(query), err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var out []map[string]string
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(columns))
		for i, c := range columns {
			if values[i].Valid {
				row[c] = values[i].String
			}
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", shorten(query), err)
	}
	return out, nil
}

// Strings reads the first column of a small result.
func Strings(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shorten(query), err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v.String)
	}
	return out, rows.Err()
}

// Var reads one global variable.
func (s *Server) Var(ctx context.Context, name string) (string, error) {
	var v sql.NullString
	if err := s.DB.QueryRowContext(ctx, "SELECT @@GLOBAL."+name).Scan(&v); err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", s.Name, name, err)
	}
	return v.String, nil
}

// ReadOnly reports whether the server refuses writes of clients.
func (s *Server) ReadOnly(ctx context.Context) (bool, error) {
	v, err := s.Var(ctx, "read_only")
	return v != "0" && !strings.EqualFold(v, "OFF"), err
}

// Errors of the server that callers tell apart.
const (
	ErrNoSuchTable     = 1146
	ErrLockWaitTimeout = 1205
	ErrDeadlock        = 1213
	ErrTableDefChanged = 1412
	ErrViewInvalid     = 1356
)

// IsError reports whether err is the server's error of one of these numbers.
func IsError(err error, numbers ...uint16) bool {
	number, _, ok := mysqlconn.ServerError(err)
	if !ok {
		return false
	}
	return slices.Contains(numbers, number)
}

// ErrNoBinlog says that a server writes no binlog, and so has no position.
var ErrNoBinlog = errors.New("the server writes no binlog (log_bin is off)")
