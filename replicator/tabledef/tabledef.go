package tabledef

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Table is one base table.
type Table struct {
	Schema, Name  string
	Engine        string
	Rows          uint64   // the server's estimate
	Bytes         uint64   // of data, the server's estimate
	Versioned     bool     // MariaDB: WITH SYSTEM VERSIONING
	Columns       []Column // those that are stored and can be written, in order
	Key           []Column // by which ranges are made: a prefix of the primary key; empty: none can
	KeyIsUnique   bool     // Key is the whole primary key
	Transactional bool
}

// Column is one column.
type Column struct {
	Name      string
	Type      string // "decimal", as DATA_TYPE of information_schema
	FullType  string // "decimal(10,2) unsigned"
	Charset   string // of text
	Collation string
}

// FullName is the table's quoted name with its schema.
func (t *Table) FullName() string {
	return mysqlconn.QuoteName(t.Schema) + "." + mysqlconn.QuoteName(t.Name)
}

// String is the name for people.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// SystemSchemas hold no data of users.
var SystemSchemas = []string{"mysql", "information_schema", "performance_schema", "sys", OwnSchema, mark.Schema}

// OwnSchema is where the copy keeps its mark on a follower; never copied.
const OwnSchema = mark.CopySchema

// MarkCopy makes the mark of a server that holds half a copy, where it has none, and UnmarkCopy
// takes it away. Neither may go to the binlog.
var (
	MarkCopy = []string{
		"CREATE DATABASE IF NOT EXISTS `" + OwnSchema + "`",
		"CREATE TABLE IF NOT EXISTS `" + OwnSchema + "`.`copy` (started TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB",
	}
	UnmarkCopy = "DROP DATABASE `" + OwnSchema + "`"
)

// NotSystem is a condition on a column that holds a schema's name.
func NotSystem(column string) string {
	return column + " NOT IN ('" + strings.Join(SystemSchemas, "','") + "')"
}

// Read describes all base tables of users, by name.
func Read(ctx context.Context, s *node.Server, q node.Querier) ([]*Table, error) {
	tables, err := readTables(ctx, q, NotSystem("t.TABLE_SCHEMA"))
	if err != nil {
		return nil, err
	}
	return tables, describe(ctx, s, q, tables, NotSystem("TABLE_SCHEMA"))
}

// ReadSystem describes the tables of the schema mysql that are named and exist.
func ReadSystem(ctx context.Context, s *node.Server, q node.Querier, names []string) ([]*Table, error) {
	in := "IN ('" + strings.Join(names, "','") + "')"
	tables, err := readTables(ctx, q, "t.TABLE_SCHEMA='mysql' AND t.TABLE_NAME "+in)
	if err != nil {
		return nil, err
	}
	return tables, describe(ctx, s, q, tables, "TABLE_SCHEMA='mysql' AND TABLE_NAME "+in)
}

func readTables(ctx context.Context, q node.Querier, where string) ([]*Table, error) {
	rows, err := node.Rows(ctx, q, `SELECT t.TABLE_SCHEMA s, t.TABLE_NAME n, t.ENGINE e, t.TABLE_ROWS r, t.DATA_LENGTH b, t.TABLE_TYPE k,
		(SELECT x.TRANSACTIONS FROM information_schema.ENGINES x WHERE x.ENGINE=t.ENGINE) tx
		FROM information_schema.TABLES t
		WHERE t.TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED') AND `+where+` ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	var out []*Table
	for _, r := range rows {
		t := &Table{Schema: r["s"], Name: r["n"], Engine: r["e"], Versioned: r["k"] == "SYSTEM VERSIONED", Transactional: r["tx"] == "YES"}
		t.Rows, _ = strconv.ParseUint(r["r"], 10, 64)
		t.Bytes, _ = strconv.ParseUint(r["b"], 10, 64)
		out = append(out, t)
	}
	return out, nil
}

func describe(ctx context.Context, s *node.Server, q node.Querier, tables []*Table, where string) error {
	byName := make(map[[2]string]*Table, len(tables))
	for _, t := range tables {
		byName[[2]string{t.Schema, t.Name}] = t
	}
	columns, err := node.Rows(ctx, q, `SELECT TABLE_SCHEMA s, TABLE_NAME n, COLUMN_NAME c, DATA_TYPE t, COLUMN_TYPE f,
		CHARACTER_SET_NAME cs, COLLATION_NAME co, EXTRA x, GENERATION_EXPRESSION g FROM information_schema.COLUMNS WHERE `+where+` ORDER BY 1, 2, ORDINAL_POSITION`)
	if err != nil {
		return err
	}
	all := make(map[[3]string]Column, len(columns))
	for _, r := range columns {
		t := byName[[2]string{r["s"], r["n"]}]
		if t == nil {
			continue
		}
		c := Column{Name: r["c"], Type: strings.ToLower(r["t"]), FullType: strings.ToLower(r["f"]), Charset: r["cs"], Collation: r["co"]}
		if c.Type == "json" && s.Flavor == gtid.MariaDB {
			c.Type = "longtext"
		}
		if isGenerated(r["x"], r["g"], t.Versioned) {
			continue
		}
		all[[3]string{t.Schema, t.Name, c.Name}] = c
		t.Columns = append(t.Columns, c)
	}
	for _, t := range tables {
		if t.Versioned && !slices.ContainsFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, "row_start") }) {
			t.Columns = append(t.Columns, Column{Name: "ROW_START", Type: "timestamp"}, Column{Name: "ROW_END", Type: "timestamp"})
		}
	}
	keys, err := node.Rows(ctx, q, `SELECT TABLE_SCHEMA s, TABLE_NAME n, COLUMN_NAME c, SUB_PART p FROM information_schema.STATISTICS
		WHERE INDEX_NAME='PRIMARY' AND `+where+` ORDER BY 1, 2, SEQ_IN_INDEX`)
	if err != nil {
		return err
	}
	ended := make(map[*Table]bool) // the usable prefix of whose key has ended
	for _, r := range keys {
		t := byName[[2]string{r["s"], r["n"]}]
		if t == nil {
			continue
		}
		c, ok := all[[3]string{t.Schema, t.Name, r["c"]}]
		if ended[t] = ended[t] || !ok || r["p"] != "" || !c.ordered(); !ended[t] {
			t.Key = append(t.Key, c)
		}
		t.KeyIsUnique = !ended[t]
	}
	return nil
}

func isGenerated(extra, expression string, versioned bool) bool {
	extra = strings.ToUpper(extra)
	if strings.Contains(extra, "GENERATED") && !strings.Contains(extra, "DEFAULT_GENERATED") {
		return !versioned || !strings.HasPrefix(strings.ToUpper(expression), "ROW ")
	}
	return false
}

// ordered reports whether a literal of the column compares as its index sorts.
func (c *Column) ordered() bool {
	switch c.Type {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "char", "varchar", "binary", "varbinary",
		"date", "time", "datetime", "timestamp", "year":
		return true
	default:
		return false
	}
}

func (c *Column) isInteger() bool {
	switch c.Type {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		return true
	default:
		return false
	}
}

func (c *Column) isNumber() bool {
	return c.isInteger() || c.Type == "decimal" || c.Type == "float" || c.Type == "double" || c.Type == "year"
}

func (c *Column) unbounded() bool {
	switch c.Type {
	case "tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob", "json", "vector", "varchar", "varbinary",
		"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return true
	default:
		return false
	}
}

// Read expression: what to select so that nothing is lost as text. FLOAT would
// be shown with six digits; ENUM and SET may hold what has no name.
func (c *Column) readExpr() string {
	name := mysqlconn.QuoteName(c.Name)
	switch c.Type {
	case "float":
		return "CAST(" + name + " AS DOUBLE)"
	case "enum", "set", "bit":
		return "CAST(" + name + " AS UNSIGNED)"
	default:
		return name
	}
}

// AppendLiteral appends the value, as readExpr gave it, as an SQL literal that
// stores the very same value in the column. nil is NULL. The session's client
// character set must be binary, for names in statements are UTF-8 and values any bytes,
// and backslashes must escape.
func (c *Column) AppendLiteral(dst, value []byte) []byte {
	switch {
	case value == nil:
		return append(dst, "NULL"...)
	case c.isNumber(), c.Type == "enum", c.Type == "set", c.Type == "bit":
		return append(dst, value...)
	case c.Type == "json":
		dst = append(dst, "_utf8mb4"...)
	case c.Charset != "", c.unbounded(), c.Type == "binary":
		dst = append(dst, "_binary"...)
	default: // dates and the like, in ASCII; as bytes they would be what MariaDB's INET6 and UUID are stored as
		dst = append(dst, "_latin1"...)
	}
	return appendQuoted(dst, value)
}

func appendQuoted(dst, value []byte) []byte {
	dst = append(dst, '\'')
	from := 0
	for i, b := range value {
		var e byte
		switch b {
		case '\'', '\\':
			e = b
		case 0:
			e = '0'
		default:
			continue
		}
		dst = append(dst, value[from:i]...)
		dst = append(dst, '\\', e)
		from = i + 1
	}
	dst = append(dst, value[from:]...)
	return append(dst, '\'')
}

// keyLiteral is a literal that compares with the column as its index sorts.
func (c *Column) keyLiteral(value string) string {
	switch {
	case c.isNumber():
		return value
	case c.Charset != "":
		return fmt.Sprintf("_%s x'%x' COLLATE %s", c.Charset, value, c.Collation)
	case c.Type == "binary" || c.Type == "varbinary":
		return fmt.Sprintf("x'%x'", value)
	default:
		return string(appendQuoted([]byte("_latin1"), []byte(value)))
	}
}

// ColumnList is the quoted names of the columns.
func (t *Table) ColumnList() string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = mysqlconn.QuoteName(t.Columns[i].Name)
	}
	return strings.Join(names, ",")
}

// from is the table in a FROM clause: with its history, where it has one, and
// read in the order of the key.
func (t *Table) from() string {
	out := t.FullName()
	if t.Versioned {
		return out + " FOR SYSTEM_TIME ALL"
	}
	if len(t.Key) > 0 {
		out += " FORCE INDEX (PRIMARY)"
	}
	return out
}
