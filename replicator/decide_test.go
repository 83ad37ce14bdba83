package replicator

import (
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name string
		s    survey
		want action
	}{
		{"follows", survey{ours: true}, actStream},
		{"empty and new", survey{empty: true}, actCopy},
		{"empty and new, with accounts of its own", survey{empty: true, foreign: "0-2-3"}, actCopy},
		{"empty as the leader is, and ours", survey{empty: true, ours: true}, actStream},
		{"repair is asked for", survey{ours: true, repair: true, foreign: "0-2-3"}, actRepair},
		{"repair is asked for, unfit", survey{repair: true, unfit: []string{"no binlog"}}, actStop},
		{"half a copy", survey{halfCopied: true, foreign: "0-2-3"}, actRepair},
		{"data from nowhere", survey{unplaced: true}, actStop},
		{"empty, of an empty leader, and ours", survey{unplaced: true, empty: true, ours: true}, actStream},
		{"purged", survey{ours: true, purged: true}, actRepair},
		{"purged, not ours", survey{purged: true}, actStop},
		{"has something of its own", survey{ours: true, foreign: "0-2-3"}, actStop},
		{"purged, has something of its own", survey{ours: true, purged: true, foreign: "0-2-3"}, actStop},
		{"replicates by itself", survey{native: true}, actTakeOver},
		{"replicates by itself, has something of its own", survey{native: true, foreign: "0-2-3"}, actStop},
		{"has other transactions under the leader's GTIDs", survey{ours: true, forked: "0-1-7 to 9"}, actStop},
		{"replicates by itself, and has other transactions", survey{native: true, forked: "0-1-7 to 9"}, actStop},
		{"has other transactions, repair is asked for", survey{ours: true, repair: true, forked: "0-1-7 to 9"}, actRepair},
		{"statements", survey{empty: true, unfit: []string{"binlog_format of db1 is MIXED and must be ROW"}}, actStop},
	} {
		if got, why := decide(&c.s); got != c.want || (why == "") == (c.want == actStop) {
			t.Errorf("%s: %d %q, want %d", c.name, got, why, c.want)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, c := range []struct {
		flavor                 gtid.Flavor
		leader, follower, want string
	}{
		{gtid.MariaDB, "0-1-10", "0-1-7", ""},
		{gtid.MariaDB, "0-1-10", "0-2-8,0-1-7", "0-2-8"}, // a position would hide it
		{gtid.MariaDB, "0-2-8,0-1-10,3-1-4", "0-2-8,0-1-9", ""},
		{gtid.MariaDB, "0-1-10", "0-1-11,5-1-1", "0-1-11,5-1-1"},
		{gtid.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:7"},
		{gtid.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "", ""},
	} {
		if got, err := foreignTo(c.flavor, c.leader, c.follower); got != c.want || err != nil {
			t.Errorf("%s beside %s: %q, %v; want %q", c.follower, c.leader, got, err, c.want)
		}
	}
	if _, err := foreignTo(gtid.MariaDB, "0-1", ""); err == nil {
		t.Error("a malformed state passes")
	}
}

// A state is never foreign to itself, and nothing that a server says ends the process.
func FuzzForeign(f *testing.F) {
	f.Add("0-1-10,3-2-7", "0-2-8")
	f.Add("0-1", "18446744073709551616-1-1")
	f.Add("", ",,")
	f.Fuzz(func(t *testing.T, leader, follower string) {
		_, _ = foreignTo(gtid.MySQL, leader, follower)
		_, _ = foreignTo(gtid.MariaDB, leader, follower)
		if got, err := foreignTo(gtid.MariaDB, leader, leader); err == nil && got != "" {
			t.Fatalf("%q is foreign to itself: %s", leader, got)
		}
	})
}
