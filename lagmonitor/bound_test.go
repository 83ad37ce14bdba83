package lagmonitor

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// What a read has seen is in the leader's position when that is asked for after the
// read: writers make transactions whose GTIDs say which rows they wrote.
func TestBoundCoversWhatIsSeen(t *testing.T) {
	eachCluster(t, 0, nil, func(r *rig) {
		t := r.T
		r.start()
		r.until("a leader", func(s *topology.Snapshot) bool { return s.Leader != nil })
		const writers = 8
		db, err := mysqlconn.Open(mysqlconn.Config{
			Address: r.Nodes()[0].Addr(), User: sandbox.AdminAccount.User, Password: sandbox.AdminAccount.Password, MaxConns: writers + 1,
		}, nil)
		must(t, err)
		defer func() { _ = db.Close() }()
		for w := range writers {
			must(t, exec(r.ctx, db, fmt.Sprintf("CREATE TABLE %s.w%d (id INT PRIMARY KEY) ENGINE=InnoDB", sandbox.AppSchema, w)))
		}
		ctx, cancel := context.WithCancel(r.ctx)
		var wg sync.WaitGroup
		for w := range writers {
			conn, err := db.Conn(ctx)
			must(t, err)
			defer func() { _ = conn.Close() }()
			wg.Go(func() { writeNumbered(ctx, t, conn, r.flavor, w) })
		}
		behind, tries := 0, 1000
		for range tries {
			seen := seenNumbers(r.ctx, t, db, r.flavor, writers)
			position, err := sandbox.Position(r.ctx, db, r.flavor)
			must(t, err)
			had, err := gtid.Parse(r.flavor, position)
			must(t, err)
			if !had.Contains(seen) {
				behind++
			}
			seen = seenNumbers(r.ctx, t, db, r.flavor, writers)
			bound, err := r.mon.LeaderPosition(r.ctx)
			must(t, err)
			if !bound.Contains(seen) {
				t.Errorf("seen %s, and then the bound was %s", seen, bound)
				break
			}
		}
		cancel()
		wg.Wait()
		t.Logf("%d of %d times the position alone lacked what had been read before", behind, tries)
	})
}

// numbered is the GTID of row id of a writer.
func numbered(f gtid.Flavor, w, id int) string {
	if f == gtid.MariaDB {
		return fmt.Sprintf("%d-%d-%d", w+1, 1, id)
	}
	return fmt.Sprintf("00000000-0000-0000-0000-%012d:1-%d", w+1, id)
}

func writeNumbered(ctx context.Context, t *testing.T, conn *sql.Conn, f gtid.Flavor, w int) {
	for id := 1; ctx.Err() == nil; id++ {
		set := fmt.Sprintf("SET SESSION gtid_domain_id = %d", w+1)
		if f == gtid.MySQL {
			set = fmt.Sprintf("SET SESSION gtid_next = '00000000-0000-0000-0000-%012d:%d'", w+1, id)
		}
		for _, s := range []string{set, fmt.Sprintf("INSERT INTO %s.w%d VALUES (%d)", sandbox.AppSchema, w, id)} {
			if _, err := conn.ExecContext(context.WithoutCancel(ctx), s); err != nil {
				t.Errorf("%s: %v", s, err)
				return
			}
		}
	}
}

// seenNumbers reads what all writers have written, and returns its GTIDs.
func seenNumbers(ctx context.Context, t *testing.T, db *sql.DB, f gtid.Flavor, writers int) (all gtid.Set) {
	t.Helper()
	ids, into, query := make([]int, writers), make([]any, writers), "SELECT "
	for w := range writers {
		into[w] = &ids[w]
		query += fmt.Sprintf("(SELECT IFNULL(MAX(id), 0) FROM %s.w%d), ", sandbox.AppSchema, w)
	}
	must(t, db.QueryRowContext(ctx, strings.TrimSuffix(query, ", ")).Scan(into...))
	for w, id := range ids {
		if id == 0 {
			continue
		}
		set, err := gtid.Parse(f, numbered(f, w, id))
		must(t, err)
		all = all.Union(set)
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}
