package lineage

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// mostRows is how much of a transaction is compared.
const mostRows = 500

// transaction is what is compared of one.
type transaction struct {
	changes []change
	cut     bool // there is more of it
}

// change is a row, or a statement.
type change struct {
	began         uint32 // second in which the statement began, of the Unix epoch
	table         string // schema and name; empty for a statement
	columns       []binlog.Column
	before, after []binlog.Value
}

// reader makes a transaction of its parts.
type reader struct {
	flavor gtid.Flavor
	maps   map[uint64]*binlog.TableMap
	txn    *transaction
}

func newReader(f gtid.Flavor) *reader {
	return &reader{flavor: f, maps: map[uint64]*binlog.TableMap{}, txn: &transaction{}}
}

// take adds a part. It is false where no more is wanted.
func (r *reader) take(p *binlog.Part) (bool, error) {
	for _, e := range p.Events {
		if len(r.txn.changes) >= mostRows {
			r.txn.cut = true
			return false, nil
		}
		switch {
		case e.Type == binlog.TypeTableMap:
			t, err := binlog.ParseTableMap(e, r.flavor)
			if err != nil {
				return false, err
			}
			r.maps[t.TableID] = t
		case e.Type == binlog.TypeQuery:
			q, err := binlog.ParseQuery(e)
			if err != nil {
				return false, err
			}
			if !q.Is("BEGIN") && !q.Is("COMMIT") {
				r.txn.changes = append(r.txn.changes, change{began: e.Timestamp})
			}
		case e.Type.IsRows():
			if err := r.rows(e); err != nil {
				return false, err
			}
		}
	}
	return !p.Last, nil
}

func (r *reader) rows(e binlog.Event) error {
	rows, err := binlog.ParseRows(e)
	if err != nil {
		return err
	}
	t := r.maps[rows.TableID]
	if t == nil {
		return nil // the end of a statement whose rows were all filtered out
	}
	return rows.Walk(t, func(before, after []binlog.Value) error {
		r.txn.changes = append(r.txn.changes, change{
			began: e.Timestamp, table: t.Schema + "." + t.Table, columns: t.Columns,
			before: bytesOf(before), after: bytesOf(after),
		})
		return nil
	})
}

// bytesOf keeps values longer than the walk does.
func bytesOf(values []binlog.Value) []binlog.Value {
	if values == nil {
		return nil
	}
	return append([]binlog.Value(nil), values...)
}

// differ says in what two transactions of the same GTID are not the same one; empty where
// nothing says so. When a change began is looked at of the first one only: the engine applies the
// rows of several statements as one, and a follower may write rows down as begun with those before
// them. Of statements only their time is looked at, and that only where neither has
// rows: savepoints, and the definition of CREATE TABLE ... SELECT, are written down in different
// ways.
func differ(a, b *transaction) string {
	x, y := a.rows(), b.rows()
	if len(x) == 0 && len(y) == 0 {
		x, y = a.changes[:min(1, len(a.changes))], b.changes[:min(1, len(b.changes))]
	}
	if len(x) == 0 || len(y) == 0 {
		return ""
	}
	if a, b := x[0].began, y[0].began; a != b {
		return fmt.Sprintf("one began %d s after the other", max(a, b)-min(a, b))
	}
	for i := range min(len(x), len(y)) {
		if why := x[i].differs(&y[i]); why != "" {
			return why
		}
	}
	if len(x) != len(y) && !a.cut && !b.cut {
		return fmt.Sprintf("one changes %d rows, the other %d", len(x), len(y))
	}
	return ""
}

// rows are the changes that are rows.
func (t *transaction) rows() []change {
	return slices.DeleteFunc(slices.Clone(t.changes), func(c change) bool { return c.table == "" })
}

func (c *change) differs(o *change) string {
	switch {
	case c.table != o.table:
		return fmt.Sprintf("one changes %s, the other %s", c.table, o.table)
	case !alike(c.columns, c.before, o.columns, o.before) || !alike(c.columns, c.after, o.columns, o.after):
		return "they give a row of " + c.table + " other values"
	}
	return ""
}

// alike compares what both images have in the same form.
func alike(ac []binlog.Column, a []binlog.Value, bc []binlog.Column, b []binlog.Value) bool {
	if len(a) != len(b) {
		return a == nil || b == nil || len(ac) != len(bc) // columns added on one side only
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if !x.Present || !y.Present || x.Partial || y.Partial || ac[i].Type != bc[i].Type || ac[i].Meta != bc[i].Meta {
			continue
		}
		if x.Null != y.Null || !bytes.Equal(x.Data, y.Data) {
			return false
		}
	}
	return true
}
