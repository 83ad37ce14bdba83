package lagmonitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// What another Bellwether applies to a MariaDB follower moves the binlog's position only,
// and that is ahead of what can be read: a group of transactions is written to the binlog,
// and then each commits. Where the last commit stands in the binlog the server tells as
// Binlog_snapshot_file and Binlog_snapshot_position, under the lock under which commits
// become visible. So a position that was read before the end of the binlog was asked for is
// visible once the last commit has reached that end.

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

// visibility is what is known of one follower. It is used by one goroutine.
type visibility struct {
	waits *place // not yet reached when it was seen
	known gtid.Set
}

// see takes in a look: the end of the binlog, and where the last commit stands. It returns
// what readers certainly see, which grows only.
func (v *visibility) see(end, commit place) gtid.Set {
	if v.waits != nil && commit.reaches(v.waits) {
		v.known, v.waits = v.known.Union(v.waits.before), nil
	}
	if commit.reaches(&end) {
		v.known, v.waits = v.known.Union(end.before), nil
	} else if v.waits == nil {
		v.waits = &end
	}
	return v.known
}

const visibleQuery = "SELECT @@global.gtid_binlog_pos, @@global.gtid_slave_pos; SHOW MASTER STATUS; " +
	"SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')"

// ask asks the follower. The account needs BINLOG MONITOR.
func (v *visibility) ask(ctx context.Context, db *sql.DB) (gtid.Set, error) {
	end, commit, err := look(ctx, db)
	if err != nil {
		*v = visibility{} // it may be another server, or have lost something
		return gtid.Set{}, fmt.Errorf("ask for what can be read there: %w", err)
	}
	return v.see(end, commit), nil
}

func look(ctx context.Context, db *sql.DB) (end, commit place, err error) {
	rows, err := db.QueryContext(ctx, visibleQuery)
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

var errNotWhole = errors.New("the server's answer is not whole")

func positions(a, b string) (gtid.Set, error) {
	x, err := gtid.Parse(gtid.MariaDB, a)
	if err != nil {
		return x, err
	}
	y, err := gtid.Parse(gtid.MariaDB, b)
	return x.Union(y), err
}
