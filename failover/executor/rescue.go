package executor

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/bellwetherdb/bellwether/internal/disk"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// rescueRequest is what a node holds of its own.
type rescueRequest struct {
	server *server
	node   *state
	leader *state // what it holds is not saved
	own    gtid.Set
	epoch  uint64
}

// rescuer saves the transactions that a node holds and its leader does not: the
// events as they are, in a file that the servers' own tools read, and the same for
// people, a JSON object for each transaction.
type rescuer struct {
	cfg      *Config
	dir      string
	answered func(gtid string, began time.Time) (yes, known bool) // may be nil
	log      *slog.Logger
}

// RescuedTransaction is a line of transactions.jsonl.
type RescuedTransaction struct {
	GTID string    `json:"gtid"`
	Time time.Time `json:"time"` // by the clock of the server that wrote it
	// Answered says whether the proxy that saved it had told a client that it had committed; nil
	// where it does not know.
	Answered *bool           `json:"answered"`
	Changes  []RescuedChange `json:"changes"`
}

// RescuedChange is a statement, or the rows that one changed in one table.
type RescuedChange struct {
	Kind      string           `json:"kind"` // statement | insert | update | delete
	Schema    string           `json:"schema,omitempty"`
	Table     string           `json:"table,omitempty"`
	Statement string           `json:"statement,omitempty"`
	Before    []map[string]any `json:"before,omitempty"` // update and delete
	After     []map[string]any `json:"after,omitempty"`  // insert and update
}

// rescueServerID is what the reading connection calls itself; no server may have it.
const rescueServerID = 4_100_000_000

// idle is how long a binlog may stay silent before the rescue gives up.
const idle = 30 * time.Second

// save writes both files into a folder of its own, durably, and returns its path. What
// was saved before is not saved again. The file "position" there says where in the node's binlog
// the first of it begins.
func (r *rescuer) save(ctx context.Context, q rescueRequest) (string, error) {
	path := filepath.Join(r.dir, fmt.Sprintf("%s-epoch%d", q.server.name, q.epoch))
	for n := 2; ; n++ {
		was, err := os.ReadFile(filepath.Join(path, "gtids"))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err == nil && string(was) == q.own.String() {
			return path, nil
		}
		path = filepath.Join(r.dir, fmt.Sprintf("%s-epoch%d-%d", q.server.name, q.epoch, n))
	}
	tmp := path + ".new"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return "", err
	}
	if err := r.copy(ctx, q, tmp); err != nil {
		return "", err
	}
	if err := writeSynced(filepath.Join(tmp, "gtids"), []byte(q.own.String())); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	return path, disk.SyncDir(r.dir)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// copy reads the node's binlog from where it and the leader part, to its end.
func (r *rescuer) copy(ctx context.Context, q rescueRequest, dir string) (err error) {
	file, end, err := q.server.binlogEnd(ctx)
	if err != nil {
		return err
	}
	raw, err := os.OpenFile(filepath.Join(dir, "binlog"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	text, err := os.OpenFile(filepath.Join(dir, "transactions.jsonl"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	w := &rescueWriter{req: &q, answered: r.answered, raw: bufio.NewWriter(raw), text: bufio.NewWriter(text), columns: map[string][]string{}, last: map[gtid.Writer]uint64{}}
	_, err = w.raw.WriteString("\xfebin")
	from, wrong := parting(q.node, q.leader)
	if wrong != nil {
		wrong = fmt.Errorf("where the node and its leader part: %w", wrong)
	}
	if err = errors.Join(err, wrong); err == nil {
		begin := func(s *replication.BinlogSyncer) (*replication.BinlogStreamer, error) { return s.StartSyncGTID(from) }
		err = r.stream(ctx, q.server, begin, func(name string, e *replication.BinlogEvent) (bool, error) {
			w.file = name
			if err := w.take(ctx, e); err != nil {
				return false, err
			}
			return w.file == file && e.Header.LogPos >= end, nil
		})
	}
	err = errors.Join(err, w.raw.Flush(), w.text.Flush(), raw.Sync(), text.Sync(), raw.Close(), text.Close())
	if err = errors.Join(err, w.whole()); err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, "position"), fmt.Appendf(nil, "%s:%d", w.first.Name, w.first.Pos))
}

// binlogEnd is where the node's binlog ends now.
func (s *server) binlogEnd(ctx context.Context) (file string, pos uint32, err error) {
	rows, err := s.table(ctx, "SHOW MASTER STATUS")
	if err != nil {
		rows, err = s.table(ctx, "SHOW BINARY LOG STATUS")
	}
	if err != nil {
		return "", 0, err
	}
	if len(rows) != 1 {
		return "", 0, fmt.Errorf("%s writes no binlog", s.name)
	}
	n, err := strconv.ParseUint(rows[0]["Position"], 10, 32)
	return rows[0]["File"], uint32(n), err
}

// parting is the position from which on all in the node's binlog is to be looked at.
func parting(node, leader *state) (mysql.GTIDSet, error) {
	if node.Flavor == gtid.MySQL {
		// A server refuses who has more of its own transactions than it has itself (1236).
		both := node.Executed.Subtract(divergent(node, leader))
		return mysql.ParseGTIDSet(mysql.MySQLFlavor, both.String())
	}
	var all []string
	for _, f := range parted(node, leader) {
		all = append(all, fmt.Sprintf("%s-%d", f.writer, f.seq))
	}
	return mysql.ParseGTIDSet(mysql.MariaDBFlavor, strings.Join(all, ","))
}

// stream hands a node's events from where begin says on to f, with the name of their file, until f
// says that it was the last.
func (r *rescuer) stream(
	ctx context.Context, node *server, begin func(*replication.BinlogSyncer) (*replication.BinlogStreamer, error), f func(file string, e *replication.BinlogEvent) (bool, error),
) error {
	host, portText, err := net.SplitHostPort(node.address)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	var encrypted *tls.Config
	if m := r.cfg.TLS.Mode; m != "" && m != "off" && m != mysqlconn.TLSPreferred {
		if encrypted, err = r.cfg.TLS.Config(node.address); err != nil {
			return err
		}
	}
	flavor := mysql.MySQLFlavor
	if node.mariadb() {
		flavor = mysql.MariaDBFlavor
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: rescueServerID, Flavor: flavor, Host: host, Port: uint16(port), User: r.cfg.Replication.User,
		Password: r.cfg.Replication.Password, TLSConfig: encrypted, ParseTime: false, UseDecimal: true, DisableRetrySync: true,
		FillZeroLogPos: true, VerifyChecksum: true, Logger: r.log,
	})
	defer syncer.Close()
	streamer, err := begin(syncer)
	if err != nil {
		return fmt.Errorf("read the binlog of %s: %w", node.name, err)
	}
	file := ""
	for {
		ectx, cancel := context.WithTimeout(ctx, idle)
		e, err := streamer.GetEvent(ectx)
		cancel()
		if err != nil {
			return fmt.Errorf("read the binlog of %s: %w", node.name, err)
		}
		if rot, ok := e.Event.(*replication.RotateEvent); ok {
			file = string(rot.NextLogName)
			continue
		}
		if last, err := f(file, e); err != nil || last {
			return err
		}
	}
}

// rescueWriter keeps the transactions that are the node's own.
type rescueWriter struct {
	req      *rescueRequest
	answered func(gtid string, began time.Time) (yes, known bool)
	raw      *bufio.Writer
	text     *bufio.Writer
	columns  map[string][]string // by schema and table
	file     string              // of the binlog that is being read
	first    mysql.Position      // of the first transaction that is kept
	present  *RescuedTransaction // nil between transactions, and in one that is not kept
	started  bool                // the format of the events has been written
	inside   bool                // the transaction ends with a commit, and not with its only statement
	saved    uint64
	last     map[gtid.Writer]uint64 // MariaDB: the last number of each server that was saved
}

// whole is an error where the binlog did not hold all that the node has of its own: by their
// count, or, where numbers have gaps, by the last one of each server.
func (w *rescueWriter) whole() error {
	if w.req.node.Flavor == gtid.MySQL {
		if n := w.req.own.Count(); w.saved != n {
			return fmt.Errorf("the binlog holds %d of the %d transactions", w.saved, n)
		}
		return nil
	}
	for key, last := range w.req.node.Written {
		if last > w.req.leader.Written[key] && w.last[key] != last {
			return fmt.Errorf("the binlog holds nothing of %s-%d", key, last)
		}
	}
	return nil
}

func (w *rescueWriter) take(ctx context.Context, e *replication.BinlogEvent) error {
	switch ev := e.Event.(type) {
	case *replication.FormatDescriptionEvent:
		if w.started {
			return nil
		}
		w.started = true
		_, err := w.raw.Write(e.RawData)
		return err
	case *replication.GTIDEvent, *replication.MariadbGTIDEvent:
		if err := w.end(); err != nil {
			return err
		}
		if err := w.begin(e); err != nil {
			return err
		}
	case *replication.XIDEvent:
		if w.present != nil {
			if _, err := w.raw.Write(e.RawData); err != nil {
				return err
			}
		}
		return w.end()
	case *replication.TransactionPayloadEvent:
		for _, inner := range ev.Events {
			w.note(ctx, inner)
		}
	default:
		w.note(ctx, e)
	}
	if w.present == nil {
		return nil
	}
	if _, err := w.raw.Write(e.RawData); err != nil {
		return err
	}
	if q, ok := e.Event.(*replication.QueryEvent); ok {
		switch text := string(q.Query); {
		case strings.EqualFold(text, "BEGIN"):
			w.inside = true
		case !w.inside || strings.EqualFold(text, "COMMIT"):
			return w.end()
		}
	}
	if _, ok := e.Event.(*replication.TransactionPayloadEvent); ok {
		return w.end()
	}
	return nil
}

// begin starts a transaction, unless the leader has it too.
func (w *rescueWriter) begin(e *replication.BinlogEvent) error {
	w.inside = false
	name, own, err := w.req.owns(e)
	if err != nil || !own && w.req.node.Flavor == gtid.MariaDB {
		return err // MySQL sends none but the node's own
	}
	if ev, ok := e.Event.(*replication.MariadbGTIDEvent); ok {
		w.inside = !ev.IsStandalone() // it stands for BEGIN
		w.last[gtid.Writer{Domain: ev.GTID.DomainID, Server: ev.GTID.ServerID}] = ev.GTID.SequenceNumber
	}
	if w.first.Name == "" {
		w.first = mysql.Position{Name: w.file, Pos: e.Header.LogPos - e.Header.EventSize}
	}
	w.present = &RescuedTransaction{GTID: name, Time: time.Unix(int64(e.Header.Timestamp), 0).UTC(), Changes: []RescuedChange{}}
	if w.answered != nil {
		if yes, known := w.answered(name, w.present.Time); known {
			w.present.Answered = &yes
		}
	}
	return nil
}

// end writes the transaction down.
func (w *rescueWriter) end() error {
	if w.present == nil {
		return nil
	}
	b, err := json.Marshal(w.present)
	w.present = nil
	w.saved++
	if err == nil {
		_, err = w.text.Write(append(b, '\n'))
	}
	return err
}

// note adds what an event changes to the transaction, for people.
func (w *rescueWriter) note(ctx context.Context, e *replication.BinlogEvent) {
	if w.present == nil {
		return
	}
	switch ev := e.Event.(type) {
	case *replication.QueryEvent:
		if q := string(ev.Query); !strings.EqualFold(q, "BEGIN") && !strings.EqualFold(q, "COMMIT") {
			w.present.Changes = append(w.present.Changes, RescuedChange{Kind: "statement", Schema: string(ev.Schema), Statement: q})
		}
	case *replication.RowsEvent:
		if ev.Table == nil {
			return
		}
		c := RescuedChange{Schema: string(ev.Table.Schema), Table: string(ev.Table.Table)}
		names := w.names(ctx, &c, int(ev.ColumnCount))
		rows := make([]map[string]any, 0, len(ev.Rows))
		for _, r := range ev.Rows {
			rows = append(rows, namedRow(names, r))
		}
		switch ev.Type() {
		case replication.EnumRowsEventTypeInsert:
			c.Kind, c.After = "insert", rows
		case replication.EnumRowsEventTypeDelete:
			c.Kind, c.Before = "delete", rows
		default:
			c.Kind = "update"
			for i := 0; i+1 < len(rows); i += 2 {
				c.Before, c.After = append(c.Before, rows[i]), append(c.After, rows[i+1])
			}
		}
		w.present.Changes = append(w.present.Changes, c)
	}
}

// names are the table's columns as the node has them now, or numbers where their
// count is another one than at the time.
func (w *rescueWriter) names(ctx context.Context, c *RescuedChange, n int) []string {
	key := c.Schema + "." + c.Table
	names, ok := w.columns[key]
	if !ok {
		q := "SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION"
		rows, err := w.req.server.pool.QueryContext(ctx, q, c.Schema, c.Table)
		if err == nil {
			list, _ := readTable(rows)
			_ = rows.Close()
			for _, row := range list {
				names = append(names, row["name"])
			}
		}
		w.columns[key] = names
	}
	if len(names) == n {
		return names
	}
	names = make([]string, n)
	for i := range names {
		names[i] = "@" + strconv.Itoa(i+1)
	}
	return names
}

// base64Prefix begins a value that is not UTF-8.
const base64Prefix = "base64:"

func namedRow(names []string, values []any) map[string]any {
	out := make(map[string]any, len(values))
	for i, v := range values {
		if i >= len(names) {
			break
		}
		if b, ok := v.([]byte); ok {
			if v = string(b); !utf8.Valid(b) || bytes.HasPrefix(b, []byte(base64Prefix)) {
				v = base64Prefix + base64.StdEncoding.EncodeToString(b)
			}
		}
		out[names[i]] = v
	}
	return out
}
