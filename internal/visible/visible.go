package visible

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// place is a place in a server's binlog, and the position by GTID that was read before it.
type place struct {
	file   string
	offset uint64
	before gtid.Set
}

// reaches says whether p is at or behind q.
func (p *place) reaches(q *place) bool {
	switch {
	case len(p.file) != len(q.file):
		return len(p.file) > len(q.file) // .999999 is followed by .1000000
	case p.file != q.file:
		return p.file > q.file
	default:
		return p.offset >= q.offset
	}
}

// Position is up to where readers of one server certainly see. The zero value is ready. It is
// used by one goroutine.
type Position struct {
	waits *place // not yet reached when it was seen
	known gtid.Set
}

// see takes in a look: the end of the binlog, and where the last commit stands. It returns
// what readers certainly see, which grows only.
func (p *Position) see(end, commit place) gtid.Set {
	if p.waits != nil && commit.reaches(p.waits) {
		p.known, p.waits = p.known.Union(p.waits.before), nil
	}
	if commit.reaches(&end) {
		p.known, p.waits = p.known.Union(end.before), nil
	} else if p.waits == nil {
		p.waits = &end
	}
	return p.known
}

const query = "SELECT @@global.gtid_binlog_pos, @@global.gtid_slave_pos; SHOW MASTER STATUS; " +
	"SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')"

// Ask asks the server, which must be the same each time. What it returns grows only; it is empty
// before the first look that tells something. The account needs BINLOG MONITOR.
func (p *Position) Ask(ctx context.Context, db *sql.DB) (gtid.Set, error) {
	end, commit, err := look(ctx, db)
	if err != nil {
		*p = Position{} // it may be another server, or have lost something
		return gtid.Set{}, fmt.Errorf("ask for what can be read there: %w", err)
	}
	return p.see(end, commit), nil
}

func look(ctx context.Context, db *sql.DB) (end, commit place, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return end, commit, err
	}
	defer func() { _ = rows.Close() }()
	next := func() bool { return rows.NextResultSet() && rows.Next() }
	if !rows.Next() {
		return end, commit, errors.Join(errNotWhole, rows.Err())
	}
	var written, replicated string
	if err := rows.Scan(&written, &replicated); err != nil {
		return end, commit, err
	}
	if end.before, err = positions(written, replicated); err != nil {
		return end, commit, err
	}
	if !next() {
		if rows.Err() == nil {
			return end, commit, ErrNoBinlog
		}
		return end, commit, errors.Join(errNotWhole, rows.Err())
	}
	var ignored1, ignored2 sql.NullString
	if err := rows.Scan(&end.file, &end.offset, &ignored1, &ignored2); err != nil {
		return end, commit, err
	}
	if !rows.NextResultSet() {
		return end, commit, errors.Join(errNotWhole, rows.Err())
	}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return end, commit, err
		}
		if name == "Binlog_snapshot_file" {
			commit.file = path.Base(value)
		} else if commit.offset, err = strconv.ParseUint(value, 10, 64); err != nil {
			return end, commit, err
		}
	}
	return end, commit, rows.Err()
}

// ErrNoBinlog is of a server that writes no binlog.
var ErrNoBinlog = errors.New("the server writes no binlog")

var errNotWhole = errors.New("the server's answer is not whole")

func positions(a, b string) (gtid.Set, error) {
	x, err := gtid.Parse(gtid.MariaDB, a)
	if err != nil {
		return x, err
	}
	y, err := gtid.Parse(gtid.MariaDB, b)
	return x.Union(y), err
}
