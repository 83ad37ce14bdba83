package lineage

import (
	"testing"

	"github.com/bellwetherdb/bellwether/internal/binlog"
)

func TestDiffer(t *testing.T) {
	columns := []binlog.Column{{Type: 3}, {Type: binlog.ColJSON}}
	value := func(texts ...string) (out []binlog.Value) {
		for _, s := range texts {
			switch s {
			case "": // not in the image
				out = append(out, binlog.Value{})
			case "NULL":
				out = append(out, binlog.Value{Present: true, Null: true})
			case "part":
				out = append(out, binlog.Value{Present: true, Partial: true, Data: []byte(s)})
			default:
				out = append(out, binlog.Value{Present: true, Data: []byte(s)})
			}
		}
		return out
	}
	row := func(began uint32, table string, texts ...string) change {
		return change{began: began, table: table, columns: columns, after: value(texts...)}
	}
	txn := func(changes ...change) *transaction { return &transaction{changes: changes} }
	statement := change{began: 5}
	for _, c := range []struct {
		what string
		a, b *transaction
		want bool // they differ
	}{
		{"the same", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "1", "x")), false},
		{"another value", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "2", "x")), true},
		{"NULL and a value", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "NULL", "x")), true},
		{"a column that one left out", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "1", "")), false},
		{"a difference instead of a value", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "1", "part")), false},
		{"another table", txn(row(1, "s.t", "1")), txn(row(1, "s.u", "1")), true},
		{"another second", txn(row(1, "s.t", "1", "x")), txn(row(2, "s.t", "1", "x")), true},
		{"another second of a later row", txn(row(1, "s.t", "1", "x"), row(3, "s.t", "2", "x")), txn(row(1, "s.t", "1", "x"), row(1, "s.t", "2", "x")), false},
		{"one row more", txn(row(1, "s.t", "1", "x")), txn(row(1, "s.t", "1", "x"), row(1, "s.t", "2", "x")), true},
		{"more than is compared", &transaction{changes: []change{row(1, "s.t", "1", "x")}, cut: true}, txn(row(1, "s.t", "1", "x"), row(1, "s.t", "2", "x")), false},
		{"a savepoint that one left out", txn(statement, row(1, "s.t", "1", "x")), txn(row(1, "s.t", "1", "x")), false},
		{"rows and a statement", txn(row(1, "s.t", "1", "x")), txn(statement), false},
		{"statements", txn(statement), txn(change{began: 6}), true},
		{"nothing", txn(), txn(statement), false},
	} {
		for _, pair := range [][2]*transaction{{c.a, c.b}, {c.b, c.a}} {
			if why := differ(pair[0], pair[1]); (why != "") != c.want {
				t.Errorf("%s: %q", c.what, why)
			}
		}
	}
}
