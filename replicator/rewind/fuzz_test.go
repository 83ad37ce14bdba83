package rewind

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse reads arbitrary files: what is no binlog is told, and what is one is undone or refused.
func FuzzParse(f *testing.F) {
	for _, server := range []string{"mariadb-10.11", "mysql-9.7"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "internal", "binlog", "testdata", server+".binlog"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 8<<10)])
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		u, err := Parse(file)
		if err == nil && (u.Transactions == 0 || u.format == "" || u.Rows != len(u.steps)) {
			t.Errorf("undone: %+v", u)
		}
	})
}
