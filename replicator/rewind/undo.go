package rewind

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// Inexact says why transactions cannot be undone exactly. Nothing was changed.
type Inexact struct{ Why string }

func (e *Inexact) Error() string { return "they cannot be undone exactly: " + e.Why }

func inexact(format string, args ...any) error { return &Inexact{fmt.Sprintf(format, args...)} }

// MaxBytes is how much of a binlog is undone at most: all of it is held in memory, and is one
// transaction.
const MaxBytes = 64 << 20

// Undo is what undoes transactions.
type Undo struct {
	Transactions int
	Rows         int // events

	flavor gtid.Flavor
	format string          // the format description, as BINLOG takes it
	steps  []string        // as BINLOG takes them, in the order in which they are to be run
	tables map[table]cares // that they touch
}

// table is a table by its name.
type table struct{ schema, name string }

func (t table) String() string { return t.schema + "." + t.name }

// cares is what has to be true of a table.
type cares struct {
	columns int
	// foreign is set where cascades of foreign keys would be known to the engine alone.
	foreign bool
}

// magic is what a binlog file begins with.
var magic = []byte("\xfebin")

// Parse makes the undo of the transactions of a binlog file, which has a format description and
// then whole transactions. The error is *Inexact where they cannot be undone; others say that the
// bytes are not a binlog.
func Parse(file []byte) (*Undo, error) {
	if len(file) > MaxBytes {
		return nil, inexact("they are more than %d MB", MaxBytes>>20)
	}
	rest, ok := bytes.CutPrefix(file, magic)
	if !ok {
		return nil, errors.New("no binlog file")
	}
	p := parser{undo: &Undo{tables: map[table]cares{}}, assembler: binlog.NewAssembler(0)}
	for len(rest) > 0 {
		h, err := binlog.ParseHeader(rest)
		if err != nil {
			return nil, err
		}
		if uint64(h.Size) > uint64(len(rest)) {
			return nil, fmt.Errorf("an event of %d bytes with %d left", h.Size, len(rest))
		}
		if err := p.event(rest[:h.Size]); err != nil {
			return nil, err
		}
		rest = rest[h.Size:]
	}
	if p.assembler.Open() != nil {
		return nil, errors.New("the last transaction has no end")
	}
	if p.format == nil || p.undo.Transactions == 0 {
		return nil, errors.New("no transactions")
	}
	slices.Reverse(p.undo.steps)
	return p.undo, nil
}

// parser goes through a file.
type parser struct {
	undo      *Undo
	format    *binlog.FormatDescription
	assembler *binlog.Assembler
	maps      map[uint64]mapped
}

// mapped is a table map, and the event that it came in.
type mapped struct {
	*binlog.TableMap
	event binlog.Event
}

func (p *parser) event(raw []byte) error {
	if binlog.Type(raw[4]) == binlog.TypeFormatDescription {
		f, err := binlog.ParseFormatDescription(raw)
		if err != nil {
			return err
		}
		p.format = f
		p.undo.flavor, p.undo.format = f.Flavor(), binlogText(f.StripChecksum())
		p.assembler.Format(f)
		return nil
	}
	if p.format == nil {
		return errors.New("no format description")
	}
	e, err := binlog.ParseEvent(raw, p.format.Checksum == binlog.ChecksumCRC32)
	if err != nil {
		return err
	}
	return p.assembler.Add(e, p.part)
}

// part takes a transaction, or a part of a large one.
func (p *parser) part(part *binlog.Part) error {
	name := part.Txn.GTID
	if part.First {
		p.undo.Transactions++
		p.maps = map[uint64]mapped{}
		switch h := part.Txn; {
		case h.XA != nil, h.Flags&(binlog.FlagPreparedXA|binlog.FlagCompletedXA) != 0 && h.GTID.Flavor == gtid.MariaDB:
			return inexact("%s is of an XA transaction", name)
		case h.GTID.Flavor == gtid.MariaDB && h.Flags&binlog.FlagTransactional == 0:
			return inexact("%s is a statement, or changes tables that cannot roll back", name)
		}
	}
	for _, e := range part.Events {
		if err := p.inner(e); err != nil {
			if i, ok := errors.AsType[*Inexact](err); ok {
				return inexact("%s: %s", name, i.Why)
			}
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if part.Last && part.End != binlog.EndXid && part.End != binlog.EndCommit {
		return inexact("%s ends with %s", name, part.End)
	}
	return nil
}

func (p *parser) inner(e binlog.Event) error {
	switch {
	case e.Type == binlog.TypeTableMap:
		m, err := binlog.ParseTableMap(e, p.undo.flavor)
		if err != nil {
			return err
		}
		p.maps[m.TableID] = mapped{m, e}
		return nil
	case e.Type.IsRows():
		return p.rows(e)
	case e.Type == binlog.TypeXid, e.Type == binlog.TypeRowsQuery, e.Type == binlog.TypeAnnotateRows, e.Flags&binlog.FlagIgnorable != 0:
		return nil
	case e.Type == binlog.TypeQuery:
		q, err := binlog.ParseQuery(e)
		if err != nil {
			return err
		}
		if q.Is("BEGIN") || q.Is("COMMIT") || bytes.HasPrefix(bytes.ToUpper(q.Text), []byte("SAVEPOINT ")) {
			return nil
		}
		return inexact("a statement: %s", shorten(string(q.Text)))
	default:
		return inexact("an event of type %s", e.Type)
	}
}

func shorten(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}

// rows adds the step that undoes a row event.
func (p *parser) rows(e binlog.Event) error {
	r, err := binlog.ParseRows(e)
	if err != nil {
		return err
	}
	if r.TableID == binlog.DummyTable && len(r.Data) == 0 {
		return nil
	}
	m, ok := p.maps[r.TableID]
	if !ok {
		return fmt.Errorf("rows of table %d, which is not named", r.TableID)
	}
	name := table{m.Schema, m.Table}
	if slices.Contains(tabledef.SystemSchemas, strings.ToLower(m.Schema)) {
		return inexact("it changes %s", name)
	}
	undo, err := r.Invert(e.Header, m.TableMap)
	if errors.Is(err, binlog.ErrNotInvertible) {
		return inexact("the images of rows of %s are not whole (binlog_row_image)", name)
	}
	if err != nil {
		return err
	}
	c := p.undo.tables[name]
	c.columns, c.foreign = r.Width, c.foreign || r.Flags&binlog.RowsUseSQLForeignKeys == 0
	p.undo.tables[name] = c
	p.undo.steps = append(p.undo.steps, binlogText(m.event, undo))
	p.undo.Rows++
	return nil
}

// binlogText is what BINLOG takes.
func binlogText(events ...binlog.Event) string {
	var raw []byte
	for _, e := range events {
		raw = e.Replayable(raw)
	}
	return base64.StdEncoding.EncodeToString(raw)
}
