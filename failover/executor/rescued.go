package executor

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Rescue is what was saved of a returned leader before anything was changed there.
type Rescue struct {
	Name         string // of its folder: node, epoch of the reign in which it returned
	Path         string
	Saved        time.Time
	GTIDs        string
	Transactions []RescuedTransaction
}

// RescueFolder is where rescues are kept in a failover.directory.
const RescueFolder = "rescue"

// Rescues lists what was saved, the oldest first. dir is failover.directory.
func Rescues(dir string) ([]*Rescue, error) {
	found, err := os.ReadDir(filepath.Join(dir, RescueFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []*Rescue
	for _, d := range found {
		if !d.IsDir() || strings.HasSuffix(d.Name(), ".new") {
			continue // one that is being written
		}
		r, err := ReadRescue(dir, d.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *Rescue) int { return a.Saved.Compare(b.Saved) })
	return out, nil
}

// ReadRescue reads one. The error wraps fs.ErrNotExist where there is none of that name.
func ReadRescue(dir, name string) (*Rescue, error) {
	r := &Rescue{Name: name, Path: filepath.Join(dir, RescueFolder, filepath.Base(name))}
	gtids, err := os.ReadFile(filepath.Join(r.Path, "gtids"))
	if err != nil {
		return nil, err
	}
	r.GTIDs = string(gtids)
	f, err := os.Open(filepath.Join(r.Path, "transactions.jsonl"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil {
		r.Saved = info.ModTime()
	}
	r.Transactions, err = readTransactions(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return r, nil
}

func readTransactions(in io.Reader) (out []RescuedTransaction, err error) {
	d := json.NewDecoder(bufio.NewReader(in))
	d.UseNumber() // an integer of 64 bits is none as a float
	for {
		var t RescuedTransaction
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return out, err
		}
		out = append(out, t)
	}
}

// errNoNames says that rows cannot be written as SQL.
var errNoNames = errors.New("the table had other columns when it was saved: see the raw events in binlog")

// SQL is the transaction as it was, so that it can be run on another server: rows that it
// changed are found by all their columns.
func (t *RescuedTransaction) SQL() string {
	return t.render(t.Changes, func(c *RescuedChange) ([]string, error) {
		switch c.Kind {
		case "statement":
			return []string{inSchema(c)}, nil
		case "insert":
			return c.each(c.After, nil, insertSQL)
		case "delete":
			return c.each(c.Before, nil, deleteSQL)
		default:
			return c.each(c.Before, c.After, updateSQL)
		}
	})
}

// Reverse undoes the transaction, where it has been run and nothing has changed the same
// rows since. Statements cannot be undone.
func (t *RescuedTransaction) Reverse() string {
	changes := slices.Clone(t.Changes)
	slices.Reverse(changes)
	return t.render(changes, func(c *RescuedChange) ([]string, error) {
		switch c.Kind {
		case "statement":
			return nil, errors.New("cannot be undone: " + c.Statement)
		case "insert":
			return c.each(c.After, nil, deleteSQL)
		case "delete":
			return c.each(c.Before, nil, insertSQL)
		default:
			return c.each(c.After, c.Before, updateSQL)
		}
	})
}

func (t *RescuedTransaction) render(changes []RescuedChange, f func(*RescuedChange) ([]string, error)) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s, %s\n", t.GTID, t.Time.Format(time.RFC3339))
	b.WriteString("BEGIN;\n")
	for i := range changes {
		list, err := f(&changes[i])
		if err != nil {
			fmt.Fprintf(&b, "-- %s.%s: %s\n", changes[i].Schema, changes[i].Table, strings.ReplaceAll(err.Error(), "\n", " "))
		}
		for _, q := range list {
			b.WriteString(q + ";\n")
		}
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

func inSchema(c *RescuedChange) string {
	if c.Schema == "" {
		return c.Statement
	}
	return "USE " + mysqlconn.QuoteName(c.Schema) + ";\n" + c.Statement
}

// each makes a statement of each row, or of each row and what it became.
func (c *RescuedChange) each(rows, others []map[string]any, f func(table string, row, other map[string]any) string) ([]string, error) {
	table := mysqlconn.QuoteName(c.Schema) + "." + mysqlconn.QuoteName(c.Table)
	out := make([]string, 0, len(rows))
	for i, row := range rows {
		var other map[string]any
		if others != nil {
			if i >= len(others) {
				return out, errors.New("a row without what it became")
			}
			other = others[i]
		}
		for name := range row {
			if strings.HasPrefix(name, "@") {
				return out, errNoNames
			}
		}
		out = append(out, f(table, row, other))
	}
	return out, nil
}

func insertSQL(table string, row, _ map[string]any) string {
	var names, values []string
	for _, n := range slices.Sorted(maps.Keys(row)) {
		names, values = append(names, mysqlconn.QuoteName(n)), append(values, literal(row[n]))
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

func deleteSQL(table string, row, _ map[string]any) string {
	return "DELETE FROM " + table + " WHERE " + assign(row, " <=> ", " AND ") + " LIMIT 1"
}

func updateSQL(table string, row, other map[string]any) string {
	return "UPDATE " + table + " SET " + assign(other, " = ", ", ") + " WHERE " + assign(row, " <=> ", " AND ") + " LIMIT 1"
}

func assign(row map[string]any, is, and string) string {
	parts := make([]string, 0, len(row))
	for _, n := range slices.Sorted(maps.Keys(row)) {
		parts = append(parts, mysqlconn.QuoteName(n)+is+literal(row[n]))
	}
	return strings.Join(parts, and)
}

// literal is a value that means the same whatever sql_mode and character set say: what is
// not plain is given by its bytes.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case json.Number:
		return v.String()
	case float64, bool, int64:
		return fmt.Sprint(v)
	case string:
		if b, ok := strings.CutPrefix(v, base64Prefix); ok {
			if raw, err := base64.StdEncoding.DecodeString(b); err == nil {
				return "X'" + hex.EncodeToString(raw) + "'"
			}
		}
		if plain(v) {
			return "'" + v + "'"
		}
		return "CONVERT(X'" + hex.EncodeToString([]byte(v)) + "' USING utf8mb4)"
	default: // a JSON document
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return "NULL /* cannot be written */"
		}
		return literal(strings.TrimSpace(b.String()))
	}
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' {
			return false
		}
	}
	return true
}
