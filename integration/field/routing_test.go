package field

import (
	"fmt"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// autocommit=0: the first SELECT, or FOR UPDATE, must not go to a reader.
func TestField01AutocommitOffFirstSelect(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		s.onFollower(whoami)
		s.exec("SET autocommit=0")
		s.onLeader(whoami)
		s.onLeader(whoami+" WHERE id = ?", 1) // binary protocol
		s.onLeader(whoami + " FOR UPDATE")
		s.exec("COMMIT")
		s.onLeader(whoami)
		s.exec("ROLLBACK")
		s.exec("SET autocommit=1")
		f.caughtUp(t, s)
		s.onFollower(whoami)

		for _, set := range []string{"set @@session.autocommit = OFF", "SET SESSION autocommit=false", "/* x */ SET sql_notes=1, autocommit = 0"} {
			s := f.open(t, "")
			s.exec(set)
			s.onLeader(whoami)
		}
		from := f.open(t, "autocommit=0") // the first statement of a connection
		from.onLeader(whoami)
		for _, begin := range []string{"BEGIN", "START TRANSACTION", "/* a comment */ start transaction with consistent snapshot"} {
			s := f.open(t, "")
			s.exec(begin)
			s.onLeader(whoami)
			s.exec("COMMIT")
			f.caughtUp(t, s)
			s.onFollower(whoami)
		}
	})
}

// A read after a write of the same session sees the write, though followers lag.
func TestField02StaleReadAfterWrite(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		for i := range 300 {
			s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
			s.want(fmt.Sprint(i), "SELECT n FROM t WHERE id = 1")
		}
		for _, n := range f.Followers() {
			n.StopApplying(t)
		}
		s.exec("INSERT INTO t (id, n) VALUES (1000, 7)")
		s.want("7", "SELECT n FROM t WHERE id = 1000")
		s.want("7", "SELECT n FROM t WHERE id = ?", 1000)
		s.exec("CREATE TABLE fresh (id INT)")
		s.want("0", "SELECT COUNT(*) FROM fresh")
	})
}

// Reads of a session do not jump between followers of which one is behind.
func TestField03ReadsDoNotJump(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		first := s.onFollower(whoami)
		for range 100 {
			s.want(first, whoami)
			s.want(first, whoami+" WHERE id = ?", 1)
		}
		// Whoever saw a row goes on seeing it, though the other follower has it not.
		f.Node("db2").StopApplying(t)
		writer := f.open(t, "")
		writer.exec("INSERT INTO t (id, n) VALUES (500, 0)")
		readers := make([]*session, 20)
		seen := make([]bool, len(readers))
		for i := range readers {
			readers[i] = f.open(t, "")
		}
		for round := range 30 {
			for i, r := range readers {
				has := r.rows("SELECT COUNT(*) FROM t WHERE id = 500") == "1"
				if seen[i] && !has {
					t.Fatalf("round %d: session %d saw the row, and then no more", round, i)
				}
				seen[i] = has
			}
		}
	})
}

// A user variable must not bind the whole session to the leader.
func TestField04UserVariableLocksNothing(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		s.exec("SET @id = 2, @name := 'x'")
		s.want("2|x", "SELECT @id, @name")
		s.onFollower(whoami)
		s.onLeader("SELECT name, @id FROM whoami")
		s.want("two", "SELECT v FROM t WHERE id = @id")
		s.rows("SELECT v INTO @v FROM t WHERE id = 3")
		s.onFollower(whoami)
		s.want("three", "SELECT @v")
		s.rows("SELECT @n := COUNT(*) FROM t")
		s.want("3", "SELECT @n")
		s.onFollower(whoami)
	})
}

// A SET of any kind takes effect wherever the session reads, and pins nothing.
func TestField05SetIsNeitherLostNorAPin(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		for _, c := range []struct{ set, query, want string }{
			{"SET sql_select_limit = 1", "SELECT id FROM t ORDER BY id", "1"},
			{"SET SESSION sql_select_limit = DEFAULT", "SELECT id FROM t ORDER BY id", "1;2;3"},
			{"SET time_zone = '+05:30', group_concat_max_len = 4", "SELECT GROUP_CONCAT(v ORDER BY id) FROM t", "one,"},
			{"SET @@group_concat_max_len := 1024", "SELECT GROUP_CONCAT(v ORDER BY id) FROM t", "one,two,three"},
			{"SET SESSION sql_mode = 'ANSI_QUOTES'", `SELECT "v" FROM t WHERE id = 1`, "one"},
			{"SET sql_mode = 'PIPES_AS_CONCAT'", "SELECT v || 'x' FROM t WHERE id = 1", "onex"},
			{"SET sql_mode = DEFAULT", `SELECT "v" FROM t WHERE id = 1`, "v"},
			{"SET NAMES latin1 COLLATE latin1_bin", "SELECT 'A' = 'a', COUNT(*) FROM t", "0|3"},
			{"SET NAMES utf8mb4", "SELECT 'A' = 'a', COUNT(*) FROM t", "1|3"},
			{"SET div_precision_increment = 8", "SELECT n / 3 FROM t WHERE id = 1", "0.33333333"},
			{"SET lc_time_names = 'de_DE'", "SELECT MONTHNAME('2026-03-01') FROM t WHERE id = 1", "März"},
			{"SET SESSION optimizer_switch = 'index_merge=off', max_join_size = 12345678", "SELECT COUNT(*) FROM t", "3"},
		} {
			s.exec(c.set)
			s.want(c.want, c.query)
			s.onFollower(whoami)
			s.want(c.want, c.query) // there too
		}
		if _, err := s.tryRows("SET no_such_variable = 1"); errorNumber(t, err) != 1193 {
			t.Errorf("an unknown variable: %v", err)
		}
		s.onFollower(whoami)
		if f.Flavor == gtid.MariaDB {
			s.want("1", "SET STATEMENT sql_select_limit = 1 FOR SELECT id FROM t ORDER BY id")
			s.want("1;2;3", "SELECT id FROM t ORDER BY id")
			s.onFollower(whoami)
		}
	})
}

// FOR UPDATE and its kin are found wherever they stand.
func TestField06MultilineForUpdate(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		locking := []string{
			"SELECT name\nFROM whoami\nWHERE id = 1\nFOR UPDATE",
			"SELECT name FROM whoami\r\n\tFOR\n\n\tUPDATE",
			"select name from whoami for/**/update",
			"SELECT name FROM whoami FOR -- a comment\n UPDATE",
			"SELECT name FROM whoami FOR # a comment\nUPDATE",
			"SELECT name FROM whoami FOR UPDATE -- the end",
			"SELECT name FROM whoami FOR UPDATE;",
			"SELECT name FROM whoami FOR UPDATE /* trailing */ ;  \n",
			"SELECT name FROM whoami /*!50000 FOR UPDATE */",
			"SELECT name FROM whoami LOCK IN\nSHARE MODE",
			"(SELECT name FROM whoami FOR UPDATE)",
			"SELECT name FROM (SELECT name FROM whoami FOR UPDATE) AS x",
			"SELECT name FROM whoami WHERE id IN (1) LIMIT 1 FOR UPDATE SKIP LOCKED",
			"SELECT name FROM whoami LIMIT 1 FOR UPDATE NOWAIT",
		}
		if f.Flavor == gtid.MySQL {
			locking = append(locking, "SELECT name FROM whoami FOR UPDATE OF whoami", "SELECT name FROM whoami FOR SHARE")
		}
		for _, q := range locking {
			s.onLeader(q)
		}
		for _, q := range []string{
			"SELECT name FROM whoami WHERE name <> 'for update'",
			"SELECT name FROM whoami WHERE name <> \"lock in share mode\"",
			"SELECT name FROM whoami -- FOR UPDATE",
			"SELECT name /* FOR UPDATE */ FROM whoami",
			"SELECT name AS `for update` FROM whoami",
		} {
			s.onFollower(q)
		}
		held := f.open(t, "")
		held.exec("BEGIN")
		held.onLeader("SELECT name\nFROM whoami\nWHERE id = 1\nFOR\nUPDATE")
		if _, err := s.tryRows("SELECT name FROM whoami WHERE id = 1 FOR UPDATE NOWAIT"); errorNumber(t, err) != 1205 && errorNumber(t, err) != 3572 {
			t.Errorf("the row is not locked: %v", err)
		}
		held.exec("ROLLBACK")
	})
}

// LAST_INSERT_ID is the session's own, whatever it read in between.
func TestField15LastInsertID(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		one, two := f.open(t, ""), f.open(t, "")
		for i := range 20 {
			r := one.exec("INSERT INTO t (v) VALUES ('mine')")
			id, err := r.LastInsertId()
			cluster.Must(t, err)
			two.exec("INSERT INTO t (v) VALUES (?)", "other's")
			one.rows(whoami)
			one.want(fmt.Sprint(id), "SELECT LAST_INSERT_ID()")
			one.want(fmt.Sprintf("%d|%s", id, leader), "SELECT LAST_INSERT_ID(), name FROM whoami WHERE id = ?", 1)
			one.want("mine", "SELECT v FROM t WHERE id = LAST_INSERT_ID()")
			one.want(fmt.Sprint(id), "SELECT @@last_insert_id")
			if i == 10 {
				one.exec("UPDATE t SET id = LAST_INSERT_ID(id + 100000) WHERE id = LAST_INSERT_ID()")
				one.want(fmt.Sprint(id+100000), "SELECT LAST_INSERT_ID()")
			}
		}
		f.caughtUp(t, one)
		one.rows("SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1")
		one.want(two.rows("SELECT COUNT(*) FROM t"), "SELECT FOUND_ROWS()")
		one.exec("UPDATE t SET n = 50 WHERE id IN (1, 2)")
		one.want("2", "SELECT ROW_COUNT()")
	})
}
