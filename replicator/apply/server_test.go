package apply

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a leader and a server that nothing replicates to but the Applier.
type pair struct {
	leader, follower *sandbox.Node
	flavor           gtid.Flavor
	connections      int // of the Applier
}

// eachPair runs f with each flavour, over one connection and over several.
func eachPair(t *testing.T, f func(t *testing.T, p *pair)) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	want := os.Getenv("BELLWETHER_FLAVORS")
	if want == "" {
		want = "mariadb-10.11"
	}
	for name := range strings.SplitSeq(want, ",") {
		for _, n := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) {
				p := newPair(t, name)
				p.connections = n
				f(t, p)
			})
		}
	}
}

func newPair(t *testing.T, flavor string) *pair {
	s, err := sandbox.Find(t.Context(), flavor)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{flavor: s.Flavor, connections: 1}
	for i, node := range []**sandbox.Node{&p.leader, &p.follower} {
		dir, err := os.MkdirTemp("", "bw-apply-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		n, err := sandbox.NewNode(sandbox.NodeOptions{Server: s, Name: fmt.Sprintf("db%d", i+1), Dir: dir, ServerID: uint32(i + 1), Durable: i == 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		if err := n.Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		*node = n
	}
	mustExec(t, p.follower.DB(), "SET GLOBAL read_only=1")
	return p
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustExec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }() // not for others: it may have set variables
	for _, s := range statements {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func scalar(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var v sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

// config is root at the node's socket.
func config(n *sandbox.Node) mysqlconn.Config {
	return mysqlconn.Config{Address: n.Socket(), User: "root"}
}

var errEnd = errors.New("no more transactions")

// parts is a Source that ends.
type parts []*binlog.Part

func (p *parts) Next(ctx context.Context) (*binlog.Part, error) {
	if len(*p) == 0 {
		<-ctx.Done() // the test ends the Applier when all is committed
		return nil, errEnd
	}
	next := (*p)[0]
	*p = (*p)[1:]
	return next, nil
}

// read returns what the leader's binlog files hold and the position lacks, in
// parts of about bound bytes.
func (p *pair) read(t *testing.T, from gtid.Set, bound int) (out parts, last binlog.GTID) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.leader.Dir(), "data", "binlog.[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		asm, checksum := binlog.NewAssembler(bound), false
		for b = b[4:]; len(b) > 0; {
			h, err := binlog.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			raw := b[:h.Size]
			b = b[h.Size:]
			if h.Type == binlog.TypeFormatDescription {
				f, err := binlog.ParseFormatDescription(raw)
				if err != nil {
					t.Fatal(err)
				}
				asm.Format(f)
				checksum = f.Checksum == binlog.ChecksumCRC32
				continue
			}
			ev, err := binlog.ParseEvent(raw, checksum)
			if err != nil {
				t.Fatal(err)
			}
			err = asm.Add(ev, func(part *binlog.Part) error {
				if !from.Contains(part.Txn.GTID.Set()) {
					out = append(out, part)
					last = part.Txn.GTID
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return out, last
}

// apply applies all that the follower lacks; stopAt ends the Applier after that
// many commits (0: at the end).
func (p *pair) apply(t *testing.T, bound, stopAt int, change func(*Options)) error {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var last binlog.GTID
	done, n := false, 0
	o := Options{Follower: config(p.follower), Flavor: p.flavor, Connections: p.connections, Logger: slog.New(slog.DiscardHandler)}
	o.Committed = func(g binlog.GTID) {
		if n++; g == last || n == stopAt {
			done = true
			cancel()
		}
	}
	if change != nil {
		change(&o)
	}
	err := New(o).Run(ctx, func(_ context.Context, pos gtid.Set) (Source, error) {
		var src parts
		if src, last = p.read(t, pos, bound); len(src) == 0 {
			done = true
			cancel()
		}
		return &src, nil
	})
	if done && !errors.As(err, new(*StopError)) {
		return nil
	}
	return err
}

// equal fails where the follower's tables or position are not the leader's.
func (p *pair) equal(t *testing.T) {
	t.Helper()
	pos := "SELECT @@GLOBAL.gtid_executed"
	if p.flavor == gtid.MariaDB {
		pos = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	if l, f := scalar(t, p.leader.DB(), pos), scalar(t, p.follower.DB(), pos); l != f {
		t.Errorf("the follower is at %s, the leader at %s", f, l)
	}
	tables := func(db *sql.DB) string {
		return scalar(t, db, "SET SESSION group_concat_max_len=1000000; SELECT 1") +
			scalar(t, db, "SELECT GROUP_CONCAT(CONCAT(table_schema,'.',table_name) ORDER BY 1) FROM information_schema.tables WHERE table_type='BASE TABLE' AND table_schema NOT IN ('mysql','sys','performance_schema','information_schema')")
	}
	names := tables(p.leader.DB())
	if f := tables(p.follower.DB()); f != names {
		t.Fatalf("the follower has tables %s, the leader %s", f, names)
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(names, "1"), ",") {
		if l, f := tableOf(t, p.leader.DB(), name), tableOf(t, p.follower.DB(), name); l != f {
			t.Errorf("%s on the leader: %s\non the follower: %s", name, l, f)
		}
	}
}

func tableOf(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	var name, create, sum sql.NullString
	if err := db.QueryRowContext(t.Context(), "SHOW CREATE TABLE "+table).Scan(&name, &create); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "CHECKSUM TABLE "+table+" EXTENDED").Scan(&name, &sum); err != nil {
		t.Fatal(err)
	}
	return create.String + " checksum " + sum.String
}
