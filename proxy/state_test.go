package proxy

import (
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

func TestStateSince(t *testing.T) {
	type change struct{ name, value string }
	tests := []struct {
		name    string
		before  []change // what the connection has
		changes []change
		want    string
	}{
		{"nothing changed", nil, nil, ""},
		{"a number", nil, []change{{"max_execution_time", "1000"}}, "SET SESSION max_execution_time=1000"},
		{"a negative number", nil, []change{{"x", "-1"}}, "SET SESSION x=-1"},
		{"a fraction", nil, []change{{"long_query_time", "0.500000"}}, "SET SESSION long_query_time=0.500000"},
		{"a word", nil, []change{{"sql_safe_updates", "ON"}}, "SET SESSION sql_safe_updates=_utf8mb4 x'4f4e'"},
		{"a hostile value", nil, []change{{"time_zone", "';DROP"}}, "SET SESSION time_zone=_utf8mb4 x'273b44524f50'"},
		{"an empty value", nil, []change{{"sql_mode", ""}}, "SET SESSION sql_mode=''"},
		{"no result character set", nil, []change{{"character_set_results", ""}}, "SET SESSION character_set_results=NULL"},
		{"stays at home", nil, []change{{"autocommit", "OFF"}, {"gtid_next", "AUTOMATIC"}}, ""},
		{
			"only the difference",
			[]change{{"a", "1"}, {"b", "2"}},
			[]change{{"b", "3"}, {"c", "4"}},
			"SET SESSION b=3,SESSION c=4",
		},
		{
			"in the order of the last changes",
			nil,
			[]change{{"collation_connection", "7"}, {"character_set_connection", "8"}, {"collation_connection", "9"}},
			"SET SESSION character_set_connection=8,SESSION collation_connection=9",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var st sessionState
			for _, c := range tt.before {
				st.set(c.name, c.value)
			}
			have := st.current(false)
			for _, c := range tt.changes {
				st.set(c.name, c.value)
			}
			list, ok := st.current(false).since(have)
			if got := assignments(list); !ok || got != tt.want {
				t.Errorf("since = %q, %v, want %q", got, ok, tt.want)
			}
			if list, ok := st.current(false).since(st.current(false)); !ok || len(list) > 0 {
				t.Errorf("a connection that is up to date gets %q", assignments(list))
			}
		})
	}
}

// A connection of another session gets the difference where that leads to the same,
// and is reset where it would not.
func TestStateSinceAnother(t *testing.T) {
	state := func(pairs ...string) *varSet {
		var st sessionState
		for i := 0; i < len(pairs); i += 2 {
			st.set(pairs[i], pairs[i+1])
		}
		return st.current(true)
	}
	for _, tt := range []struct {
		name       string
		have, want *varSet
		sql        string
		ok         bool
	}{
		{"a clean connection", nil, state("a", "1"), "SET SESSION a=1", true},
		{"alike", state("a", "1"), state("a", "1"), "", true},
		{"more", state("a", "1"), state("a", "1", "b", "2"), "SET SESSION b=2", true},
		{"less", state("a", "1", "b", "2"), state("a", "1"), "", false},
		{"nothing", state("a", "1"), state(), "", false},
		{"another value", state("a", "1"), state("a", "2"), "", false},
		{"another order", state("a", "1", "b", "2"), state("b", "2", "a", "1"), "", false},
		{"of the home connection only", nil, state("foreign_key_checks", "OFF"), "SET SESSION foreign_key_checks=_utf8mb4 x'4f4646'", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, ok := tt.want.since(tt.have)
			if got := assignments(list); ok != tt.ok || ok && got != tt.sql {
				t.Errorf("%q, %v, want %q, %v", got, ok, tt.sql, tt.ok)
			}
		})
	}
	var st sessionState
	st.set("foreign_key_checks", "OFF")
	if !st.current(false).equal(nil) {
		t.Error("what matters at home only goes to followers")
	}
	st.set("a", "1")
	before := st.current(true)
	st.forget()
	st.set("b", "1")
	if _, ok := st.current(true).since(before); ok {
		t.Error("what was set before a reset stays")
	}
}

func TestStateIsFixed(t *testing.T) {
	var st sessionState
	st.set("TIMESTAMP", "1700000000.000000")
	if st.fixed != "timestamp" {
		t.Errorf("fixed = %q after SET timestamp", st.fixed)
	}
	st.forget()
	if st.fixed != "" || st.version != 0 {
		t.Errorf("after a reset: fixed %q, version %d", st.fixed, st.version)
	}
}

func TestTrackList(t *testing.T) {
	var l trackList
	l.parse("autocommit, Time_Zone")
	for name, want := range map[string]bool{"autocommit": true, "time_zone": true, "sql_mode": false} {
		if got := l.wants(wire.StateSysVar, []byte(name)); got != want {
			t.Errorf("wants(%s) = %v, want %v", name, got, want)
		}
	}
	if !l.wants(wire.StateSchema, nil) {
		t.Error("a change of schema is always wanted")
	}
	l.parse("*")
	if !l.wants(wire.StateSysVar, []byte("sql_mode")) {
		t.Error("* wants everything")
	}
}

func FuzzAppendValue(f *testing.F) {
	f.Add("sql_mode", "STRICT_TRANS_TABLES")
	f.Add("x", "1' OR 1")
	f.Add("x", "\\")
	f.Fuzz(func(t *testing.T, name, value string) {
		var sql strings.Builder
		appendValue(&sql, "v", value)
		got := sql.String()
		for i := range len(got) {
			c := got[i]
			ok := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || strings.IndexByte("-._utf8mb4 x'NUL", c) >= 0
			if !ok {
				t.Fatalf("%q became %q, which holds %q", value, got, c)
			}
		}
	})
}
