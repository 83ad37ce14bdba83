package consistency

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/token"
)

const readT = "SELECT n, (SELECT name FROM whoami) FROM t WHERE id = 1"

// With both followers stopped, each level shows where its reads may go: what is
// old only where that is allowed.
func TestLevels(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		rules := f.start(t, "routing: {rules: [{name: old, pattern: 'old news', consistency: eventual}, {name: now, pattern: 'hot', consistency: strong}]}")
		for _, n := range f.Followers() {
			// Delayed, and not stopped: a stopped applier would take the follower out.
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		waitEligible(t, rules, 2)
		f.Exec(t, "UPDATE shop.t SET n = 1 WHERE id = 1")
		fresh := func(got string) bool { return got == "1|"+leader }
		stale := func(got string) bool { return strings.HasPrefix(got, "0|") && got != "0|"+leader }

		s := open(t, f.proxy, "")
		if got := s.row(readT); !stale(got) {
			t.Errorf("session, that wrote nothing: %s", got)
		}
		for _, c := range []struct {
			level string
			want  func(string) bool
		}{{"eventual", stale}, {"session", stale}, {"causal", stale}, {"global", fresh}, {"strong", fresh}} {
			if got := open(t, f.proxy, "").row("/* bellwether: consistency=" + c.level + " */ " + readT); !c.want(got) {
				t.Errorf("hint %s: %s", c.level, got)
			}
			set := open(t, f.proxy, "")
			set.exec("SET SESSION bellwether_consistency = '" + c.level + "'")
			if got := set.row("SELECT @@bellwether_consistency"); got != c.level {
				t.Errorf("SET %s, and it is %s", c.level, got)
			}
			if got := set.row(readT); !c.want(got) {
				t.Errorf("SET %s: %s", c.level, got)
			}
		}
		s.exec("UPDATE t SET n = n + 0 WHERE id = 1", "INSERT INTO t VALUES (2, 2)")
		if got := s.row(readT); !fresh(got) {
			t.Errorf("session, after its write: %s", got)
		}
		if got := s.row("/* bellwether: consistency=eventual */ " + readT); !stale(got) {
			t.Errorf("eventual, after the session's write: %s", got)
		}
		s.exec("SET bellwether_consistency = eventual")
		if got := s.row(readT); !stale(got) {
			t.Errorf("SET eventual, after the session's write: %s", got)
		}
		s.exec("SET bellwether_consistency = DEFAULT")
		if got := s.row(readT); !fresh(got) {
			t.Errorf("SET DEFAULT, after the session's write: %s", got)
		}
		byRule := open(t, rules, "")
		byRule.exec("INSERT INTO t VALUES (3, 3)")
		if got := byRule.row("SELECT /* old news */ " + readT[7:]); !stale(got) {
			t.Errorf("by a rule with eventual: %s", got)
		}
		if got := open(t, rules, "").row("SELECT /* hot */ " + readT[7:]); !fresh(got) {
			t.Errorf("by a rule with strong: %s", got)
		}
		if got := open(t, rules, "").route("SELECT /* hot */ 1"); got != "leader strong" {
			t.Errorf("EXPLAIN ROUTE of strong: %s", got)
		}
	}, "routing: {causal_wait: 0s}")
}

// Bellwether's variables are answered like a server's, in both protocols.
func TestOwnVariables(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := open(t, f.proxy, "")
		for query, want := range map[string]string{
			"SELECT @@bellwether_consistency":                                           "session",
			"SELECT @@session.bellwether_consistency AS c, @@BELLWETHER_CONSISTENCY":    "session|session",
			"SHOW VARIABLES LIKE 'bellwether_con%'":                                     "bellwether_consistency|session",
			"SHOW SESSION VARIABLES WHERE Variable_name = 'bellwether_consistency'":     "bellwether_consistency|session",
			"SHOW VARIABLES LIKE 'bellwether\\_none'":                                   "",
			"SELECT 'bellwether_x'":                                                     "bellwether_x",
			"/* bellwether: target=leader */ SELECT @@bellwether_consistency c LIMIT 1": "session",
		} {
			if got := s.row(query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
			prepared, err := s.PrepareContext(t.Context(), query)
			if err != nil {
				t.Errorf("prepare %s: %v", query, err)
				continue
			}
			for range 2 {
				rows, err := prepared.QueryContext(t.Context())
				cluster.Must(t, err)
				if got := texts(t, rows); got != want {
					t.Errorf("prepared %s: %q, want %q", query, got, want)
				}
			}
			cluster.Must(t, prepared.Close())
		}
		set, err := s.PrepareContext(t.Context(), "SET bellwether_consistency = 'strong'")
		cluster.Must(t, err)
		_, err = set.ExecContext(t.Context())
		cluster.Must(t, err, set.Close())
		if got := s.row("SELECT @@bellwether_consistency"); got != "strong" {
			t.Errorf("set by a prepared statement, and it is %s", got)
		}
		s.refused(1231, "SET bellwether_consistency = 'mild'")
		s.refused(1231, "SET bellwether_consistency = 1")
		s.refused(1193, "SET bellwether_nothing = 1")
		s.refused(1193, "SELECT @@bellwether_nothing")
		s.refused(1228, "SET GLOBAL bellwether_consistency = 'strong'")
		s.refused(1235, "SET bellwether_consistency = 'eventual', sql_mode = ''")
		s.refused(1235, "SELECT @@bellwether_consistency, 1")
		if got := s.row("SELECT @@bellwether_consistency"); got != "strong" {
			t.Errorf("after refusals it is %s", got)
		}
		s.exec("DO 1")
		if n, err := strconv.Atoi(s.row("SELECT 41 + 1")); err != nil || n != 42 {
			t.Errorf("the session goes on: %d, %v", n, err)
		}
	})
}

func texts(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	cluster.Must(t, err)
	var out []string
	for rows.Next() {
		values, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		cluster.Must(t, rows.Scan(into...))
		out = append(out, values...)
	}
	cluster.Must(t, rows.Err())
	return strings.Join(out, "|")
}

// foreign is a token of something that this cluster never had.
func foreign(f gtid.Flavor) string {
	text := "0-99-1000000"
	if f == gtid.MySQL {
		text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
	}
	set, err := gtid.Parse(f, text)
	if err != nil {
		panic(err)
	}
	return token.Token{Flavor: f, Epoch: 1, Set: set}.Encode()
}

// A token carries what a session has seen to another, also through another proxy;
// what is no token, or not of this cluster, is refused.
func TestToken(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		second := f.start(t, "routing: {causal_wait: 0s}")
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		waitEligible(t, second, 2)
		writer, reader := open(t, f.proxy, ""), open(t, f.proxy, "")
		writer.exec("UPDATE t SET n = 7 WHERE id = 1")
		token := writer.row("SELECT @@bellwether_token")
		if got := open(t, second, "").row(readT); !strings.HasPrefix(got, "0|db") {
			t.Fatalf("without the token: %s", got)
		}
		// What a session read on the leader is in its token, too.
		reader.row("/* bellwether: target=leader */ " + readT)
		for name, token := range map[string]string{"the writer's": token, "the reader's": reader.row("SELECT @@bellwether_token")} {
			for _, p := range []*cluster.ProxyProcess{f.proxy, second} {
				s := open(t, p, "")
				s.exec("SET bellwether_token = '" + token + "'")
				if got := s.row(readT); got != "7|"+leader {
					t.Errorf("with %s token: %s", name, got)
				}
				s = open(t, p, "")
				if got := s.row("/* bellwether: token=" + token + " */ " + readT); got != "7|"+leader {
					t.Errorf("with %s token in a hint: %s", name, got)
				}
				if got := s.row(readT); got != "7|"+leader {
					t.Errorf("a read after the one with the token: %s", got)
				}
				s = open(t, p, "")
				s.exec("SET bellwether_consistency = 'eventual', bellwether_token = '" + token + "'")
				if got := s.row("SELECT @@bellwether_consistency"); got != "causal" {
					t.Errorf("a session with a token is %s", got)
				}
			}
		}
		s := open(t, f.proxy, "")
		s.refused(1231, "SET bellwether_token = 'nonsense'")
		s.refused(1231, fmt.Sprintf("SET bellwether_token = '%s'", token[:len(token)-2]))
		s.refused(1231, "/* bellwether: token=nonsense */ SELECT 1")
		s.refused(1231, "SET bellwether_token = '"+foreign(f.Flavor)+"'")
		if got := s.row("SELECT 1"); got != "1" {
			t.Errorf("the session goes on: %s", got)
		}
	}, "routing: {causal_wait: 0s}")
}
