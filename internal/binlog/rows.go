package binlog

import "math/bits"

// Flags of row events.
const (
	RowsStatementEnd      uint16 = 1 // the last row event of a statement
	RowsNoForeignKeys     uint16 = 2
	RowsRelaxedUnique     uint16 = 4
	RowsCompleteRows      uint16 = 8
	RowsUseSQLForeignKeys uint16 = 16 // MySQL 9.6 and later: cascades are events of their own
)

// Rows is a row event that is not compressed. Its columns' values can be walked
// with the table map of the same TableID.
type Rows struct {
	Type    Type
	TableID uint64
	Flags   uint16
	Extra   []byte // MySQL: partitions and the like

	Width  int    // columns of the table
	Before []byte // bitmap: columns of the before image; of the only image of inserts
	After  []byte // bitmap: columns of the after image; nil but for updates
	Data   []byte // the rows
}

// DummyTable is the id of the event that ends a statement whose rows were all
// filtered out.
const DummyTable = 0x00ffffff

// ParseRows decodes a row event.
func ParseRows(e Event) (*Rows, error) {
	if !e.Type.IsRows() || e.Type.isCompressedRows() {
		return nil, malformed("%s is not an event of uncompressed rows", e.Type)
	}
	c := cursor{b: e.Body()}
	r := &Rows{Type: e.Type}
	r.parseHeader(&c)
	if err := c.err("row event"); err != nil {
		return nil, err
	}
	r.Data = c.b
	return r, nil
}

// parseHeader reads up to where the rows begin.
func (r *Rows) parseHeader(c *cursor) {
	r.TableID, r.Flags = c.uint(6), c.u16()
	if r.hasExtra() {
		r.Extra = c.take(int(c.u16()) - 2)
	}
	width := c.lenenc()
	if width > 8*uint64(len(c.b)) {
		c.b, c.bad = nil, true
		return
	}
	r.Width = int(width)
	r.Before = c.take((r.Width + 7) / 8)
	if r.isUpdate() {
		r.After = c.take((r.Width + 7) / 8)
	}
}

func (r *Rows) hasExtra() bool {
	switch r.Type {
	case TypeWriteRows, TypeUpdateRows, TypeDeleteRows, TypePartialUpdateRows,
		TypeWriteRowsCompressed, TypeUpdateRowsCompressed, TypeDeleteRowsCompressed:
		return true
	}
	return false
}

func (r *Rows) isUpdate() bool {
	switch r.Type {
	case TypeUpdateRowsV1, TypeUpdateRows, TypePartialUpdateRows, TypeUpdateRowsCompressedV1, TypeUpdateRowsCompressed:
		return true
	}
	return false
}

func (r *Rows) isInsert() bool { return r.Type == TypeWriteRows || r.Type == TypeWriteRowsV1 }

// Value is one column's value in a row image.
type Value struct {
	Present bool // it is in the image at all
	Null    bool
	Partial bool   // JSON: Data is a difference, not the value
	Data    []byte // as stored, without the length in front
}

// Walk calls f for each row: with the before image of updates and deletes, and
// the after image of updates and inserts; the other one is nil. Values are valid
// during the call only, what Data points to as long as the event.
func (r *Rows) Walk(t *TableMap, f func(before, after []Value) error) error {
	return r.walk(t, func(first, second image) error {
		if r.isInsert() {
			return f(nil, first.values)
		}
		return f(first.values, second.values)
	})
}

// image is a row as it was, or became: its values, and all of its bytes.
type image struct {
	values []Value
	raw    []byte
}

// walk calls f for each row with its images; second has none but of updates.
func (r *Rows) walk(t *TableMap, f func(first, second image) error) error {
	if r.TableID == DummyTable && len(r.Data) == 0 {
		return nil
	}
	if t.TableID != r.TableID || len(t.Columns) != r.Width {
		return malformed("row event of table %d with %d columns beside the map of table %d with %d", r.TableID, r.Width, t.TableID, len(t.Columns))
	}
	c := cursor{b: r.Data}
	first, second := image{values: make([]Value, r.Width)}, image{}
	if r.isUpdate() {
		second.values = make([]Value, r.Width)
	}
	for len(c.b) > 0 {
		row := c.b
		if err := walkImage(&c, t, r.Before, nil, first.values); err != nil {
			return err
		}
		first.raw = row[:len(row)-len(c.b)]
		if second.values != nil {
			partial := r.partialColumns(&c, t)
			if err := walkImage(&c, t, r.After, partial, second.values); err != nil {
				return err
			}
			second.raw = row[len(first.raw) : len(row)-len(c.b)]
		}
		if len(c.b) == len(row) {
			return malformed("a row of no bytes")
		}
		if err := f(first, second); err != nil {
			return err
		}
	}
	return nil
}

// partialColumns reads which JSON columns of an after image are differences.
func (r *Rows) partialColumns(c *cursor, t *TableMap) map[int]bool {
	if r.Type != TypePartialUpdateRows || c.lenenc()&1 == 0 {
		return nil
	}
	var json []int
	for i := range t.Columns {
		if t.Columns[i].Type == ColJSON {
			json = append(json, i)
		}
	}
	bitmap := c.take((len(json) + 7) / 8)
	if c.bad {
		return nil
	}
	partial := make(map[int]bool)
	for n, i := range json {
		partial[i] = bitSet(bitmap, n)
	}
	return partial
}

func walkImage(c *cursor, t *TableMap, present []byte, partial map[int]bool, out []Value) error {
	count := 0
	for _, b := range present {
		count += bits.OnesCount8(b)
	}
	nulls := c.take((count + 7) / 8)
	if c.bad {
		return c.err("row image")
	}
	n := 0
	for i := range out {
		out[i] = Value{}
		if !bitSet(present, i) {
			continue
		}
		if n/8 >= len(nulls) {
			return malformed("a row image of more columns than it says")
		}
		out[i].Present = true
		if bitSet(nulls, n) {
			out[i].Null = true
			n++
			continue
		}
		n++
		prefix, whole, ok := t.Columns[i].size(c.b)
		if !ok {
			return malformed("column %d of %s.%s, of type %d, cannot be measured", i, t.Schema, t.Table, t.Columns[i].Type)
		}
		v := c.take(whole)
		if c.bad {
			return c.err("row image")
		}
		out[i].Data, out[i].Partial = v[prefix:], partial[i]
	}
	return nil
}
