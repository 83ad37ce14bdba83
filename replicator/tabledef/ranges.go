package tabledef

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Range is the rows whose key is above After and not above Upto; nil is no bound.
// Values are as the server shows them.
type Range struct {
	After, Upto []string
}

// IsAll reports whether the range has no bound.
func (r Range) IsAll() bool { return r.After == nil && r.Upto == nil }

func (r Range) String() string {
	return fmt.Sprintf("(%s, %s]", strings.Join(r.After, ","), strings.Join(r.Upto, ","))
}

// Where is the condition for the range, beginning with " WHERE"; empty for all.
func (t *Table) Where(r Range) string {
	var parts []string
	if r.After != nil {
		parts = append(parts, t.compare(">", r.After))
	}
	if r.Upto != nil {
		parts = append(parts, "NOT "+t.compare(">", r.Upto), t.Key[0].compare("<=", r.Upto[0]))
	}
	if len(parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

func (c *Column) compare(op, value string) string {
	return mysqlconn.QuoteName(c.Name) + op + c.keyLiteral(value)
}

// compare is key > values, spelled out so that the servers see a range in it.
func (t *Table) compare(op string, values []string) string {
	var alternatives []string
	for i := range values {
		var all []string
		for j := range i {
			all = append(all, t.Key[j].compare("=", values[j]))
		}
		all = append(all, t.Key[i].compare(op, values[i]))
		alternatives = append(alternatives, "("+strings.Join(all, " AND ")+")")
	}
	out := "(" + strings.Join(alternatives, " OR ") + ")"
	if len(values) > 1 {
		out = "(" + t.Key[0].compare(op+"=", values[0]) + " AND " + out + ")"
	}
	return out
}

// Split cuts the table into ranges of about rows rows, in order. The first and
// the last are open, so that together they hold every row. It reads the key only.
func (t *Table) Split(ctx context.Context, q node.Querier, rows uint64) ([]Range, error) {
	if len(t.Key) == 0 || t.Versioned || t.Rows <= rows {
		return []Range{{}}, nil
	}
	if len(t.Key) == 1 && t.Key[0].isInteger() {
		if out, err := t.splitIntegers(ctx, q, rows); out != nil || err != nil {
			return out, err
		}
	}
	var out []Range
	var after []string
	for {
		next, err := t.step(ctx, q, after, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, Range{After: after, Upto: next})
		if next == nil {
			return out, nil
		}
		after = next
	}
}

// splitIntegers cuts evenly between the least and the greatest key, where the
// table is dense enough for that. It returns nil where it is not.
func (t *Table) splitIntegers(ctx context.Context, q node.Querier, rows uint64) ([]Range, error) {
	name := mysqlconn.QuoteName(t.Key[0].Name)
	var lo, hi sql.NullString
	if err := q.QueryRowContext(ctx, "SELECT MIN("+name+"), MAX("+name+") FROM "+t.FullName()).Scan(&lo, &hi); err != nil {
		return nil, fmt.Errorf("bounds of %s: %w", t, err)
	}
	first, err1 := strconv.ParseInt(lo.String, 10, 64)
	last, err2 := strconv.ParseInt(hi.String, 10, 64)
	if err1 != nil || err2 != nil { // empty, or beyond the signed numbers
		return nil, nil
	}
	span := uint64(last) - uint64(first)
	n := t.Rows/rows + 1
	if span/16 > t.Rows || span < n { // sparse: even cuts would be uneven
		return nil, nil
	}
	var out []Range
	var after []string
	for i := uint64(1); i < n; i++ {
		upto := []string{strconv.FormatInt(int64(uint64(first)+span/n*i), 10)}
		out = append(out, Range{After: after, Upto: upto})
		after = upto
	}
	return append(out, Range{After: after}), nil
}

// step returns the key that is rows rows above after, nil where there are fewer.
func (t *Table) step(ctx context.Context, q node.Querier, after []string, rows uint64) ([]string, error) {
	names := make([]string, len(t.Key))
	for i := range t.Key {
		names[i] = mysqlconn.QuoteName(t.Key[i].Name)
	}
	list := strings.Join(names, ",")
	query := "SELECT " + list + " FROM " + t.from() + t.Where(Range{After: after}) + " ORDER BY " + list + " LIMIT 1 OFFSET " + strconv.FormatUint(rows, 10)
	values := make([]string, len(names))
	targets := make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	switch err := q.QueryRowContext(ctx, query).Scan(targets...); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("split %s: %w", t, err)
	default:
		return values, nil
	}
}

// SelectRange reads all columns of the rows in the range.
func (t *Table) SelectRange(r Range) string {
	exprs := make([]string, len(t.Columns))
	for i := range t.Columns {
		exprs[i] = t.Columns[i].readExpr()
	}
	return "SELECT " + strings.Join(exprs, ",") + " FROM " + t.from() + t.Where(r)
}

// DeleteRange removes the rows in the range.
func (t *Table) DeleteRange(r Range) string {
	return "DELETE FROM " + t.FullName() + t.Where(r)
}

// InsertHead begins an INSERT of all columns; tuples follow.
func (t *Table) InsertHead() string {
	return "INSERT INTO " + t.FullName() + " (" + t.ColumnList() + ") VALUES "
}
