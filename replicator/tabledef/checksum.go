package tabledef

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Sum is what two servers' rows of a range are compared by: how many there are,
// and the sum of 60 bits of each row's SHA-256. A sum, and not an exclusive or,
// so that rows that occur twice count twice.
type Sum struct {
	Rows uint64
	Hash string
}

// rowHash is an expression: a hash of all columns of a row. The session's time
// zone must be the same on both servers. Each value is told with its length, so
// that no two rows are told alike; long values by their own hash, as a value
// longer than max_allowed_packet would silently make NULL of the whole.
func (t *Table) rowHash() string {
	parts := make([]string, 0, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		value := c.readExpr()
		switch {
		case c.Type == "json":
			value = "SHA2(CAST(" + value + " AS CHAR CHARACTER SET utf8mb4),256)"
		case c.unbounded():
			value = "SHA2(CAST(" + value + " AS BINARY),256)"
			if c.Type != "varchar" && c.Charset == "" && c.Type != "varbinary" && !strings.HasSuffix(c.Type, "blob") {
				value = "SHA2(" + c.readExpr() + ",256)"
			}
		default:
			value = "CAST(" + value + " AS BINARY)"
		}
		parts = append(parts, "IFNULL(CONCAT(LENGTH("+value+"),':',"+value+"),'-')")
	}
	return "SHA2(CONCAT(" + strings.Join(parts, ",") + "),256)"
}

// SumQuery is the query for the Sum of a range; suffix follows it.
func (t *Table) SumQuery(r Range, suffix string) string {
	return "SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(" + t.rowHash() + ",15),16,10) AS UNSIGNED)),0) FROM " + t.from() + t.Where(r) + suffix
}

// Sum computes the checksum of a range.
func (t *Table) Sum(ctx context.Context, q node.Querier, r Range) (Sum, error) {
	var out Sum
	if err := q.QueryRowContext(ctx, t.SumQuery(r, "")).Scan(&out.Rows, &out.Hash); err != nil {
		return Sum{}, fmt.Errorf("checksum of %s %s: %w", t, r, err)
	}
	return out, nil
}

// Hashes returns the hash of each row of the range by its key, as a quoted list;
// and how often it occurs where the table has no usable key. where narrows the
// range further and may be empty; suffix follows the query.
func (t *Table) Hashes(ctx context.Context, q node.Querier, where, suffix string) (map[string]map[string]int, error) {
	key := "'no key'"
	if len(t.Key) > 0 {
		parts := make([]string, len(t.Key))
		for i := range t.Key {
			parts[i] = "CAST(" + mysqlconn.QuoteName(t.Key[i].Name) + " AS BINARY)"
		}
		key = strings.Join(parts, ",")
	}
	rows, err := q.QueryContext(ctx, "SELECT "+t.rowHash()+","+key+" FROM "+t.from()+where+suffix)
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", t, err)
	}
	defer func() { _ = rows.Close() }()
	out := make(map[string]map[string]int)
	values := make([]sql.RawBytes, 1+max(1, len(t.Key)))
	targets := make([]any, len(values))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		var k string
		if len(t.Key) > 0 {
			parts := make([]string, len(t.Key))
			for i := range parts {
				parts[i] = string(values[1+i])
			}
			k = JoinKey(parts)
		}
		if out[k] == nil {
			out[k] = make(map[string]int, 1)
		}
		out[k][string(values[0])]++
	}
	return out, rows.Err()
}

// JoinKey and SplitKey turn the values of a key into one string and back.
func JoinKey(values []string) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	}
	return b.String()
}

// SplitKey undoes JoinKey; nil where key is none of its.
func SplitKey(key string) []string {
	var out []string
	for key != "" {
		var n int
		if _, err := fmt.Sscanf(key, "%d:", &n); err != nil {
			return nil
		}
		_, key, _ = strings.Cut(key, ":")
		if n < 0 || n > len(key) {
			return nil
		}
		out, key = append(out, key[:n]), key[n:]
	}
	return out
}

// WhereKey is the condition for the rows of one key.
func (t *Table) WhereKey(values []string) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = t.Key[i].compare("=", v)
	}
	return " WHERE " + strings.Join(parts, " AND ")
}
