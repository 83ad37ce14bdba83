package apply

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

var (
	errCollations = errors.New("its session's character_set_collations cannot be set")
	errInvoker    = errors.New("it depends on who ran it")
)

// statement turns a transaction that is one statement, as DDL is, into three
// commands: the session that it ran in; its text, in the character set that the
// session has by then; and what goes back to normal. c opens the transaction.
func (e *encoder) statement(c command, p *binlog.Part) ([]command, error) {
	var q *binlog.Query
	var at binlog.Header
	for _, ev := range p.Events {
		switch {
		case ev.Type == binlog.TypeQuery && q == nil:
			var err error
			if q, err = binlog.ParseQuery(ev); err != nil {
				return nil, err
			}
			at = ev.Header
		case ev.Type == binlog.TypeRowsQuery, ev.Type == binlog.TypeAnnotateRows:
		default:
			return nil, errStatement
		}
	}
	switch {
	case q == nil:
		return nil, errStatement
	case hasWords(q.Text, "XA"):
		return nil, errXA
	case q.ErrorCode != 0:
		return nil, fmt.Errorf("%w: error %d", errFailed, q.ErrorCode)
	case isRowStatement(q.Text):
		return nil, errStatement
	}
	set, restore, err := session(q, at.Timestamp, p.Txn.GTID.Flavor)
	if err != nil {
		return nil, err
	}
	if len(q.Schema) > 0 && !hasWords(q.Text, "CREATE", "DATABASE") && !hasWords(q.Text, "CREATE", "SCHEMA") {
		c.add("USE ", mysqlconn.QuoteName(string(q.Schema)))
	}
	c.add("SET ", set)
	after := command{alone: true}
	after.add("SET ", restore)
	e.committed(&after, p.Txn.GTID.Flavor)
	c.alone = true
	if len(q.Text)+1 > e.maxText {
		return nil, errTooLarge
	}
	return []command{c, {text: q.Text, statements: 1, alone: true}, after}, nil
}

// isRowStatement reports whether the text changes rows as a statement.
func isRowStatement(text []byte) bool {
	for _, w := range []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH"} {
		if hasWords(text, w) {
			return true
		}
	}
	return false
}

// needsInvoker reports whether a statement that the leader logged with who ran it
// would do another thing when somebody else runs it. What is created is logged
// with its definer. GRANT and REVOKE are logged with it for the column Grantor
// alone, which no server looks at.
func needsInvoker(text []byte) bool {
	upper := bytes.ToUpper(text)
	switch {
	case bytes.Contains(upper, []byte("DEFINER")):
		return false
	case bytes.Contains(upper, []byte("CURRENT_USER")), bytes.Contains(upper, []byte("CURRENT_ROLE")):
		return true
	}
	return !hasWords(text, "GRANT") && !hasWords(text, "REVOKE")
}

// session returns the assignments that make the session that a statement ran
// in, and those that end it.
func session(q *binlog.Query, timestamp uint32, f gtid.Flavor) (set, restore string, err error) {
	v := &q.Vars
	switch {
	case v.Unknown != 0:
		return "", "", fmt.Errorf("%w: %d", errStatusVar, v.Unknown)
	case len(v.CharacterSetCollation) > 0:
		return "", "", errCollations
	case len(v.InvokerUser) > 0 && needsInvoker(q.Text):
		return "", "", errInvoker
	}
	var b, back bytes.Buffer
	back.WriteString(baseSession)
	micros := uint32(0)
	if v.Microseconds != nil {
		micros = *v.Microseconds
	}
	if v.HRNow != nil {
		micros = *v.HRNow
	}
	fmt.Fprintf(&b, "timestamp=%d.%06d", timestamp, micros)
	// only is a variable that baseSession does not name, as not all servers know it.
	only := func(name string, value any) {
		fmt.Fprintf(&b, ",%s=%v", name, value)
		fmt.Fprintf(&back, ",%s=DEFAULT", name)
	}
	if v.SQLMode != nil {
		fmt.Fprintf(&b, ",sql_mode=%d", *v.SQLMode)
	}
	if v.Flags2 != nil {
		fl := *v.Flags2
		fmt.Fprintf(&b, ",foreign_key_checks=%d,unique_checks=%d,sql_auto_is_null=%d",
			bit(fl&binlog.OptionNoForeignKeyChecks == 0), bit(fl&binlog.OptionRelaxedUniqueChecks == 0), bit(fl&binlog.OptionAutoIsNull != 0))
		if f == gtid.MariaDB && fl&binlog.OptionIfExists != 0 {
			only("sql_if_exists", 1)
		}
		if f == gtid.MariaDB && fl&binlog.OptionInsertHistory != 0 {
			only("system_versioning_insert_history", 1)
		}
		if f == gtid.MariaDB && v.ExplicitDefaultsForTS == nil {
			only("explicit_defaults_for_timestamp", bit(fl&binlog.OptionExplicitDefTimestamp != 0))
		}
	}
	if v.AutoIncrement != nil {
		fmt.Fprintf(&b, ",auto_increment_increment=%d,auto_increment_offset=%d", v.AutoIncrement.Increment, v.AutoIncrement.Offset)
	}
	if len(v.TimeZone) > 0 {
		fmt.Fprintf(&b, ",time_zone=X'%s'", hex.EncodeToString(v.TimeZone))
	}
	if v.LCTimeNames != nil {
		fmt.Fprintf(&b, ",lc_time_names=%d", *v.LCTimeNames)
	}
	if v.DatabaseCollation != nil {
		only("collation_database", *v.DatabaseCollation)
	}
	if v.ExplicitDefaultsForTS != nil {
		only("explicit_defaults_for_timestamp", bit(*v.ExplicitDefaultsForTS))
	}
	if v.DefaultCollationUTF8MB4 != nil {
		only("default_collation_for_utf8mb4", *v.DefaultCollationUTF8MB4)
	}
	if v.RequirePrimaryKey != nil {
		only("sql_require_primary_key", bit(*v.RequirePrimaryKey))
	}
	if v.DefaultTableEncryption != nil {
		only("default_table_encryption", bit(*v.DefaultTableEncryption))
	}
	if v.Charset != nil { // last: the rest of this text is read as the client's
		only("collation_server", v.Charset.Server)
		fmt.Fprintf(&b, ",character_set_client=%d,collation_connection=%d", v.Charset.Client, v.Charset.Connection)
	}
	return b.String(), back.String(), nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
