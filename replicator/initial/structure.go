package initial

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// object is what a SHOW CREATE shows, and under which settings it was made.
type object struct {
	kind         string // TABLE, SEQUENCE, VIEW, FUNCTION, PROCEDURE, PACKAGE, PACKAGE BODY, TRIGGER, EVENT
	schema, name string
	create       string
	sqlMode      string
	client       string // character set
	connection   string // collation
	database     string // default collation of the schema when it was made
	timeZone     string // of an event
	status       string // of an event
}

func (o *object) String() string {
	return strings.ToLower(o.kind) + " " + o.schema + "." + o.name
}

func (o *object) quoted() string {
	return mysqlconn.QuoteName(o.schema) + "." + mysqlconn.QuoteName(o.name)
}

// structure is everything of the leader that has a CREATE statement.
type structure struct {
	schemas   []string          // by name
	create    map[string]string // of schemas
	collation map[string]string // of schemas
	tables    []object          // and sequences
	programs  []object          // routines, views, triggers, events: in the order to make them
	sequences map[string]string // quoted name -> the statement that sets its state
}

func (s *structure) equal(o *structure) bool {
	return s.fingerprint() == o.fingerprint()
}

func (s *structure) fingerprint() string {
	var b strings.Builder
	for _, name := range s.schemas {
		fmt.Fprintf(&b, "%q %q\n", name, s.create[name])
	}
	for _, list := range [][]object{s.tables, s.programs} {
		for i := range list {
			o := list[i]
			o.create = Normalise(o.create)
			fmt.Fprintf(&b, "%q\n", o)
		}
	}
	return b.String()
}

var counter = regexp.MustCompile(`(?m)^(\).*?) AUTO_INCREMENT=\d+`)

// explicit matches a character set that the collation implies: MySQL shows one
// where the statement that made the table named it, and so not always both.
var explicit = regexp.MustCompile(` CHARACTER SET \w+( COLLATE)`)

// Normalise takes out of what SHOW CREATE TABLE shows what is no part of the
// structure: the AUTO_INCREMENT counter, which moves with every row, and words
// that change nothing. It is for comparing, not for executing.
func Normalise(create string) string {
	return explicit.ReplaceAllString(counter.ReplaceAllString(create, "$1"), "$1")
}

// structureSession is how definitions are read and written: unchanged bytes, and
// times in UTC.
func structureSession(s *node.Server) []string {
	out := []string{
		"SET NAMES utf8mb4", "SET character_set_results=NULL", "SET SESSION time_zone='+00:00'", "SET SESSION sql_mode=''",
		"SET SESSION sql_quote_show_create=1",
	}
	if !s.IsMariaDB() {
		out = append(out, "SET SESSION information_schema_stats_expiry=0", "SET SESSION show_create_table_skip_secondary_engine=0")
	}
	return out
}

// ddlCount counts the statements that change structure or accounts and were
// begun on the leader since it started.
func (p *Plan) ddlCount(ctx context.Context) (int64, error) {
	rows, err := node.Rows(ctx, p.Leader.DB, "SHOW GLOBAL STATUS WHERE Variable_name REGEXP '^Com_(create|drop|alter|rename|truncate|grant|revoke|set_password|install|uninstall)'")
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, r := range rows {
		var n int64
		if _, err := fmt.Sscan(r["Value"], &n); err != nil {
			return 0, fmt.Errorf("counter %s of the leader: %w", r["Variable_name"], err)
		}
		sum += n
	}
	return sum, nil
}

func (p *Plan) readStructure(ctx context.Context) (*structure, error) {
	c, err := p.Leader.DB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the leader: %w", err)
	}
	defer mysqlconn.Discard(c)
	if err := node.Exec(ctx, c, structureSession(p.Leader)...); err != nil {
		return nil, err
	}
	s := &structure{create: make(map[string]string), collation: make(map[string]string)}
	schemas, err := node.Rows(ctx, c, "SELECT SCHEMA_NAME n, DEFAULT_COLLATION_NAME c FROM information_schema.SCHEMATA WHERE "+tabledef.NotSystem("SCHEMA_NAME")+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	for _, r := range schemas {
		name := r["n"]
		row, err := node.Rows(ctx, c, "SHOW CREATE DATABASE "+mysqlconn.QuoteName(name))
		if err != nil {
			return nil, err
		}
		s.schemas = append(s.schemas, name)
		s.create[name], s.collation[name] = row[0]["Create Database"], r["c"]
	}
	if err := readTables(ctx, c, s); err != nil {
		return nil, err
	}
	return s, readPrograms(ctx, c, s)
}

func readTables(ctx context.Context, c *sql.Conn, s *structure) error {
	rows, err := node.Rows(ctx, c, `SELECT TABLE_SCHEMA s, TABLE_NAME n, TABLE_TYPE t FROM information_schema.TABLES
		WHERE TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED','SEQUENCE') AND `+tabledef.NotSystem("TABLE_SCHEMA")+` ORDER BY 1, 2`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		o := object{kind: "TABLE", schema: r["s"], name: r["n"]}
		if r["t"] == "SEQUENCE" {
			o.kind = "SEQUENCE"
		}
		if err := o.show(ctx, c, "Create Table"); err != nil {
			return err
		}
		s.tables = append(s.tables, o)
	}
	return nil
}

// show fills in the CREATE statement from the column of SHOW CREATE that has it.
func (o *object) show(ctx context.Context, c *sql.Conn, column string) error {
	rows, err := node.Rows(ctx, c, "SHOW CREATE "+o.kind+" "+o.quoted())
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0][column] == "" {
		return fmt.Errorf("the leader does not show the definition of %s: the account needs more rights", o)
	}
	r := rows[0]
	o.create, o.sqlMode, o.client, o.connection, o.database = r[column], r["sql_mode"], r["character_set_client"], r["collation_connection"], r["Database Collation"]
	o.timeZone = r["time_zone"]
	return nil
}

// programKinds are read, and made again, in this order.
var programKinds = []struct{ kind, column, query string }{
	{"PACKAGE", "Create Package", "SELECT ROUTINE_SCHEMA s, ROUTINE_NAME n FROM information_schema.ROUTINES WHERE ROUTINE_TYPE='PACKAGE' AND "},
	{"PACKAGE BODY", "Create Package Body", "SELECT ROUTINE_SCHEMA s, ROUTINE_NAME n FROM information_schema.ROUTINES WHERE ROUTINE_TYPE='PACKAGE BODY' AND "},
	{"FUNCTION", "Create Function", "SELECT ROUTINE_SCHEMA s, ROUTINE_NAME n FROM information_schema.ROUTINES WHERE ROUTINE_TYPE='FUNCTION' AND "},
	{"PROCEDURE", "Create Procedure", "SELECT ROUTINE_SCHEMA s, ROUTINE_NAME n FROM information_schema.ROUTINES WHERE ROUTINE_TYPE='PROCEDURE' AND "},
	{"VIEW", "Create View", "SELECT TABLE_SCHEMA s, TABLE_NAME n FROM information_schema.VIEWS WHERE "},
	{"TRIGGER", "SQL Original Statement", "SELECT TRIGGER_SCHEMA s, TRIGGER_NAME n FROM information_schema.TRIGGERS WHERE "},
	{"EVENT", "Create Event", "SELECT EVENT_SCHEMA s, EVENT_NAME n, STATUS st FROM information_schema.EVENTS WHERE "},
}

func readPrograms(ctx context.Context, c *sql.Conn, s *structure) error {
	for _, k := range programKinds {
		order := "s, n"
		column := "ROUTINE_SCHEMA"
		switch k.kind {
		case "VIEW":
			column = "TABLE_SCHEMA"
		case "TRIGGER":
			column, order = "TRIGGER_SCHEMA", "s, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
		case "EVENT":
			column = "EVENT_SCHEMA"
		}
		rows, err := node.Rows(ctx, c, k.query+tabledef.NotSystem(column)+" ORDER BY "+order)
		if err != nil {
			return err
		}
		for _, r := range rows {
			o := object{kind: k.kind, schema: r["s"], name: r["n"], status: r["st"]}
			if err := o.show(ctx, c, k.column); err != nil {
				return err
			}
			s.programs = append(s.programs, o)
		}
	}
	return nil
}

// readSequences reads the state of MariaDB's sequences, which know no snapshots,
// while nothing can move them.
func (p *Plan) readSequences(ctx context.Context, lock *sql.Conn, s *structure) (map[string]string, error) {
	out := make(map[string]string)
	for i := range s.tables {
		o := &s.tables[i]
		if o.kind != "SEQUENCE" {
			continue
		}
		rows, err := node.Rows(ctx, lock, "SELECT next_not_cached_value v, cycle_count c FROM "+o.quoted())
		if err != nil {
			return nil, err
		}
		if len(rows) == 1 {
			out[o.quoted()] = fmt.Sprintf("DO SETVAL(%s, %s, 0, %s)", o.quoted(), rows[0]["v"], rows[0]["c"])
		}
	}
	return out, nil
}
