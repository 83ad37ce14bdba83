package lineage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// Querier asks a server.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Side is one of two servers that are compared.
type Side struct {
	DB     Querier        // an account that may list binlog files: BINLOG MONITOR, on MySQL REPLICATION CLIENT
	Binlog stream.Options // an account with REPLICATION SLAVE; ServerID and Loose are set here
	// Files has what the latest binlog files begin with compared too: where the node may have
	// followed what had forked. One to which an engine replicates is compared before it does.
	Files bool
}

// standstill is how long a server may take to tell of its binlog files. One whose commits wait for an
// acknowledgement tells nothing before that comes, and it may be the node's own that is waited for.
const standstill = time.Second

// ErrUnknown says that an account may not see what would have to be compared.
var ErrUnknown = errors.New("the histories of two servers cannot be compared")

// Compare asks both servers and is Find.
func Compare(ctx context.Context, node, leader Side) ([]Fork, error) {
	forks, err := ask2(ctx, node, leader)
	if _, _, refused := mysqlconn.ServerError(err); refused {
		err = fmt.Errorf("%w: %s", ErrUnknown, mysqlconn.Describe(err))
	}
	return forks, err
}

// ask2 asks the node before the leader, so that what comes meanwhile is nothing that the leader lacks.
func ask2(ctx context.Context, node, leader Side) ([]Fork, error) {
	n, err := ask(ctx, node)
	if err != nil {
		return nil, err
	}
	l, err := ask(ctx, leader)
	if err != nil {
		return nil, err
	}
	return Find(ctx, n, l)
}

// String is for people.
func String(forks []Fork) string {
	var texts []string
	for _, f := range forks {
		texts = append(texts, f.String())
	}
	return strings.Join(texts, "; ")
}

// latestFiles is how many of a server's binlog files are looked at.
const latestFiles = 8

// ask finds out what a server has.
func ask(ctx context.Context, side Side) (*Server, error) {
	q, binlog := side.DB, side.Binlog
	s := &Server{Binlog: binlog}
	query := "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged"
	if binlog.Flavor == gtid.MariaDB {
		query = "SELECT @@GLOBAL.gtid_binlog_state, ''"
	}
	var has, purged string
	if err := q.QueryRowContext(ctx, query).Scan(&has, &purged); err != nil {
		return nil, fmt.Errorf("ask %s for its transactions: %w", binlog.Leader.Address, err)
	}
	var err error
	if binlog.Flavor == gtid.MariaDB {
		s.Written, err = gtid.ParseBinlogState(has)
	} else {
		if s.Executed, err = gtid.Parse(gtid.MySQL, has); err == nil {
			s.Purged, err = gtid.Parse(gtid.MySQL, purged)
		}
	}
	if err != nil {
		return nil, err
	}
	if !side.Files {
		return s, nil
	}
	fctx, cancel := context.WithTimeout(ctx, standstill)
	defer cancel()
	if s.Starts, err = startsOf(fctx, q, binlog); err != nil && fctx.Err() != nil && ctx.Err() == nil {
		s.Starts, err = nil, nil
	}
	return s, err
}

// startsOf reads what stands at the head of the latest binlog files. MySQL shows events to who
// may replicate, MariaDB to who may monitor.
func startsOf(ctx context.Context, q Querier, binlog stream.Options) ([]string, error) {
	files, err := rowsOf(ctx, q, "SHOW BINARY LOGS", "Log_name")
	if err != nil {
		return nil, fmt.Errorf("ask %s for its binlog files: %w", binlog.Leader.Address, err)
	}
	if n := len(files); n > latestFiles {
		files = files[n-latestFiles:]
	}
	if binlog.Flavor == gtid.MySQL {
		db, err := mysqlconn.Open(binlog.Leader, nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = db.Close() }()
		q = db
	}
	var out []string
	for _, f := range files {
		heads, err := rowsOf(ctx, q, "SHOW BINLOG EVENTS IN '"+strings.ReplaceAll(f, "'", "''")+"' LIMIT 4", "Event_type", "Info")
		if err != nil {
			return nil, fmt.Errorf("ask %s for the head of %s: %w", binlog.Leader.Address, f, err)
		}
		for _, h := range heads {
			kind, info, _ := strings.Cut(h, "\x00")
			if kind == "Previous_gtids" || kind == "Gtid_list" {
				out = append(out, strings.Trim(strings.ReplaceAll(info, "\n", ""), "[]"))
				break
			}
		}
	}
	return out, nil
}

// rowsOf is some columns of each row, with NUL between them.
func rowsOf(ctx context.Context, q Querier, query string, columns ...string) ([]string, error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var out []string
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var parts []string
		for _, want := range columns {
			for i, n := range names {
				if n == want {
					parts = append(parts, values[i].String)
				}
			}
		}
		out = append(out, strings.Join(parts, "\x00"))
	}
	return out, rows.Err()
}
