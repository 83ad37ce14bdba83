package rewind

import (
	"encoding/binary"
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
		f.Add(whole(b, 4<<10)) // small: what is interesting is made smaller, byte by byte
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		u, err := Parse(file)
		if err == nil && (u.Transactions == 0 || u.format == "" || u.Rows != len(u.steps)) {
			t.Errorf("undone: %+v", u)
		}
	})
}

// whole are the first events of a file, up to about n bytes.
func whole(file []byte, n int) []byte {
	at := len(magic)
	for at < n && at+13 < len(file) {
		next := at + int(binary.LittleEndian.Uint32(file[at+9:]))
		if next > len(file) {
			break
		}
		at = next
	}
	return file[:at]
}
