package lineage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// Side is one of two servers that are compared.
type Side struct {
	DB     node.Querier   // an account that may list binlog files: BINLOG MONITOR, on MySQL REPLICATION CLIENT
	Binlog stream.Options // an account with REPLICATION SLAVE; ServerID and Loose are set here
	// Files has what the latest binlog files begin with compared too: where the node may have
	// followed what had forked. One to which an engine replicates is compared before it does.
	Files bool
}

// standstill is how long a server may take to tell of its binlog files. One whose commits wait for an
// acknowledgement tells nothing before that comes, and it may be the node's own that is waited for.
const standstill = time.Second

// ErrPart says that a server did not tell of its binlog files in time: all else was compared.
var ErrPart = errors.New("a server did not tell in time what its binlog files begin with")

// ErrUnknown says that an account may not see what would have to be compared.
var ErrUnknown = errors.New("the histories of two servers cannot be compared")

// Compare asks both servers what they have, and returns where their histories part: see find.
// Errors are of the connections, ErrUnknown, or, beside what was found, ErrPart.
func Compare(ctx context.Context, follower, leader Side) ([]Fork, error) {
	forks, err := compareSides(ctx, follower, leader)
	if _, _, refused := mysqlconn.ServerError(err); refused {
		err = fmt.Errorf("%w: %s", ErrUnknown, mysqlconn.Describe(err))
	}
	return forks, err
}

// compareSides asks the follower before the leader, so that what comes meanwhile is nothing that
// the leader lacks.
func compareSides(ctx context.Context, follower, leader Side) ([]Fork, error) {
	f, err := ask(ctx, follower)
	if err != nil {
		return nil, err
	}
	l, err := ask(ctx, leader)
	if err != nil {
		return nil, err
	}
	forks, err := find(ctx, f, l)
	if err == nil && (f.silent || l.silent) {
		err = ErrPart
	}
	return forks, err
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
func ask(ctx context.Context, side Side) (*server, error) {
	s := &server{binlog: side.Binlog}
	query := "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged"
	if s.mariadb() {
		query = "SELECT @@GLOBAL.gtid_binlog_state, ''"
	}
	var has, purged string
	err := side.DB.QueryRowContext(ctx, query).Scan(&has, &purged)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its transactions: %w", s.binlog.Leader.Address, err)
	}
	if s.holding, err = s.parse(has); err != nil {
		return nil, err
	}
	if s.purged, err = gtid.Parse(side.Binlog.Flavor, purged); err != nil || !side.Files {
		return s, err
	}
	fctx, cancel := context.WithTimeout(ctx, standstill)
	defer cancel()
	if s.starts, err = s.startsOf(fctx, side.DB); err != nil && fctx.Err() != nil && ctx.Err() == nil {
		s.starts, s.silent, err = nil, true, nil
	}
	return s, err
}

// parse reads gtid_executed (MySQL) or gtid_binlog_state (MariaDB).
func (s *server) parse(text string) (h holding, err error) {
	if s.mariadb() {
		h.written, err = gtid.ParseBinlogState(text)
	} else {
		h.executed, err = gtid.Parse(gtid.MySQL, text)
	}
	return h, err
}

// startsOf reads what stands at the head of the latest binlog files. MySQL shows events to who
// may replicate, MariaDB to who may monitor.
func (s *server) startsOf(ctx context.Context, q node.Querier) ([]holding, error) {
	files, err := node.Rows(ctx, q, "SHOW BINARY LOGS")
	if err != nil {
		return nil, fmt.Errorf("ask %s for its binlog files: %w", s.binlog.Leader.Address, err)
	}
	if n := len(files); n > latestFiles {
		files = files[n-latestFiles:]
	}
	if !s.mariadb() {
		db, err := mysqlconn.Open(s.binlog.Leader, nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = db.Close() }()
		q = db
	}
	var out []holding
	for _, file := range files {
		f := file["Log_name"]
		events, err := node.Rows(ctx, q, "SHOW BINLOG EVENTS IN '"+strings.ReplaceAll(f, "'", "''")+"' LIMIT 4")
		if err != nil {
			return nil, fmt.Errorf("ask %s for the head of %s: %w", s.binlog.Leader.Address, f, err)
		}
		for _, e := range events {
			if kind := e["Event_type"]; kind != "Previous_gtids" && kind != "Gtid_list" {
				continue
			}
			h, err := s.parse(strings.Trim(strings.ReplaceAll(e["Info"], "\n", ""), "[]"))
			if err != nil {
				return nil, fmt.Errorf("the head of %s of %s: %w", f, s.binlog.Leader.Address, err)
			}
			out = append(out, h)
			break
		}
	}
	return out, nil
}
