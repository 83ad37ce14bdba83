package proxy

import (
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// sessionState is what the home connection told of its session that a read on a
// follower can depend on. The server's own trackers tell it; no SQL is parsed.
type sessionState struct {
	version uint64 // grows with each change
	schema  string
	vars    []variable
	id      uint64     // see stateIDs; 0: none yet
	made    [2]*varSet // what current returned last, for followers and for home
	unmoved string     // a variable was set that another home connection would lack; its name
	fixed   string     // a variable was set whose effect cannot be carried to another connection; its name
}

type variable struct {
	name, value string
	version     uint64 // of the state when it changed
	home        bool   // it has a meaning on home connections only
}

// stays are variables that are not carried to followers: they have a meaning on
// the home connection only, or are set there by Bellwether.
var stays = map[string]bool{
	"autocommit": true, "transaction_read_only": true, "tx_read_only": true,
	"session_track_system_variables": true, "session_track_schema": true, "session_track_gtids": true,
	"session_track_state_change": true, "session_track_transaction_info": true,
	"gtid_next": true, "last_gtid": true, "gtid_domain_id": true, "gtid_seq_no": true, "server_id": true,
	"insert_id": true, "last_insert_id": true, "identity": true,
	"pseudo_thread_id": true, "pseudo_slave_mode": true, "pseudo_replica_mode": true,
	"sql_log_bin": true, "sql_log_off": true, "skip_replication": true,
	"binlog_format": true, "binlog_row_image": true, "auto_increment_increment": true, "auto_increment_offset": true,
	"foreign_key_checks": true, "unique_checks": true, "check_constraint_checks": true,
	"warning_count": true, "error_count": true, "proxy_user": true, "external_user": true,
	"in_transaction": true, "statement_id": true, "rand_seed1": true, "rand_seed2": true, "lock_wait_timeout": true,
	"innodb_lock_wait_timeout": true, "profiling": true, "slow_query_log": true,
}

// homeOnly are those of stays that can be brought to another home connection.
var homeOnly = map[string]bool{
	"foreign_key_checks": true, "unique_checks": true, "check_constraint_checks": true,
	"lock_wait_timeout": true, "innodb_lock_wait_timeout": true, "transaction_read_only": true, "tx_read_only": true,
	"auto_increment_increment": true, "auto_increment_offset": true,
}

// reported are those of stays that the servers report by themselves, that
// Bellwether sets, or that moveHome brings.
var reported = map[string]bool{
	"autocommit": true, "last_gtid": true, "statement_id": true, "warning_count": true, "error_count": true, "in_transaction": true,
	"session_track_system_variables": true, "session_track_schema": true, "session_track_gtids": true,
	"proxy_user": true, "external_user": true,
}

// fixes are variables that change what reads answer, and that another connection
// cannot be given: time stands still, or counting starts, on this one.
var fixes = map[string]bool{
	"timestamp": true, "rand_seed1": true, "rand_seed2": true, "debug_sync": true, "debug_dbug": true,
	"transaction_isolation": false, "system_versioning_asof": false,
}

func (st *sessionState) set(name, value string) {
	name = strings.ToLower(name)
	if fixes[name] {
		st.fixed = name
	}
	if stays[name] && !homeOnly[name] {
		if !reported[name] {
			st.unmoved = name
		}
		return
	}
	st.version++
	for i := range st.vars {
		if v := &st.vars[i]; v.name == name {
			// Last set comes last: SET NAMES changes several, and the order counts.
			copy(st.vars[i:], st.vars[i+1:])
			st.vars[len(st.vars)-1] = variable{name, value, st.version, homeOnly[name]}
			return
		}
	}
	st.vars = append(st.vars, variable{name, value, st.version, homeOnly[name]})
}

func (st *sessionState) use(schema string) {
	st.schema = schema
}

// namesVariable stands for SET NAMES ... COLLATE, which chooses more than can be
// said by variables: the collation of results. Its value is the collation.
const namesVariable = "names"

// has says whether a variable was last told to have that value.
func (st *sessionState) has(name, value string) bool {
	for _, v := range st.vars {
		if v.name == name {
			return v.value == value
		}
	}
	return false
}

// forget drops everything, as COM_RESET_CONNECTION and COM_CHANGE_USER do.
func (st *sessionState) forget() {
	st.vars = nil
	st.fixed, st.unmoved = "", ""
	st.version, st.id = 0, 0
}

// assign writes one assignment of a SET.
func (x *variable) assign(sql *strings.Builder) {
	if x.name == namesVariable {
		charset, _, _ := strings.Cut(x.value, "_")
		sql.WriteString("NAMES " + charset + " COLLATE " + x.value)
		return
	}
	sql.WriteString("SESSION ")
	sql.WriteString(x.name)
	sql.WriteByte('=')
	appendValue(sql, x.name, x.value)
}

// drop forgets a variable.
func (st *sessionState) drop(name string) {
	st.version++
	st.vars = slices.DeleteFunc(st.vars, func(x variable) bool { return x.name == name })
}

// appendValue writes a value as the trackers give it: numbers bare, everything
// else as a string. The trackers give NULL as an empty string, which for a
// character set can be nothing else.
func appendValue(sql *strings.Builder, name, value string) {
	switch {
	case isNumber(value):
		sql.WriteString(value)
	case value == "" && strings.HasPrefix(name, "character_set_"):
		sql.WriteString("NULL")
	default:
		// Hexadecimal is beyond the reach of sql_mode and character sets. With no
		// introducer it is a binary string, so the introducer says what it is.
		if value == "" {
			sql.WriteString("''")
			return
		}
		const digits = "0123456789abcdef"
		sql.WriteString("_utf8mb4 x'")
		for i := range len(value) {
			sql.WriteByte(digits[value[i]>>4])
			sql.WriteByte(digits[value[i]&15])
		}
		sql.WriteByte('\'')
	}
}

func isNumber(s string) bool {
	digits, dot := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == '.' && !dot:
			dot = true
		default:
			return false
		}
	}
	return digits > 0
}

// learn takes what an OK packet of the home connection tells of the session.
func (s *session) learn(b *backend, ok *wire.OK) {
	var e wire.StateEntry
	for r := wire.NewStateReader(ok.State); r.Next(&e); {
		switch e.Kind {
		case wire.StateSysVar:
			if string(e.Name) == "last_gtid" {
				s.wrote(string(e.Value))
				continue
			}
			name, value := string(e.Name), string(e.Value)
			s.state.set(name, value)
			s.note(name, value)
		case wire.StateSchema:
			s.state.use(string(e.Value))
			b.schema = s.state.schema
			s.publish()
		case wire.StateGTIDs:
			s.learnGTID(&e)
		case wire.StateChanged:
			s.changed = true
		}
	}
}

// note reacts to variables that change how statements are to be read.
func (s *session) note(name, value string) {
	switch name {
	case "sql_mode":
		s.setSQLMode(value)
	case "character_set_client":
		s.setClientCharset(value)
	case "session_track_system_variables":
		if value != "*" {
			s.tracked.parse(value)
			s.retrack = true
		}
	case "session_track_schema":
		s.retrack = s.retrack || !on(value)
	case "session_track_state_change":
		s.tracked.changes = on(value)
	case "session_track_gtids":
		s.tracked.gtids = value != "OFF"
		s.retrack = s.retrack || value == "OFF"
	}
}

// on reads a switch as the trackers give it.
func on(value string) bool { return value == "ON" || value == "1" }

// trackList is the client's own session_track_system_variables.
type trackList struct {
	all   bool
	gtids bool // the client's session_track_gtids is on
	// changes: the client's session_track_state_change is on
	changes bool
	names   map[string]bool
}

func (t *trackList) parse(list string) {
	t.all = strings.TrimSpace(list) == "*"
	t.names = make(map[string]bool)
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			t.names[name] = true
		}
	}
}

// wants says whether the client asked to be told of a change.
func (t *trackList) wants(kind wire.StateKind, name []byte) bool {
	switch kind {
	case wire.StateSysVar:
	case wire.StateGTIDs:
		return t.gtids
	case wire.StateChanged:
		return t.changes
	default:
		return true
	}
	return t.all || t.names[string(name)]
}
