package router

import (
	"fmt"
	"testing"
)

func TestParseOwn(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SET bellwether_consistency = 'strong'", "set bellwether_consistency=strong"},
		{"set session BELLWETHER_Consistency := Eventual ;", "set bellwether_consistency=Eventual"},
		{"SET @@session.bellwether_track_token=1, @@bellwether_token = \"x\"", "set bellwether_track_token=1 bellwether_token=x"},
		{"SET @@bellwether_consistency = DEFAULT", "set bellwether_consistency=DEFAULT default"},
		{"SET GLOBAL bellwether_consistency = 'strong'", "set bellwether_consistency=strong global"},
		{"SET bellwether_consistency = 'strong', sql_mode = ''", "bad"},
		{"SET sql_mode = CONCAT('a', 'b'), bellwether_consistency = 'strong'", "bad"},
		{"SET bellwether_consistency = CONCAT('str', 'ong')", "bad"},
		{"SET bellwether_consistency = 'strong'; SELECT 1", "bad"},
		{"SET bellwether_consistency = ?", "bad"},
		{"SET sql_mode = 'bellwether_consistency'", "none"},
		{"SET @bellwether_consistency = 1", "none"},
		{"SET @x = 'SET bellwether_consistency = 1'", "none"},
		{"SELECT @@bellwether_token", "select @@bellwether_token"},
		{"/* hello */ SELECT @@session.bellwether_token AS t , @@bellwether_consistency LIMIT 1;", "select t @@bellwether_consistency"},
		{"SELECT @@Bellwether_Token", "select @@Bellwether_Token"},
		{"SELECT @@bellwether_token, @@version", "bad"},
		{"SELECT @@version, @@bellwether_token", "bad"},
		{"SELECT CONCAT(@@bellwether_token)", "bad"},
		{"SELECT @@bellwether_token FROM t", "bad"},
		{"SELECT @@sql_mode, bellwether_x FROM t", "none"},
		{"SELECT '@@bellwether_x', @@sql_mode", "none"},
		{"SHOW VARIABLES LIKE 'bellwether%'", "show bellwether%"},
		{"SHOW SESSION VARIABLES WHERE Variable_name = 'bellwether_token'", "show bellwether_token"},
		{"SHOW VARIABLES LIKE 'version'", "none"},
		{"SHOW STATUS LIKE 'bellwether%'", "none"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			o := ParseOwn([]byte(c.sql), Mode{})
			got := map[OwnKind]string{OwnNone: "none", OwnSet: "set", OwnSelect: "select", OwnShow: "show " + o.Pattern, OwnBad: "bad"}[o.Kind]
			for _, i := range o.Items {
				switch o.Kind {
				case OwnSet:
					got += " " + i.Name + "=" + i.Value
				default:
					got += " " + i.Title
				}
				if i.Default {
					got += " default"
				}
				if i.Global {
					got += " global"
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q (%s)", got, c.want, o.Err)
			}
			st := Classify([]byte(c.sql), Mode{}, nil)
			if o.Kind != OwnNone && !st.Multi && !st.MayBeOwn([]byte(c.sql)) {
				t.Errorf("is passed over: %s %s", st.Verb, st.Reason)
			}
		})
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"bellwether%", "bellwether_token", true},
		{"bellwether\\_token", "bellwether_token", true},
		{"bellwether_t_ken", "bellwether_token", true},
		{"BELLWETHER%con%y", "bellwether_consistency", true},
		{"bellwether%x", "bellwether_token", false},
		{"bellwether", "bellwether_token", false},
		{"%%", "", true},
	} {
		if got := Like(c.pattern, c.name); got != c.want {
			t.Errorf("%q against %q: %v", c.name, c.pattern, got)
		}
	}
}

func TestLevels(t *testing.T) {
	for l := LevelEventual; l < numLevels; l++ {
		if got, ok := ParseLevel(fmt.Sprint(l)); !ok || got != l {
			t.Errorf("%s is read as %s, %v", l, got, ok)
		}
	}
	for _, s := range []string{"", "unknown", "sessions"} {
		if l, ok := ParseLevel(s); ok {
			t.Errorf("%q is read as %s", s, l)
		}
	}
}

func FuzzParseOwn(f *testing.F) {
	for _, s := range []string{
		"SET bellwether_consistency = 'strong'", "SELECT @@session.bellwether_token AS t LIMIT 1", "SHOW VARIABLES LIKE 'bellwether%'",
		"SET @@bellwether_token=\"", "SELECT @@`bellwether_", "SET (,bellwether_x=(,),",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sql []byte) {
		o := ParseOwn(sql, Mode{})
		for _, i := range o.Items {
			if len(i.Name) < len(ownPrefix) || i.Name[:len(ownPrefix)] != ownPrefix {
				t.Fatalf("%q: %q is no name of ours", sql, i.Name)
			}
		}
		if o.Kind == OwnBad && o.Err == "" {
			t.Fatalf("%q: bad, and no word why", sql)
		}
		if text := string(sql); Like(text, "bellwether_token") != Like(text, "BELLWETHER_TOKEN") {
			t.Fatalf("%q: capitals count", sql)
		}
	})
}

func TestContainsFold(t *testing.T) {
	for _, c := range []struct {
		text, word string
		want       bool
	}{
		{"SET NAMES utf8 COLLATE utf8_bin", "collate", true},
		{"set names utf8 coLLate x", "collate", true},
		{"collat", "collate", false},
		{"cocollate", "collate", true},
		{"SELECT @@Warning_Count", "@@warning_count", true},
		{"XA END", " end", true},
		{"XAEND", " end", false},
		{"LASTVAL (s)", "lastval(", false},
		{"", "call", false},
	} {
		if got := ContainsFold([]byte(c.text), c.word); got != c.want {
			t.Errorf("%q in %q: %v", c.word, c.text, got)
		}
	}
}
