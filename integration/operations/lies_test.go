package operations

import (
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// Promise P2: functions that lie about what they do. A follower refuses them, the
// leader runs them unseen by the client, and the next time they go there at once.
func TestFollowerIsNeverWritten(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		if strings.HasPrefix(f.Options.Flavor, "mysql") {
			f.Exec(t, "SET GLOBAL log_bin_trust_function_creators = 1")
		}
		f.Exec(t,
			"CREATE TABLE shop.log (n INT) ENGINE=InnoDB",
			"CREATE TABLE shop.many (id INT PRIMARY KEY) ENGINE=InnoDB",
			"INSERT INTO shop.many WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 900) SELECT n FROM x",
			"CREATE PROCEDURE shop.deep() BEGIN INSERT INTO shop.log VALUES (1); END",
			"CREATE FUNCTION shop.direct(n INT) RETURNS INT READS SQL DATA BEGIN INSERT INTO shop.log VALUES (n); RETURN n; END",
			"CREATE FUNCTION shop.nested() RETURNS INT NO SQL BEGIN CALL shop.deep(); RETURN 3; END",
			"CREATE FUNCTION shop.outer_f() RETURNS INT READS SQL DATA RETURN shop.nested()",
			"CREATE FUNCTION shop.locks() RETURNS INT READS SQL DATA BEGIN DECLARE x INT; SELECT n INTO x FROM shop.t WHERE id = 1 FOR UPDATE; RETURN x; END",
			"CREATE FUNCTION shop.late(n INT) RETURNS INT READS SQL DATA BEGIN IF n = 900 THEN CALL shop.deep(); END IF; RETURN n; END",
			"CREATE VIEW shop.v AS SELECT shop.direct(4) AS n",
		)
		f.WaitReplicated(t)
		s := f.open(t)
		written := 0
		for _, c := range []struct{ name, want, query string }{
			{"an insert", "5", "SELECT direct(5)"},
			{"nested", "3", "SELECT nested()"},
			{"nested twice", "3", "SELECT outer_f()"},
			{"in a view", "4", "SELECT n FROM v"},
			{"in a subquery", "1", "SELECT COUNT(*) FROM t WHERE id = (SELECT direct(1))"},
		} {
			for range 2 {
				s.want(c.want, c.query)
				written++
			}
			s.want(c.want, "/* bellwether: target=follower */ "+c.query)
			written++
		}
		s.want("1", "SELECT locks()")
		if got := f.Leader().Text(t, "SELECT COUNT(*) FROM shop.log"); got == "0" {
			t.Error("nothing was written on the leader")
		}
		f.WaitReplicated(t)
		t.Logf("%s rows of %d, learned %v", f.Leader().Text(t, "SELECT COUNT(*) FROM shop.log"), written, f.metric(t, "bellwether_learned_writes_total"))
		sameEverywhere(t, f)
	})
}

// What the catalogue cannot know is found by the follower's refusal: a function
// whose text was read as harmless and is another one by the time it runs.
func TestRefusalIsLearned(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		if strings.HasPrefix(f.Options.Flavor, "mysql") {
			f.Exec(t, "SET GLOBAL log_bin_trust_function_creators = 1")
		}
		f.Exec(t, "CREATE TABLE shop.log (n INT) ENGINE=InnoDB", "CREATE PROCEDURE shop.deep() BEGIN INSERT INTO shop.log VALUES (1); END")
		f.WaitReplicated(t)
		// A widening rule makes the follower the place for what is not known.
		f.reload(t, "routing: {rules: [{name: wide, pattern: hidden, target: follower}]}")
		s := f.open(t)
		f.Exec(t, "CREATE FUNCTION shop.hidden(n INT) RETURNS INT READS SQL DATA BEGIN IF n = 900 OR n = 1 THEN CALL shop.deep(); END IF; RETURN n; END")
		f.WaitReplicated(t)
		cluster.Eventually(t, "the rule sends it to a follower", func() bool { return strings.HasPrefix(s.route("SELECT hidden(1)"), "follower") })
		s.want("1", "SELECT hidden(1)")
		if got := f.metric(t, "bellwether_learned_writes_total"); got != 1 {
			t.Errorf("learned %v, want 1", got)
		}
		cluster.Eventually(t, "it goes to the leader", func() bool { return strings.HasPrefix(s.route("SELECT hidden(1)"), "leader") })
		s.want("1", "SELECT hidden(1)")
		if got := f.Leader().Text(t, "SELECT COUNT(*) FROM shop.log"); got != "2" {
			t.Errorf("%s rows, want 2", got)
		}
		if got := f.metric(t, "bellwether_learned_writes_total"); got != 1 {
			t.Errorf("learned %v after the second time, want 1", got)
		}
		f.WaitReplicated(t)
		// Refused after the first rows went out: the client is told, and the next time it is right.
		const many = "SELECT hidden(seq), REPEAT('x', 1000) FROM (WITH RECURSIVE x AS (SELECT 2 AS seq UNION ALL SELECT seq + 1 FROM x WHERE seq < 900) SELECT seq FROM x) y"
		cluster.Eventually(t, "it is right", func() bool { _, err := s.try(many); return err == nil })
		f.WaitReplicated(t)
		sameEverywhere(t, f)
	})
}

// sameEverywhere fails the test where a follower has what the leader has not.
func sameEverywhere(t *testing.T, f *fixture) {
	t.Helper()
	want := f.Leader().Text(t, "SELECT COUNT(*) FROM shop.log")
	for _, n := range f.Followers() {
		if got := n.Text(t, "SELECT COUNT(*) FROM shop.log"); got != want {
			t.Errorf("%s has %s rows, the leader %s", n.Name(), got, want)
		}
	}
}
