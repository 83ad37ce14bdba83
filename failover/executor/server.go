package executor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Account is who replicates.
type Account struct{ User, Password string }

// server is one node, as its hands see it.
type server struct {
	name, address string
	flavor        gtid.Flavor
	pool          *sql.DB
	acks          int     // see Config.Acks
	engine        bool    // an Engine replicates to it
	db            querier // pool, or one connection of it that owns the node, see own
}

// querier is what a pool and a connection have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// dial returns a server; it connects on first use.
func dial(c *Config, name, address string, flavor gtid.Flavor, log *slog.Logger) (*server, error) {
	db, err := mysqlconn.Open(mysqlconn.Config{
		Address: address, User: c.User, Password: c.Password, TLS: c.TLS, ConnectTimeout: c.ConnectTimeout,
		IOTimeout: max(c.Timeout, time.Second), MaxConns: 4, Program: "bellwether switchover",
	}, log)
	if err != nil {
		return nil, err
	}
	return &server{name: name, address: address, flavor: flavor, acks: c.Acks, engine: c.Engine != nil, pool: db, db: db}, nil
}

func (s *server) close() { _ = s.pool.Close() }

func (s *server) mariadb() bool { return s.flavor == gtid.MariaDB }

// exec runs statements in order, up to the first that is refused.
func (s *server) exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, verb(q), err)
		}
	}
	return nil
}

// verb is the beginning of a statement, without what may be a password.
func verb(q string) string {
	if before, _, found := strings.Cut(q, " TO "); found {
		return before
	}
	return q
}

// executed is what the node has committed.
func (s *server) executed(ctx context.Context) (gtid.Set, error) {
	q := "SELECT @@GLOBAL.gtid_executed, ''"
	switch {
	case s.mariadb() && s.engine: // gtid_current_pos has no number of another server's that came by the engine
		q = "SELECT @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_binlog_pos"
	case s.mariadb():
		q = "SELECT @@GLOBAL.gtid_current_pos, ''"
	}
	var text, more string
	if err := s.db.QueryRowContext(ctx, q).Scan(&text, &more); err != nil {
		return gtid.Set{}, fmt.Errorf("%s: ask for its position: %w", s.name, err)
	}
	return union(s.flavor, text, more)
}

func union(f gtid.Flavor, a, b string) (gtid.Set, error) {
	x, err := gtid.Parse(f, a)
	if err != nil {
		return x, err
	}
	y, err := gtid.Parse(f, b)
	return x.Union(y), err
}

// readOnly says whether the node refuses writes.
func (s *server) readOnly(ctx context.Context) (bool, error) {
	var on bool
	if err := s.db.QueryRowContext(ctx, "SELECT CONCAT(@@GLOBAL.read_only) NOT IN ('0', 'OFF')").Scan(&on); err != nil {
		return false, fmt.Errorf("%s: ask for read_only: %w", s.name, err)
	}
	return on, nil
}

// settings reads what against judges.
func (s *server) settings(ctx context.Context) (settings, error) {
	var st settings
	q := "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_replica_updates, @@GLOBAL.gtid_mode LIKE 'ON%', ''"
	show := "SHOW REPLICA STATUS"
	if s.mariadb() {
		q = "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_slave_updates, 1, CONCAT(@@GLOBAL.replicate_do_db, @@GLOBAL.replicate_do_table," +
			" @@GLOBAL.replicate_ignore_db, @@GLOBAL.replicate_ignore_table, @@GLOBAL.replicate_wild_do_table, @@GLOBAL.replicate_wild_ignore_table)"
		show = "SHOW ALL SLAVES STATUS"
	}
	if err := s.db.QueryRowContext(ctx, q).Scan(&st.LogBin, &st.LogReplica, &st.GTID, &st.Filters); err != nil {
		return st, fmt.Errorf("%s: ask for its settings: %w", s.name, err)
	}
	channels, err := s.table(ctx, show)
	if err != nil {
		return st, err
	}
	for _, ch := range channels {
		st.Channels++
		st.Named = st.Named || ch["Connection_name"] != "" || ch["Channel_Name"] != ""
		for _, n := range slices.Sorted(maps.Keys(ch)) {
			if strings.HasPrefix(n, "Replicate_") && !strings.Contains(n, "Server_Ids") && !strings.Contains(n, "Rewrite") && ch[n] != "" {
				st.Filters = strings.TrimSpace(st.Filters + " " + n + "=" + ch[n])
			}
		}
	}
	return st, nil
}

// table is the whole result of a query, each row by its columns' names.
func (s *server) table(ctx context.Context, q string) ([]map[string]string, error) {
	rows, err := s.db.QueryContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.name, q, err)
	}
	defer func() { _ = rows.Close() }()
	out, err := readTable(rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.name, q, err)
	}
	return out, nil
}

// readTable reads one result set.
func readTable(rows *sql.Rows) ([]map[string]string, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var out []map[string]string
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, n := range names {
			row[n] = values[i].String
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// fence makes the node refuse writes and returns its last position. A server
// waits here for commits that are under way; when time runs out, nothing of the
// attempt stays behind.
func (s *server) fence(ctx context.Context) (gtid.Set, error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("%s: %w", s.name, err)
	}
	defer func() { _ = conn.Close() }()
	var id uint64
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return gtid.Set{}, fmt.Errorf("%s: %w", s.name, err)
	}
	q := s.readOnlySQL()
	if _, err := conn.ExecContext(ctx, q); err != nil {
		return gtid.Set{}, errors.Join(fmt.Errorf("%s: %s: %w", s.name, q, err), s.unfence(ctx, id))
	}
	at, err := s.executed(ctx)
	if err != nil {
		return at, errors.Join(err, s.unfence(ctx, 0))
	}
	return at, nil
}

// readOnlySQL makes a node refuse writes.
func (s *server) readOnlySQL() string {
	if s.mariadb() {
		return "SET GLOBAL read_only = 1"
	}
	return "SET GLOBAL super_read_only = 1" // switches read_only on as well
}

// undoTimeout bounds what takes a step back, whose own time is over by then.
const undoTimeout = 10 * time.Second

// unfence lets the node take writes again. waiting is the connection of a fence
// that did not end: the server would go on with it, and refuse writes later.
func (s *server) unfence(ctx context.Context, waiting uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if waiting != 0 {
		if err := mysqlconn.Kill(ctx, s.db, waiting); err != nil {
			return fmt.Errorf("%s: end the attempt to make it read-only: %w", s.name, err)
		}
		if err := s.gone(ctx, waiting); err != nil {
			return err
		}
	}
	return s.open(ctx)
}

// process is a session of a server, its own ones included.
type process struct {
	id                   uint64
	user, command, state string
}

// sessions are those of a server. MySQL's performance_schema.processlist would be empty where
// performance_schema is off.
func sessions(ctx context.Context, q querier) ([]process, error) {
	rows, err := q.QueryContext(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return nil, fmt.Errorf("ask for its sessions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list, err := readTable(rows)
	if err != nil {
		return nil, fmt.Errorf("ask for its sessions: %w", err)
	}
	out := make([]process, 0, len(list))
	for _, row := range list {
		id, err := strconv.ParseUint(row["Id"], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("session %q: %w", row["Id"], err)
		}
		out = append(out, process{id, row["User"], row["Command"], row["State"]})
	}
	return out, nil
}

// gone waits until a connection is no longer there.
func (s *server) gone(ctx context.Context, id uint64) error {
	for {
		list, err := sessions(ctx, s.db)
		if err != nil {
			return fmt.Errorf("%s: look for connection %d: %w", s.name, id, err)
		}
		if !slices.ContainsFunc(list, func(p process) bool { return p.id == id }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: connection %d still tries to make it read-only: %w", s.name, id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// open lets the node take writes.
func (s *server) open(ctx context.Context) error {
	if s.mariadb() {
		return s.exec(ctx, "SET GLOBAL read_only = 0")
	}
	return s.exec(ctx, "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
}

// catchUp waits until the node has committed everything in at.
func (s *server) catchUp(ctx context.Context, at gtid.Set) error {
	for {
		has, err := s.executed(ctx)
		if err == nil && has.Contains(at) {
			return nil
		}
		if err == nil && s.engine { // MariaDB waits for what its own replication does only
			err = pause(ctx, time.Millisecond)
		} else if err == nil {
			q := "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 1)"
			if s.mariadb() {
				q = "SELECT MASTER_GTID_WAIT(?, 1)"
			}
			var result sql.NullInt64
			err = s.db.QueryRowContext(ctx, q, at.String()).Scan(&result)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: wait for %s: %w", s.name, at, ctx.Err())
		}
		if err != nil {
			return fmt.Errorf("%s: wait for %s: %w", s.name, at, err)
		}
	}
}

// halt ends the node's receiving and applying until it is started again.
func (s *server) halt(ctx context.Context) error {
	if s.mariadb() {
		return s.exec(ctx, "STOP ALL SLAVES")
	}
	return s.exec(ctx, "STOP REPLICA")
}

// detach ends the node's replication for good.
func (s *server) detach(ctx context.Context) error {
	if err := s.halt(ctx); err != nil {
		return err
	}
	if s.mariadb() {
		return s.exec(ctx, "RESET SLAVE ALL")
	}
	return s.exec(ctx, "RESET REPLICA ALL")
}

// follow makes the node a read-only follower of the one at that address, by GTID,
// from where it stands. A node that followed nobody may have led, and tells its position
// first: MariaDB keeps what it wrote and what it received apart.
func (s *server) follow(ctx context.Context, source string, who Account, alone bool) error {
	if s.engine {
		return s.standAside(ctx)
	}
	host, port, err := net.SplitHostPort(source)
	if err != nil {
		return fmt.Errorf("address %s: %w", source, err)
	}
	if err := s.acknowledge(ctx); err != nil {
		return err
	}
	if s.mariadb() {
		statements := []string{"SET GLOBAL read_only = 1", "STOP SLAVE"}
		if alone {
			statements = append(statements, "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos")
		}
		return s.exec(ctx, append(statements,
			plainMode+fmt.Sprintf("CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%s, MASTER_USER=%s, MASTER_PASSWORD=%s,"+
				" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1",
				quote(host), port, quote(who.User), quote(who.Password)),
			"START SLAVE")...)
	}
	return s.exec(ctx, "SET GLOBAL super_read_only = 1", "STOP REPLICA",
		plainMode+fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST=%s, SOURCE_PORT=%s, SOURCE_USER=%s, SOURCE_PASSWORD=%s,"+
			" SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=1000000,"+
			" SOURCE_HEARTBEAT_PERIOD=1", quote(host), port, quote(who.User), quote(who.Password)),
		"START REPLICA")
}

// acknowledge makes a node one that acknowledges, and waits for none itself: the
// commits of its own applier would wait, for ever. It is read-only before, which waits
// for the commits that wait; so no client is told anything that is not so.
func (s *server) acknowledge(ctx context.Context) error {
	if s.acks == 0 || s.engine {
		return nil
	}
	source, replica := s.semiSyncWords(ctx)
	return s.exec(ctx, s.readOnlySQL(), "SET GLOBAL rpl_semi_sync_"+source+"_enabled = 0", "SET GLOBAL rpl_semi_sync_"+replica+"_enabled = 1")
}

// plainMode makes quote right: what a backslash means depends on sql_mode.
const plainMode = "SET SESSION sql_mode = ''; "

// quote writes a text as a string under plainMode.
func quote(text string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
}
