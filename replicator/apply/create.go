package apply

import (
	"bytes"
	"errors"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// A table that is created from a query (CREATE TABLE ... SELECT) is one transaction: its
// definition, then its rows. MySQL takes that as it is in the binlog, where the definition ends
// with START TRANSACTION. On MariaDB a definition ends the transaction that it stands in, for
// everybody but the server's own replica; so the rows go into a table of that definition in
// mark.Schema, which no binlog knows of, and the table is created from that, in one statement.

var (
	errCreation = errors.New("it creates a table from a query in a way that is not known here")
	errColumns  = errors.New("it creates a table from a query, with an invisible column, or a generated one behind a plain one")
)

// creation is the transaction of a table created from a query, while its rows come.
type creation struct {
	query        *binlog.Query
	def          *definition // nil on MySQL
	set, restore string
}

// creates returns the definition that a transaction begins with; nil: it does not.
func creates(p *binlog.Part) (*binlog.Query, uint32, error) {
	if p.Last && p.End == binlog.EndStatement {
		return nil, 0, nil
	}
	for _, ev := range p.Events {
		if ev.Type != binlog.TypeQuery {
			if ev.Type == binlog.TypeTableMap {
				break
			}
			continue
		}
		q, err := binlog.ParseQuery(ev)
		switch {
		case err != nil:
			return nil, 0, err
		case q.Is("BEGIN"):
		case hasWords(q.Text, "CREATE"):
			return q, ev.Timestamp, nil
		default:
			return nil, 0, nil
		}
	}
	return nil, 0, nil
}

// create turns the first part of such a transaction into commands up to its rows.
func (e *encoder) create(p *binlog.Part, q *binlog.Query, timestamp uint32) ([]command, error) {
	flavor := p.Txn.GTID.Flavor
	set, restore, err := session(q, timestamp, flavor)
	if err != nil {
		return nil, err
	}
	e.made = &creation{query: q, set: set, restore: restore}
	if flavor == gtid.MySQL {
		var c command
		e.begin(&c, p, false)
		c.add("USE ", mysqlconn.QuoteName(string(q.Schema)))
		c.add("SET ", set)
		return []command{c, {text: q.Text, statements: 1}, {}}, nil
	}
	if e.made.def, err = parseDefinition(q.Text); err != nil {
		return nil, err
	}
	e.maps, e.open = e.maps[:0], false
	c := command{guard: unguarded, plain: unguarded, statements: 1}
	c.more(",autocommit=1,sql_log_bin=0")
	e.autocommit = 1
	e.describe(&c, p)
	c.add("CREATE DATABASE IF NOT EXISTS " + mark.Schema)
	c.add("USE " + mark.Schema)
	c.add("SET ", set, ",foreign_key_checks=0")
	again := append([]byte("DROP TABLE IF EXISTS "), e.made.def.table...)
	return []command{c, {text: again, statements: 1}, {text: e.made.def.staging(), statements: 1}, {}}, nil
}

// created ends the transaction on MariaDB: the table comes to be from what is staged.
func (e *encoder) created(p *binlog.Part) []command {
	d, q := e.made.def, e.made.query
	var c command
	e.begin(&c, p, true)
	c.more(",sql_log_bin=1")
	c.add("USE ", mysqlconn.QuoteName(string(q.Schema)))
	c.add("SET ", e.made.set)
	text := append(bytes.Clone(q.Text), " SELECT "...)
	text = append(append(append(text, bytes.Join(d.columns, []byte(","))...), " FROM "+mark.Schema+"."...), d.table...)
	var after command
	after.add("SET sql_log_bin=0")
	drop := append([]byte("DROP TABLE "+mark.Schema+"."), d.table...)
	var last command
	last.add("SET sql_log_bin=1,", e.made.restore)
	e.committed(&last, p.Txn.GTID.Flavor)
	e.made = nil
	return []command{c, {text: text, statements: 1}, after, {text: drop, statements: 1}, last}
}

// staged is a table map for the staging table instead of the table itself.
func staged(ev binlog.Event) (binlog.Event, error) {
	b := ev.Body()
	const at = 8 // table id and flags
	if len(b) < at+1 || len(b) < at+2+int(b[at]) {
		return ev, errCreation
	}
	out := append(bytes.Clone(b[:at]), byte(len(mark.Schema)))
	out = append(out, mark.Schema...)
	return binlog.NewEvent(ev.Header, append(out, b[at+1+int(b[at]):]...)), nil
}

// definition is a CREATE TABLE statement as MariaDB writes it for its binlog.
type definition struct {
	table    []byte   // its name, quoted
	elements [][]byte // columns, keys, constraints
	options  []byte   // what stands behind them
	columns  [][]byte // the names, quoted, of columns that are not generated
}

// staging is the statement that makes the staging table. Constraints refer to other tables, and
// have been checked.
func (d *definition) staging() []byte {
	out := append(append([]byte("CREATE TABLE "), d.table...), " ("...)
	first := true
	for _, el := range d.elements {
		if hasWords(el, "CONSTRAINT") || hasWords(el, "FOREIGN") {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		out, first = append(out, el...), false
	}
	return append(append(out, ')'), d.options...)
}

// parseDefinition takes a definition apart, by quotes and parentheses.
func parseDefinition(text []byte) (*definition, error) {
	d := &definition{}
	at, err := d.name(text)
	if err != nil {
		return nil, err
	}
	body, err := d.split(text[at:])
	if err != nil {
		return nil, err
	}
	d.options = text[at+body:]
	if strings.Contains(unquoted(d.options), "SYSTEM VERSIONING") {
		return nil, errCreation // when its rows came to be would be another time
	}
	for _, el := range d.elements {
		el = bytes.TrimSpace(el)
		if len(el) == 0 || el[0] != '`' && el[0] != '"' {
			continue // a key or a constraint
		}
		end := quoted(el, 0)
		if end < 0 {
			return nil, errCreation
		}
		words := unquoted(el[end:])
		switch {
		case strings.Contains(words, " INVISIBLE"): // MariaDB gives its value to the next column
			return nil, errColumns
		case strings.Contains(words, " GENERATED ALWAYS AS "):
			// Such columns come first where a table is made from a query, whoever makes it.
			if len(d.columns) > 0 {
				return nil, errColumns
			}
			continue
		}
		d.columns = append(d.columns, el[:end])
	}
	if len(d.columns) == 0 {
		return nil, errCreation
	}
	return d, nil
}

// name finds the table's name and returns where its elements begin.
func (d *definition) name(text []byte) (int, error) {
	for i := 0; i < len(text); {
		switch text[i] {
		case '`', '"':
			end := quoted(text, i)
			if end < 0 {
				return 0, errCreation
			}
			d.table, i = text[i:end], end // the last one: a schema may stand before it
		case '(':
			if d.table == nil {
				return 0, errCreation
			}
			return i, nil
		default:
			i++
		}
	}
	return 0, errCreation
}

// split finds the elements between the first parenthesis and its end, and returns where that is.
func (d *definition) split(text []byte) (int, error) {
	depth, from := 0, 1
	for i := 0; i < len(text); {
		switch text[i] {
		case '`', '"', '\'':
			if i = quoted(text, i); i < 0 {
				return 0, errCreation
			}
			continue
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				d.elements = append(d.elements, text[from:i])
				return i + 1, nil
			}
		case ',':
			if depth == 1 {
				d.elements = append(d.elements, text[from:i])
				from = i + 1
			}
		}
		i++
	}
	return 0, errCreation
}

// quoted returns where what is quoted at i ends; -1: it does not. In strings MariaDB writes a
// backslash twice and a quote twice, in every sql_mode but NO_BACKSLASH_ESCAPES, where it
// writes the backslash once: both end at the first quote that is alone.
func quoted(text []byte, i int) int {
	q := text[i]
	for i++; i < len(text); i++ {
		if text[i] != q {
			continue
		}
		if i+1 < len(text) && text[i+1] == q {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// unquoted is what stands outside of quotes, in capitals.
func unquoted(def []byte) string {
	var plain strings.Builder
	for i := 0; i < len(def); {
		switch def[i] {
		case '`', '"', '\'':
			end := quoted(def, i)
			if end < 0 {
				return strings.ToUpper(plain.String())
			}
			i = end
		default:
			plain.WriteByte(def[i])
			i++
		}
	}
	return strings.ToUpper(plain.String())
}
