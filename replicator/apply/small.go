package apply

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// small are the commands of a transaction whose rows go as one statement. On MariaDB that is
// all: it carries its guard and its GTID, and commits by itself. MySQL would keep the GTID of
// a statement that changes nothing, and needs a COMMIT.
func (e *encoder) small(p *binlog.Part, raw []byte) []command {
	text := base64.StdEncoding.EncodeToString(raw)
	g := p.Txn.GTID
	alone := g.Flavor == gtid.MariaDB && !e.split
	if alone && e.autocommit == 1 && e.inDomain(g) && bytes.Equal(p.Format.StripChecksum().Raw, e.format) {
		const words = "SET STATEMENT "
		c := command{guard: words + e.guarded(), plain: words + "sql_mode=''", statements: 1}
		e.name(&c, g)
		c.text = append(append(append(c.text, " FOR BINLOG '"...), text...), '\'')
		return []command{c}
	}
	out := []command{{}}
	c := &out[0]
	e.begin(c, p, alone)
	c.add("BINLOG '", text, "'")
	if alone {
		return out
	}
	if e.split {
		out = append(out, command{})
		c = &out[1]
	}
	c.add("COMMIT")
	e.committed(c, g.Flavor)
	return out
}

// merge returns the rows of a whole transaction as the events of one statement, which costs the
// server less than several: all tables first, which are locked together, and then the rows.
// It returns nil for what is large, or holds more than rows of tables that roll back.
func (e *encoder) merge(p *binlog.Part) []byte {
	if !p.First || !p.Last || p.End != binlog.EndXid || base64.StdEncoding.EncodedLen(p.Bytes) > e.maxText/8 {
		return nil
	}
	var m merger
	for _, ev := range p.Events {
		switch {
		case ev.Type == binlog.TypeTableMap:
			if !m.table(ev, p.Txn.GTID.Flavor) {
				return nil
			}
		case ev.Type.IsRows():
			if !m.rows(ev) {
				return nil
			}
		case ev.Type == binlog.TypeRowsQuery, ev.Type == binlog.TypeAnnotateRows, ev.Type == binlog.TypeXid:
		case ev.Type == binlog.TypeQuery:
			if q, err := binlog.ParseQuery(ev); err != nil || !q.Is("BEGIN") {
				return nil
			}
		default:
			return nil
		}
	}
	return m.statement()
}

// merger collects what becomes one statement.
type merger struct {
	maps   []binlog.Event
	tables []*binlog.TableMap
	events []binlog.Event
	flags  uint16 // of all the row events, but for the end of a statement
}

// table takes a table map. One that is there already, as each statement repeats them, must say
// the same; and a table has one id.
func (m *merger) table(ev binlog.Event, f gtid.Flavor) bool {
	t, err := binlog.ParseTableMap(ev, f)
	if err != nil {
		return false
	}
	for i, was := range m.tables {
		switch {
		case was.TableID == t.TableID:
			return bytes.Equal(m.maps[i].Raw[binlog.HeaderSize:], ev.Raw[binlog.HeaderSize:])
		case was.Schema == t.Schema && was.Table == t.Table:
			return false
		}
	}
	m.maps, m.tables = append(m.maps, ev), append(m.tables, t)
	return true
}

func (m *merger) rows(ev binlog.Event) bool {
	r, err := binlog.ParseRows(ev)
	if err != nil || r.TableID == binlog.DummyTable {
		return false
	}
	flags := r.Flags &^ binlog.RowsStatementEnd
	if len(m.events) > 0 && flags != m.flags {
		return false // how rows are checked is a matter of the whole statement
	}
	m.flags, m.events = flags, append(m.events, ev)
	return true
}

// flagsAt is where a row event has its flags: behind the table's id, of six bytes.
const flagsAt = binlog.HeaderSize + 6

func (m *merger) statement() []byte {
	if len(m.events) == 0 {
		return nil
	}
	var raw []byte
	for _, ev := range m.maps {
		raw = ev.Replayable(raw)
	}
	for i, ev := range m.events {
		at := len(raw) + flagsAt
		raw = ev.Replayable(raw)
		flags := m.flags
		if i == len(m.events)-1 {
			flags |= binlog.RowsStatementEnd
		}
		binary.LittleEndian.PutUint16(raw[at:], flags)
	}
	return raw
}
