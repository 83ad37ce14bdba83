package executor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// state is what a server says of itself in one look.
type state struct {
	Version  string
	Flavor   gtid.Flavor
	ServerID string
	UUID     string // empty on MariaDB
	ReadOnly bool
	Full     bool          // it has as many connections as it takes
	Events   bool          // it runs the events of its event scheduler
	Uptime   time.Duration // whole seconds
	Executed gtid.Set
	// Written is MariaDB's gtid_binlog_state.
	Written gtid.BinlogState
	Channel *channel // nil where none was given
	Ackers  int      // acknowledging followers that are connected; -1 unknown
	Acks    int      // that a commit waits for, without a timeout
	Mark    uint64
	Copying bool // it holds half a copy
	// Marked is for how long it has had its mark, by its own clock, in whole seconds.
	Marked time.Duration
}

// channel is the one replication connection.
type channel struct {
	Source, SourceID, SourceUUID string // host:port, server id, uuid (MySQL)
	Receiving, Applying          bool
	Started                      bool // the receiver runs or tries to connect
	Error                        string
	Received                     gtid.Set // MySQL: whole transactions in the relay log or executed
	At                           string   // grows with all that comes from the source, heartbeats included
	Heartbeat                    time.Duration
	Drained                      bool // the applier has read all of the relay log
}

// semiSyncForever is the shortest timeout of semi-synchronous replication that
// counts as none: beyond it a leader would go on without acknowledgements.
const semiSyncForever = 24 * time.Hour

const statusNames = "('Uptime', 'Threads_connected', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_source_clients')"

// lookQuery is everything at once. The mark comes last because its table may be
// missing, and an error ends a multi-statement. The replication tables of MySQL's
// performance_schema are there with performance_schema=OFF too.
func lookQuery(f gtid.Flavor) string {
	const copying = ", (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '" + mark.CopySchema + "') AS copying"
	const common = copying + "; SHOW GLOBAL STATUS WHERE Variable_name IN " + statusNames + "; SHOW GLOBAL VARIABLES WHERE Variable_name LIKE 'rpl_semi_sync%' OR Variable_name = 'max_connections'; "
	marked := "; SELECT epoch, TIMESTAMPDIFF(SECOND, marked, UTC_TIMESTAMP()) AS marked FROM `" + mark.Schema + "`.`epoch` WHERE id = 1"
	if f == gtid.MariaDB {
		return "SELECT @@version AS version, @@GLOBAL.server_id AS server_id, CONCAT(@@GLOBAL.read_only) AS read_only, '' AS uuid," +
			" @@GLOBAL.gtid_current_pos AS executed, @@GLOBAL.gtid_binlog_pos AS logged, @@GLOBAL.gtid_binlog_state AS written," +
			" CONCAT(@@GLOBAL.event_scheduler) AS events" + common + "SHOW ALL SLAVES STATUS" + marked
	}
	return "SELECT @@version AS version, @@GLOBAL.server_id AS server_id, CONCAT(@@GLOBAL.read_only) AS read_only, @@GLOBAL.server_uuid AS uuid," +
		" @@GLOBAL.gtid_executed AS executed, '' AS logged, '' AS written, CONCAT(@@GLOBAL.event_scheduler) AS events" + common + "SHOW REPLICA STATUS; " +
		"SELECT COUNT_RECEIVED_HEARTBEATS, HEARTBEAT_INTERVAL FROM performance_schema.replication_connection_status" +
		" JOIN performance_schema.replication_connection_configuration USING (CHANNEL_NAME) WHERE CHANNEL_NAME = ''" + marked
}

// look asks a server what it is, in one round trip.
func look(ctx context.Context, q querier, f gtid.Flavor) (*state, error) {
	rows, err := q.QueryContext(ctx, lookQuery(f))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var tables [][]map[string]string
	for {
		t, err := readTable(rows)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
		if !rows.NextResultSet() {
			break
		}
	}
	if _, _, refused := mysqlconn.ServerError(rows.Err()); rows.Err() != nil && !refused {
		return nil, rows.Err()
	}
	return parseState(f, tables, rows.Err())
}

// parseState makes a state of the result sets of lookQuery; refused is the error of
// the one that is missing at the end, which may be the mark's only.
func parseState(f gtid.Flavor, tables [][]map[string]string, refused error) (*state, error) {
	before := map[gtid.Flavor]int{gtid.MariaDB: 4, gtid.MySQL: 5}[f]
	if before == 0 || len(tables) < before || len(tables[0]) != 1 {
		return nil, errors.Join(errors.New("the server's answer is not whole"), refused)
	}
	id := tables[0][0]
	s := &state{
		Version: id["version"], Flavor: f, ServerID: id["server_id"], UUID: strings.ToLower(id["uuid"]),
		ReadOnly: id["read_only"] != "0" && id["read_only"] != "OFF", Ackers: -1, Copying: id["copying"] == "1",
		Events: id["events"] == "ON" || id["events"] == "1",
	}
	var err error
	if s.Executed, err = gtid.Parse(f, id["executed"]); err != nil {
		return nil, err
	}
	if s.Written, err = gtid.ParseBinlogState(id["written"]); err != nil {
		return nil, err
	}
	for _, row := range tables[1] {
		n, _ := strconv.ParseInt(row["Value"], 10, 63)
		switch strings.ToLower(row["Variable_name"]) {
		case "uptime":
			s.Uptime = time.Duration(n) * time.Second
		case "threads_connected":
			s.Full = n >= mostConnections(tables[2])
		default:
			s.Ackers = int(n)
		}
	}
	s.Acks = acksOf(tables[2])
	for _, row := range tables[3] {
		if c, ok := parseChannel(f, row); ok {
			s.Channel = c
			break
		}
	}
	if s.Channel == nil {
		// What came by the engine is in the binlog only (MariaDB).
		if s.Executed, err = union(f, id["executed"], id["logged"]); err != nil {
			return nil, err
		}
	}
	if f == gtid.MySQL && s.Channel != nil && len(tables[4]) == 1 {
		s.Channel.At += "/" + tables[4][0]["COUNT_RECEIVED_HEARTBEATS"]
		s.Channel.Heartbeat = seconds(tables[4][0]["HEARTBEAT_INTERVAL"])
	}
	if len(tables) > before && len(tables[before]) == 1 {
		if s.Mark, err = strconv.ParseUint(tables[before][0]["epoch"], 10, 64); err != nil {
			return nil, err
		}
		s.Marked = seconds(tables[before][0]["marked"])
	}
	return s, err
}

// mostConnections is how many connections a server takes of those who have no right to one more.
func mostConnections(variables []map[string]string) int64 {
	for _, row := range variables {
		if row["Variable_name"] == "max_connections" {
			if n, err := strconv.ParseInt(row["Value"], 10, 63); err == nil {
				return n
			}
		}
	}
	return math.MaxInt64
}

func seconds(text string) time.Duration {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1e6 {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// acksOf is for how many acknowledgements a commit waits without a timeout, by the
// variables of semi-synchronous replication in either of their names.
func acksOf(rows []map[string]string) int {
	v := map[string]string{}
	for _, row := range rows {
		v[strings.NewReplacer("_master_", "_source_", "_slave", "_replica").Replace(row["Variable_name"])] = row["Value"]
	}
	ms, err := strconv.ParseUint(v["rpl_semi_sync_source_timeout"], 10, 63)
	if err != nil || v["rpl_semi_sync_source_enabled"] != "ON" || v["rpl_semi_sync_source_wait_no_replica"] != "ON" ||
		v["rpl_semi_sync_source_wait_point"] != "AFTER_SYNC" || ms < uint64(semiSyncForever.Milliseconds()) {
		return 0
	}
	if n, err := strconv.Atoi(v["rpl_semi_sync_source_wait_for_replica_count"]); err == nil {
		return n
	}
	return 1 // MariaDB knows one only
}

// parseChannel reads a row of SHOW REPLICA STATUS or SHOW ALL SLAVES STATUS; false
// for channels with a name, which are not ours.
func parseChannel(f gtid.Flavor, row map[string]string) (*channel, bool) {
	if row["Channel_Name"] != "" || row["Connection_name"] != "" {
		return nil, false
	}
	c := &channel{}
	if f == gtid.MariaDB {
		c.Source, c.SourceID = row["Master_Host"]+":"+row["Master_Port"], row["Master_Server_Id"]
		c.Receiving, c.Started, c.Applying = row["Slave_IO_Running"] == "Yes", row["Slave_IO_Running"] != "No", row["Slave_SQL_Running"] == "Yes"
		c.At = row["Gtid_IO_Pos"] + "/" + row["Master_Log_File"] + ":" + row["Read_Master_Log_Pos"] + "/" + row["Slave_received_heartbeats"]
		c.Heartbeat = seconds(row["Slave_heartbeat_period"])
		c.Drained = strings.Contains(row["Slave_SQL_State"], "has read all relay log")
		c.Received, _ = gtid.Parse(f, row["Gtid_IO_Pos"]) // an upper bound: the last may not be whole
	} else {
		c.Source, c.SourceID, c.SourceUUID = row["Source_Host"]+":"+row["Source_Port"], row["Source_Server_Id"], strings.ToLower(row["Source_UUID"])
		c.Receiving, c.Started, c.Applying = row["Replica_IO_Running"] == "Yes", row["Replica_IO_Running"] != "No", row["Replica_SQL_Running"] == "Yes"
		c.At = row["Source_Log_File"] + ":" + row["Read_Source_Log_Pos"] + "/" + row["Retrieved_Gtid_Set"]
		c.Drained = strings.Contains(row["Replica_SQL_Running_State"], "has read all relay log")
		c.Received, _ = gtid.Parse(f, row["Retrieved_Gtid_Set"])
	}
	if c.Error = row["Last_SQL_Error"]; c.Error == "" {
		c.Error = row["Last_IO_Error"]
	}
	return c, true
}

// flavorOf asks a server which of the two it is.
func flavorOf(ctx context.Context, q querier) (gtid.Flavor, error) {
	var version string
	if err := q.QueryRowContext(ctx, "SELECT @@version").Scan(&version); err != nil {
		return gtid.FlavorUnknown, err
	}
	if strings.Contains(strings.ToLower(version), "mariadb") {
		return gtid.MariaDB, nil
	}
	return gtid.MySQL, nil
}

// errant is what a node wrote itself and the leader lacks, as far as both told it.
func errant(node, leader *state) gtid.Set {
	if node.Flavor == gtid.MySQL {
		return node.Executed.OfSource(node.UUID).Subtract(leader.Executed)
	}
	common := parted(node, leader)
	var items []string
	for key, last := range node.Written {
		if strconv.FormatUint(uint64(key.Server), 10) == node.ServerID && last > leader.Written[key] {
			items = append(items, fmt.Sprintf("%s-%d..%d", key, max(leader.Written[key], common[key.Domain].seq)+1, last))
		}
	}
	set, err := gtid.Parse(gtid.MariaDB, strings.Join(items, ","))
	if err != nil {
		return gtid.Set{} // cannot be: it was written above
	}
	return set
}

// divergent is all that a node holds and the leader does not. On MariaDB both tell
// the last number of each server in each domain, which is exact as long as the
// leader has kept what its followers wrote (log_slave_updates).
func divergent(node, leader *state) gtid.Set {
	if node.Flavor == gtid.MySQL {
		return node.Executed.Subtract(leader.Executed)
	}
	common := parted(node, leader)
	var items []string
	for key, last := range node.Written {
		if last > leader.Written[key] {
			// Numbers go on from server to server in a domain: those of this one begin behind what
			// both have.
			from := max(leader.Written[key], common[key.Domain].seq)
			items = append(items, fmt.Sprintf("%s-%d..%d", key, from+1, last))
		}
	}
	set, err := gtid.Parse(gtid.MariaDB, strings.Join(items, ","))
	if err != nil {
		return node.Executed // cannot be: it was written above
	}
	return set
}

// fork is the last transaction of a domain that two servers have both, by their numbers.
type fork struct {
	writer gtid.Writer
	seq    uint64
}

// parted says of each domain of MariaDB where two servers part.
func parted(node, leader *state) map[uint32]fork {
	common := map[uint32]fork{}
	for key, last := range node.Written {
		if n := min(last, leader.Written[key]); n > common[key.Domain].seq {
			common[key.Domain] = fork{key, n}
		}
	}
	return common
}

var _ querier = (*sql.Conn)(nil)
