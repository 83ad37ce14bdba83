package gtid

import (
	"errors"
	"fmt"
	"testing"
)

func TestParseOwned(t *testing.T) {
	const u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"one", u + ":23#48", u + ":23"},
		{"one of two threads", u + ":23#48#49", u + ":23"},
		{"two", u + ":23#48:24#49", u + ":23-24"},
		{"a gap", u + ":23#48:26#7", u + ":23:26"},
		{"two servers", u + ":23#48,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1#3", u + ":23,4e11fa47-71ca-11e1-9e33-c80aa9429562:1"},
		{"two servers as 9.7 writes them", u + ":23#484e11fa47-71ca-11e1-9e33-c80aa9429562:1#3:2#4", u + ":23,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-2"},
		{"a tag", u + ":blue:5#7", u + ":blue:5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseOwned(c.in)
			if err != nil || got.String() != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	if _, err := ParseOwned("ANONYMOUS#7"); !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v for what is no GTID", err)
	}
}

func FuzzParseOwned(f *testing.F) {
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:23#484e11fa47-71ca-11e1-9e33-c80aa9429562:blue:1#3#5:2#4")
	f.Add("#")
	f.Fuzz(func(t *testing.T, s string) {
		set, err := ParseOwned(s)
		if err != nil {
			return
		}
		if again, err := Parse(MySQL, set.String()); err != nil || !again.Equal(set) {
			t.Fatalf("%q: %s came back as %s, %v", s, set, again, err)
		}
	})
}

func TestPastHolds(t *testing.T) {
	for _, c := range []struct {
		past, position string
		want           bool
	}{
		{"0-1-100", "0-1-100", true},
		{"0-1-99,0-2-150", "0-1-100", false}, // the last of server 1 was lost; 2 went on from 99
		{"0-1-100,0-2-150", "0-1-100", true},
		{"0-2-150,0-1-100", "0-2-149", true},
		{"0-2-150", "0-1-100", false},
		{"0-1-100", "0-1-100,7-1-1", false},
		{"", "", true},
	} {
		position, err := Parse(MariaDB, c.position)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := PastHolds(c.past, position); err != nil || got != c.want {
			t.Errorf("%q in the past %q: %v, %v", c.position, c.past, got, err)
		}
	}
	if _, err := PastHolds("0-1", Set{}); !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v for what is no past", err)
	}
}

func FuzzParseBinlogState(f *testing.F) {
	f.Add("0-1-5")
	f.Add("0-1-10,3-2-7")
	f.Add("0-1")
	f.Add("18446744073709551616-1-1")
	f.Add("0-1-5..7")
	f.Add(",,")
	f.Fuzz(func(t *testing.T, text string) {
		state, err := ParseBinlogState(text)
		if err != nil {
			return
		}
		for w, last := range state {
			again, err := ParseBinlogState(fmt.Sprintf("%s-%d", w, last))
			if err != nil || len(again) != 1 || again[w] != last {
				t.Errorf("%s-%d of %q is read as %v (%v)", w, last, text, again, err)
			}
		}
	})
}

func TestBeforeLast(t *testing.T) {
	for in, want := range map[string]string{"": "", "0-1-1": "", "0-1-7": "0-1-6", "0-1-7,3-2-1,5-2-9": "0-1-6,5-2-8"} {
		s, err := Parse(MariaDB, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.BeforeLast(); got.String() != want || got.Flavor() != s.Flavor() {
			t.Errorf("before the last of %q: %q, want %q", in, got, want)
		}
	}
}
