package lagmonitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/visible"
)

// prober asks one node. It is used by one goroutine.
type prober struct {
	node    string
	db      *sql.DB
	timeout time.Duration
	schema  string // of the heartbeat; empty: not asked for

	engine  bool        // the engine replicates: what the node applied is in its binlog
	standby func() bool // the engine that replicates to the node is another Bellwether's
	visible visible.Position

	version string // as of the last answer; empty: ask
}

func newProber(cfg *Config, n *NodeConfig, log *slog.Logger) (*prober, error) {
	db, err := mysqlconn.Open(mysqlconn.Config{
		Address: n.Address, User: cfg.User, Password: cfg.Password, TLS: cfg.TLS,
		ConnectTimeout: min(cfg.ConnectTimeout, cfg.Timeout), IOTimeout: 2 * cfg.Timeout,
		Program: "bellwether lag monitor",
	}, log)
	if err != nil {
		return nil, err
	}
	p := &prober{node: n.Name, db: db, timeout: cfg.Timeout, engine: cfg.Following != nil, standby: cfg.standby(n.Name)}
	if cfg.Heartbeat.Enabled {
		p.schema = cfg.Heartbeat.Schema
	}
	return p, nil
}

func (p *prober) close() { _ = p.db.Close() }

// probe asks the node once, in one round trip where its flavour is known.
func (p *prober) probe(ctx context.Context) Observation {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	o := Observation{Node: p.node, Sent: time.Now()}
	err := p.ask(ctx, &o)
	if err == nil && o.Flavor == gtid.MariaDB && p.standby() {
		o.Visible, err = p.visible.Ask(ctx, p.db)
	}
	if err == nil {
		return o
	}
	p.version = "" // it may come back as another version
	number, message, refused := mysqlconn.ServerError(err)
	if refused {
		err = fmt.Errorf("error %d: %s", number, message)
	}
	return Observation{
		Node: p.node, Sent: o.Sent, Received: time.Now(),
		Err: err, Gone: mysqlconn.Unreachable(err), Refused: refused,
	}
}

func (p *prober) ask(ctx context.Context, o *Observation) error {
	if p.version == "" {
		if err := p.db.QueryRowContext(ctx, "SELECT @@version").Scan(&p.version); err != nil {
			return err
		}
		o.Sent = time.Now()
	}
	o.Flavor = flavorOf(p.version)
	rows, err := p.db.QueryContext(ctx, probeQuery(p.version, p.schema, p.engine))
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := readIdentity(rows, o); err != nil {
		return err
	}
	if !rows.NextResultSet() {
		return errors.Join(errors.New("replication status is missing"), rows.Err())
	}
	if err := readChannels(rows, o); err != nil {
		return err
	}
	if p.schema == "" || !rows.NextResultSet() {
		// A heartbeat table that is not there, or may not be read, is an error of
		// the last statement: everything else is known by now.
		if _, _, ours := mysqlconn.ServerError(rows.Err()); ours {
			return nil
		}
		return rows.Err()
	}
	return readBeats(rows, o)
}

// probeQuery is everything at once. The heartbeat comes last because its table
// may be missing, and an error ends a multi-statement.
func probeQuery(version, schema string, engine bool) string {
	const clock = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	positions := "@@gtid_current_pos, @@gtid_slave_pos"
	if engine { // gtid_current_pos leaves out what the engine applied
		positions = "@@gtid_binlog_pos, @@gtid_slave_pos"
	}
	q := "SELECT " + clock + ", @@global.server_id, @@global.read_only, @@version, @@global.log_bin," +
		" '', '', " + positions + "; SHOW ALL SLAVES STATUS"
	if flavorOf(version) == gtid.MySQL {
		show := "SHOW REPLICA STATUS"
		if oldReplicaWords(version) {
			show = "SHOW SLAVE STATUS"
		}
		q = "SELECT " + clock + ", @@global.server_id, @@global.read_only, @@version, @@global.log_bin," +
			" CONCAT(@@global.gtid_mode, ' ', @@global.gtid_owned), @@global.server_uuid, @@global.gtid_executed, ''; " + show
	}
	if schema != "" {
		q += "; SELECT server_id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', written) FROM " + heartbeatTable(schema)
	}
	return q
}

func readIdentity(rows *sql.Rows, o *Observation) error {
	if !rows.Next() {
		return errors.Join(errors.New("the server said nothing of itself"), rows.Err())
	}
	var id identity
	err := rows.Scan(&id.clock, &id.serverID, &id.readOnly, &id.version, &id.logBin,
		&id.gtidMode, &id.uuid, &id.committed, &id.applied)
	o.Received = time.Now()
	if err != nil {
		return err
	}
	if o.Flavor == gtid.MySQL {
		id.applied = id.committed
	}
	return id.into(o)
}

func readChannels(rows *sql.Rows, o *Observation) error {
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := make(map[string]string, len(names))
		for i, n := range names {
			row[n] = values[i].String
		}
		if c, ok := parseChannel(row); ok {
			o.Channels = append(o.Channels, c)
		}
	}
	return rows.Err()
}

func readBeats(rows *sql.Rows, o *Observation) error {
	for rows.Next() {
		var server uint64
		var written sql.NullInt64
		if err := rows.Scan(&server, &written); err != nil {
			return err
		}
		if o.Beats == nil {
			o.Beats = map[uint64]time.Time{}
		}
		o.Beats[server] = time.UnixMicro(written.Int64).UTC()
	}
	return rows.Err()
}
