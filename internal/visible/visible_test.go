package visible

import (
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// TestPosition: a position is visible when the last commit has reached the end that the
// binlog had after the position was read, in this look or a later one.
func TestPosition(t *testing.T) {
	at := func(text string) gtid.Set {
		s, err := gtid.Parse(gtid.MariaDB, text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var v Position
	for i, look := range []struct {
		file   string
		end    uint64
		before string
		commit place
		want   string
	}{
		{"b.000001", 500, "0-1-5", place{file: "b.000001", offset: 400}, ""},
		{"b.000001", 700, "0-1-7", place{file: "b.000001", offset: 450}, ""},
		{"b.000001", 900, "0-1-9", place{file: "b.000001", offset: 600}, "0-1-5"}, // the first one is reached
		{"b.000001", 950, "0-1-10", place{file: "b.000001", offset: 899}, "0-1-5"},
		{"b.000002", 300, "0-1-11", place{file: "b.000002", offset: 300}, "0-1-11"}, // at rest, in the next file
		{"b.000002", 400, "0-1-12", place{file: "b.000002", offset: 350}, "0-1-11"},
		{"b.1000000", 100, "0-1-14", place{file: "b.999999", offset: 800}, "0-1-12"},
	} {
		if got := v.see(place{look.file, look.end, at(look.before)}, look.commit); got.String() != look.want {
			t.Errorf("look %d: %q, want %q", i, got, look.want)
		}
	}
}
