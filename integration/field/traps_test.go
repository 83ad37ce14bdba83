package field

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Traps of statement routing in which other proxies were seen.

// A function in a SELECT may write, whatever it was declared to do: the row is
// written once, on the leader.
func TestTrap01FunctionsInSelect(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t,
			"CREATE FUNCTION shop.rows_of_t() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM shop.t)",
			"CREATE FUNCTION shop.writes(x INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO shop.t (n) VALUES (x); RETURN x; END",
			"CREATE FUNCTION shop.lies(x INT) RETURNS INT DETERMINISTIC READS SQL DATA BEGIN INSERT INTO shop.t (n) VALUES (x); RETURN x; END",
			"CREATE VIEW shop.looks_harmless AS SELECT shop.lies(74) AS x")
		f.WaitReplicated(t)
		s := f.open(t, "")
		for i, q := range []string{
			"SELECT writes(%d)", "SELECT shop.`writes`(%d)", "SELECT name, writes(%d) FROM whoami", "SELECT lies(%d)", "SELECT * FROM (SELECT lies(%d)) AS x",
			"SELECT CASE WHEN lies(%d) > 0 THEN 'yes' END",
		} {
			n := 50 + i
			s.rows(fmt.Sprintf(q, n))
			s.want("1", fmt.Sprintf("SELECT COUNT(*) FROM t WHERE n = %d", n))
			s.rows(fmt.Sprintf(q, n)) // it has been learned, or was known
			s.want("2", fmt.Sprintf("SELECT COUNT(*) FROM t WHERE n = %d", n))
		}
		s.rows("SELECT lies(?)", 70) // binary protocol
		s.rows("SELECT x FROM looks_harmless")
		s.want("1|1", "SELECT SUM(n = 70), SUM(n = 74) FROM t")
		f.WaitReplicated(t)
		for _, n := range f.Followers() {
			if got, want := n.Text(t, "SELECT COUNT(*) FROM shop.t"), f.Leader().Text(t, "SELECT COUNT(*) FROM shop.t"); got != want {
				t.Errorf("%s has %s rows, the leader %s", n.Name(), got, want)
			}
		}
		f.caughtUp(t, s)
		s.onFollower("SELECT name, rows_of_t() FROM whoami")
	})
}

// A variable that a statement sets, in whatever way, is there for the next one.
func TestTrap02SelectIntoVariable(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		s.exec("SELECT n, v INTO @n, @v FROM t WHERE id = 2")
		s.want("2|two", "SELECT @n, @v")
		s.exec("UPDATE t SET n = (@old := n) + 10 WHERE id = 3")
		s.want("3|13", "SELECT @old, n FROM t WHERE id = 3")
		s.rows("SELECT id, @last := v FROM t WHERE id = 1")
		s.want("one", "SELECT @last")
		s.want("three", "SELECT v FROM t WHERE n = @old + 10")
		s.exec("INSERT INTO t (n, v) VALUES (@count := 40, 'in an insert')")
		s.want("in an insert", "SELECT v FROM t WHERE n = @count")
		s.exec("DELETE FROM t WHERE n = @count")
		f.caughtUp(t, s)
		s.onFollower(whoami)
	})
}

// A USE that a lagging follower cannot follow costs that follower this session's
// reads, and no error; once it can, it serves again.
func TestTrap03SessionCommandFailsOnOneFollower(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		old := f.openAs(t, sandbox.AdminAccount, app, "")
		old.onFollower(whoami)
		for _, n := range f.Followers() {
			n.StopApplying(t)
		}
		f.Exec(t, "CREATE DATABASE newdb", "CREATE TABLE newdb.x (a INT)", "INSERT INTO newdb.x VALUES (7)")
		sessions := []*session{old, f.openAs(t, sandbox.AdminAccount, app, ""), f.openAs(t, sandbox.AdminAccount, "newdb", "")}
		for _, s := range sessions {
			s.exec("USE newdb")
			for range 5 {
				s.want("7|newdb", "SELECT a, DATABASE() FROM x")
				s.want("7", "SELECT a FROM x WHERE a = ?", 7)
			}
			s.exec("USE shop")
			s.want("three", "SELECT v FROM t WHERE id = 3")
			s.exec("USE newdb")
		}
		for _, n := range f.Followers() {
			n.StartReplication(t)
		}
		f.WaitReplicated(t)
		for _, s := range sessions {
			s.onFollower("SELECT name, a FROM shop.whoami, x")
		}
	})
}

// The follower that refuses a session's state serves none of its reads; the others do.
func TestTrap03OtherFollowersServe(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t, "CREATE DATABASE newdb", "CREATE TABLE newdb.x (a INT)", "INSERT INTO newdb.x VALUES (7)")
		f.WaitReplicated(t)
		cluster.Must(t, f.Node("db2").ExecUnlogged(t.Context(), "DROP DATABASE newdb"))
		s := f.openAs(t, sandbox.AdminAccount, app, "")
		cluster.Eventually(t, "the session reads from db2", func() bool {
			if s.onFollower(whoami) == "db2" {
				return true
			}
			s.end()
			s = f.openAs(t, sandbox.AdminAccount, app, "")
			return false
		})
		s.exec("USE newdb")
		f.caughtUp(t, s)
		s.want("7", "SELECT a FROM x")
		// Where the session leaves db2, what it saw there must be known of db3 first; until then the
		// leader serves it, and db2 never does.
		if got := s.onFollower("SELECT name, a FROM shop.whoami, x"); got != "db3|7" {
			t.Errorf("read %s, want it from db3", got)
		}
		s.want("db3|7", "SELECT name, a FROM shop.whoami, x")
	})
}

// What a SET changes holds on followers, also where the client narrows what the
// servers track, and where the value comes from an expression.
func TestTrap04SetBesideTheTrackers(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		s.exec("SET @limit = 2")
		s.exec("SET sql_select_limit = @limit, @other = 'x', time_zone = CONCAT('+0', @limit, ':00')")
		s.onFollower(whoami)
		s.want("1;2", "SELECT id FROM t ORDER BY id")
		s.want("1970-01-01 02:00:00", "SELECT FROM_UNIXTIME(0) FROM t WHERE id = 1")
		for _, list := range []string{"'autocommit'", "''", "'no_such_variable,time_zone'", "DEFAULT"} {
			if _, err := s.ExecContext(t.Context(), "SET SESSION session_track_system_variables = "+list); err != nil {
				continue // MySQL refuses names that it does not know
			}
			s.exec("SET sql_select_limit = 1")
			s.onFollower(whoami)
			s.want("1", "SELECT id FROM t ORDER BY id")
			s.exec("SET sql_select_limit = 3")
			s.want("1;2;3", "SELECT id FROM t ORDER BY id")
		}
		s.exec("SET SESSION sql_select_limit = DEFAULT, time_zone = DEFAULT")
		s.exec("SET session_track_system_variables = '', sql_select_limit = 1")
		s.want("1", "SELECT id FROM t ORDER BY id")
		s.exec("SET sql_select_limit = DEFAULT")
		s.want("1;2;3", "SELECT id FROM t ORDER BY id")
		s.end()

		s = f.open(t, "multiStatements=true")
		s.exec("SET session_track_schema = OFF")
		s.exec("USE information_schema")
		s.want("information_schema", "SELECT DATABASE()")
		s.exec("SET session_track_schema = OFF; USE shop")
		s.onFollower(whoami)
		s.exec("SET @list = ''; SET session_track_system_variables = @list; SET session_track_schema = OFF; USE information_schema; SET sql_select_limit = 2")
		s.want("information_schema|1;information_schema|2", "SELECT DATABASE(), id FROM shop.t ORDER BY id")
		s.exec("USE shop")
		s.want("1;2", "SELECT id FROM t ORDER BY id")
		s.end()

		s = f.open(t, "")
		s.exec("SET SESSION group_concat_max_len = (SELECT 3 + COUNT(*) FROM t WHERE id = 1)")
		s.onFollower(whoami)
		s.want("one,", "SELECT GROUP_CONCAT(v ORDER BY id) FROM t")
	})
}

// autocommit=0 is seen however it was set: in a prepared statement, by a
// parameter, in the middle of a list.
func TestTrap05AutocommitInsidePrepare(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for _, set := range []func(s *session){
			func(s *session) {
				s.exec("PREPARE p FROM 'SET autocommit = 0'")
				s.exec("EXECUTE p")
			},
			func(s *session) { s.exec("SET autocommit = ?", 0) },
			func(s *session) { s.exec("SET @zero = 0"); s.exec("SET sql_notes = 1, @@autocommit = @zero") },
			func(s *session) {
				s.exec("SET @q = 'SET autocommit=0'; PREPARE p FROM @q; EXECUTE p; DEALLOCATE PREPARE p")
			},
		} {
			s, other := f.open(t, "multiStatements=true"), f.open(t, "")
			s.onFollower(whoami)
			set(s)
			s.onLeader(whoami)
			s.exec("UPDATE t SET n = n + 100 WHERE id = 1")
			s.want("101", "SELECT n FROM t WHERE id = 1")
			other.want("1", "SELECT n FROM t WHERE id = 1")
			s.exec("ROLLBACK")
			s.want("1", "SELECT n FROM t WHERE id = 1")
			s.end()
		}
	})
}

// The first read of a transaction is inside it.
func TestTrap06BeginThenSelect(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		writer := f.open(t, "")
		for i, begin := range []string{"BEGIN", "begin work", "START TRANSACTION", "/*! START TRANSACTION */", "BEGIN;", "START TRANSACTION READ WRITE"} {
			s := f.open(t, "")
			s.onFollower(whoami)
			s.exec(begin)
			before := s.rows("SELECT n FROM t WHERE id = 1")
			writer.exec("UPDATE t SET n = ? WHERE id = 1", 1000+i)
			s.want(before, "SELECT n FROM t WHERE id = 1") // repeatable read
			s.want(before, "SELECT n FROM t WHERE id = ?", 1)
			s.onLeader(whoami)
			s.exec("COMMIT")
			s.end()
		}
	})
}

// What several statements at once, or a procedure, leave behind is known.
func TestTrap07MultiStatementsAndCall(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t,
			"CREATE PROCEDURE shop.opens() BEGIN START TRANSACTION; UPDATE shop.t SET n = n + 500 WHERE id = 1; END",
			"CREATE PROCEDURE shop.shortens() SET SESSION group_concat_max_len = 4",
			"CREATE PROCEDURE shop.leaves() SET autocommit = 0")
		f.WaitReplicated(t)
		open := func() *session { return f.open(t, "multiStatements=true") }

		s := open()
		s.exec("SELECT 1; SET sql_select_limit = 1; SELECT 2")
		s.onFollower(whoami)
		s.want("1", "SELECT id FROM t ORDER BY id")
		s.exec("SET sql_select_limit = DEFAULT; BEGIN; UPDATE t SET n = 99 WHERE id = 1")
		s.want("99", "SELECT n FROM t WHERE id = 1")
		s.exec("ROLLBACK")
		s.want("1", "SELECT n FROM t WHERE id = 1")
		s.exec("INSERT INTO t (id, n) VALUES (900, 1); UPDATE t SET n = 2 WHERE id = 900; SELECT 1")
		s.want("2", "SELECT n FROM t WHERE id = 900")
		s.exec("DELETE FROM t WHERE id = 900; USE information_schema; SELECT 1; USE shop")
		s.want("shop|3", "SELECT DATABASE(), COUNT(*) FROM t")

		s = open()
		s.exec("CALL opens()")
		s.onLeader(whoami)
		s.want("501", "SELECT n FROM t WHERE id = 1")
		s.exec("ROLLBACK")
		s.want("1", "SELECT n FROM t WHERE id = 1")
		s.exec("CALL shortens()")
		s.want("one,", "SELECT GROUP_CONCAT(v ORDER BY id) FROM t")
		cluster.Eventually(t, "the proxy knows the procedure", func() bool {
			s := open()
			defer s.end()
			s.exec("CALL shortens()")
			return strings.HasPrefix(s.rows("EXPLAIN ROUTE SELECT 1 FROM t"), "follower|")
		})
		s = open()
		s.exec("CALL shortens()")
		s.onFollower(whoami)
		s.want("one,", "SELECT GROUP_CONCAT(v ORDER BY id) FROM t")

		f.Exec(t, "CREATE PROCEDURE shop.hides() BEGIN CREATE TEMPORARY TABLE t (id INT, n INT, v VARCHAR(60)); INSERT INTO t VALUES (1, -1, 'hidden'); END")
		s = open()
		s.exec("CALL hides()") // at once: the proxy does not know it yet
		s.want("hidden", "SELECT v FROM t WHERE id = 1")
		s.want("hidden", "SELECT v FROM t WHERE id = ?", 1)

		s = open()
		s.exec("CALL leaves()")
		s.onLeader(whoami)
		s.exec("UPDATE t SET n = 77 WHERE id = 2")
		s.exec("ROLLBACK")
		s.want("2", "SELECT n FROM t WHERE id = 2")
	})
}

// One prepared statement goes where the session is: a follower, or the open
// transaction; it outlives a change of its table, and keeps the schema that it
// was prepared in.
func TestTrap08PreparedStatements(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t, "CREATE DATABASE other", "CREATE TABLE other.whoami (id INT PRIMARY KEY, name VARCHAR(20))", "INSERT INTO other.whoami VALUES (1, 'another')")
		f.WaitReplicated(t)
		s := f.openAs(t, sandbox.AdminAccount, app, "")
		stmt, err := s.PrepareContext(t.Context(), "SELECT name, n FROM whoami, t WHERE t.id = ?")
		cluster.Must(t, err)
		run := func() (name string, n int) {
			t.Helper()
			cluster.Must(t, stmt.QueryRowContext(t.Context(), 1).Scan(&name, &n))
			return name, n
		}
		onFollower := func() {
			t.Helper()
			cluster.Eventually(t, "the statement runs on a follower", func() bool { name, _ := run(); return name != leader && strings.HasPrefix(name, "db") })
		}
		onFollower()
		s.exec("BEGIN")
		s.exec("UPDATE t SET n = 321 WHERE id = 1")
		if name, n := run(); name != leader || n != 321 {
			t.Errorf("in the transaction: %s, %d", name, n)
		}
		s.exec("ROLLBACK")
		if _, n := run(); n != 1 {
			t.Errorf("after the rollback: %d", n)
		}
		f.Exec(t, "CREATE FUNCTION shop.g() RETURNS VARCHAR(20) READS SQL DATA RETURN (SELECT name FROM shop.whoami)")
		f.WaitReplicated(t)
		calls, err := s.PrepareContext(t.Context(), "SELECT COALESCE(g(), 'nothing') FROM t WHERE id = ?")
		cluster.Must(t, err)
		call := func() (text string) {
			cluster.Must(t, calls.QueryRowContext(t.Context(), 1).Scan(&text))
			return text
		}
		cluster.Eventually(t, "the function is known, and runs on a follower", func() bool { return call() != leader })
		s.exec("SET @who = 'mine'")
		f.Exec(t, "DROP FUNCTION shop.g", "CREATE FUNCTION shop.g() RETURNS VARCHAR(20) READS SQL DATA RETURN @who")
		f.WaitReplicated(t)
		cluster.Eventually(t, "the new function is known", func() bool { return call() == "mine" })
		for range 5 {
			if got := call(); got != "mine" {
				t.Errorf("the function gives %s", got)
			}
		}
		cluster.Must(t, calls.Close())
		f.Exec(t, "ALTER TABLE shop.t ADD COLUMN extra INT FIRST, MODIFY n BIGINT NOT NULL")
		f.WaitReplicated(t)
		for range 3 {
			if _, n := run(); n != 1 {
				t.Errorf("after ALTER TABLE: %d", n)
			}
		}
		s.exec("USE other")
		for range 3 {
			if name, n := run(); name == "another" || n != 1 {
				t.Errorf("after USE: %s, %d", name, n)
			}
		}
		s.want("another", whoami)
		s.exec("USE shop")
		onFollower()
		cluster.Must(t, stmt.Close())
	})
}

// A temporary table hides the real one however it was made, and until it is dropped.
func TestTrap09TemporaryTables(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t, "CREATE FUNCTION shop.who() RETURNS VARCHAR(20) READS SQL DATA RETURN (SELECT name FROM shop.whoami)")
		f.WaitReplicated(t)
		creates := []string{
			"CREATE TEMPORARY TABLE whoami (name VARCHAR(20))",
			"create\n/* a comment */temporary -- and another\ntable if not exists `shop`.`whoami` (name VARCHAR(20))",
			"/*!40000 CREATE TEMPORARY TABLE whoami (name VARCHAR(20)) */",
			"SELECT 1; CREATE TEMPORARY TABLE whoami (name VARCHAR(20))",
			"PREPARE p FROM 'CREATE TEMPORARY TABLE whoami (name VARCHAR(20))'; EXECUTE p; DEALLOCATE PREPARE p",
		}
		if f.Flavor == gtid.MariaDB {
			creates = append(creates, "CREATE OR REPLACE TEMPORARY TABLE whoami (name VARCHAR(20))",
				"SET STATEMENT sql_mode='' FOR CREATE TEMPORARY TABLE whoami (name VARCHAR(20))")
		}
		for i, create := range creates {
			s := f.open(t, "multiStatements=true")
			s.onFollower(whoami)
			s.onFollower("SELECT who()")
			s.exec(create)
			s.exec("INSERT INTO whoami VALUES ('hidden')")
			for range 3 {
				s.want("hidden", whoami)
				s.want("hidden", whoami+" WHERE name <> ?", "")
			}
			s.want("hidden", "SELECT w.name FROM t, whoami w WHERE t.id = 1")
			cluster.Eventually(t, "reads of no table go to a follower again", func() bool {
				return strings.HasPrefix(s.rows("EXPLAIN ROUTE SELECT 1"), "follower|")
			})
			s.want("hidden", "SELECT who()") // a function sees it too
			s.exec("DROP TEMPORARY TABLE whoami")
			s.want(leader, whoami+" FOR UPDATE") // the real one is back
			if i < 2 {                           // its name is known, so that it is known to be gone
				s.onFollower(whoami)
			}
			s.end()
		}
	})
}
