package cluster

import (
	"database/sql"
	"strings"
)

// Text reads and closes rows: columns with | and rows with ; between, NULL as null.
func Text(rows *sql.Rows, null string) (string, error) {
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var out []string
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		words := make([]string, len(columns))
		for i, v := range values {
			words[i] = v.String
			if !v.Valid {
				words[i] = null
			}
		}
		out = append(out, strings.Join(words, "|"))
	}
	return strings.Join(out, ";"), rows.Err()
}
