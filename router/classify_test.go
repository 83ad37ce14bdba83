package router

import (
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// reads are plain reads in any mode, without a catalogue.
var reads = []string{
	"SELECT 1", "select 1", "SeLeCt 1;", "  \t\r\n select 1 ; ", "(SELECT 1)", "((select 1))", "select 1 -- note",
	"# note\nselect 1", "/* note */ select 1", "-- note\nselect 1", "select/**/1", "select 1 /* ; drop table t */",
	"select ';' , '--', '/*', '#'", "select 'it''s', \"a\"\"b\", `a``b` from t", `select 'a\'b', "a\"b"`,
	"SELECT c FROM sbtest1 WHERE id=12345", "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 1 AND 100",
	"SELECT DISTINCT c FROM t ORDER BY c", "SELECT * FROM a JOIN b ON (a.id = b.id) WHERE a.x IN (1,2,3)",
	"SELECT * FROM a LEFT JOIN b USING (id)", "SELECT * FROM a STRAIGHT_JOIN b", "select * from t limit 1 offset 2",
	"SELECT * FROM a WHERE x IN (SELECT y FROM b WHERE NOT EXISTS (SELECT 1 FROM c))",
	"SELECT count(*), max(a), min(b), avg(c), group_concat(d order by e separator ',') from t group by f having count(*) > 1",
	"SELECT a FROM t UNION SELECT b FROM u", "SELECT a FROM t UNION ALL (SELECT b FROM u) ORDER BY 1",
	"(SELECT a FROM t) EXCEPT (SELECT b FROM u)", "SELECT 1 INTERSECT SELECT 1",
	"WITH a AS (SELECT 1) SELECT * FROM a", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5) SELECT * FROM n",
	"WITH a (x) AS (SELECT 1), b (y, z) AS (SELECT 1, 2) SELECT * FROM a, b", "SELECT * FROM (WITH q (x) AS (SELECT 1) SELECT x FROM q) AS d (y)",
	"VALUES (1,2),(3,4)", "VALUES ROW(1,2), ROW(3,4)", "TABLE t", "TABLE t ORDER BY a LIMIT 3",
	"SELECT * FROM t USE INDEX FOR JOIN (i)", "SELECT * FROM t FORCE INDEX FOR ORDER BY (i) IGNORE INDEX (j)",
	"SELECT SUBSTRING('abc' FROM 1 FOR 2)", "SELECT SUBSTRING(a, 1, 2), TRIM(LEADING 'x' FROM b), EXTRACT(YEAR FROM d) FROM t",
	"SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP'2020-01-01 00:00:00'", "SELECT * FROM t PARTITION (p0, p1)",
	"SELECT INSERT('abc', 1, 1, 'x'), REPLACE(a, 'b', 'c') FROM t", "SELECT a, REPLACE (b,'x','y') FROM t",
	"SELECT CASE WHEN a > (1) THEN (2) ELSE (3) END FROM t", "SELECT IF(a, b, c), IF (a, b, c), COALESCE(a, b), NULLIF(a, b)",
	"SELECT CAST(a AS CHAR(10)), CONVERT(b, DECIMAL(10,2)), CONVERT(c USING utf8mb4), CAST(d AS DATETIME(6)) FROM t",
	"SELECT CAST(a AS CHAR CHARACTER SET utf8mb4) FROM t", "SELECT _utf8mb4'x', N'y', x'4d', X'4D', b'01', 0x4d, 0b01, 1e10, 1.5E-3, .5, \\N",
	"SELECT DATE '2020-01-01', TIME'10:00:00', TIMESTAMP '2020-01-01 00:00:00', {d '2020-01-01'}",
	"SELECT NOW(), CURRENT_TIMESTAMP, CURRENT_DATE(), UTC_TIMESTAMP(6), UNIX_TIMESTAMP(), CURDATE(), SYSDATE()",
	"SELECT DATE_ADD(d, INTERVAL 1 DAY), d + INTERVAL (1+1) MONTH, TIMESTAMPDIFF(DAY, a, b) FROM t",
	"SELECT RAND(), RAND(5), UUID(), SLEEP(0), BENCHMARK(1, SHA2('x', 256)), DATABASE(), SCHEMA()",
	"SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b), LAG(c) OVER w FROM t WINDOW w AS (ORDER BY d)",
	"SELECT MATCH (a, b) AGAINST ('x' IN BOOLEAN MODE) FROM t WHERE MATCH (a) AGAINST ('+y -z' IN NATURAL LANGUAGE MODE WITH QUERY EXPANSION)",
	"SELECT a FROM t GROUP BY a WITH ROLLUP",
	"SELECT a->'$.x', b->>'$.y', JSON_EXTRACT(c, '$[0]') FROM t", "SELECT a = ANY (SELECT b FROM u), c > ALL (SELECT d FROM v) FROM t",
	"SELECT a <=> b, a != b, a <> b, !a, ~a, a & b, a | b, a ^ b, a << 1, a >> 1, a % b, a DIV b, a MOD b, a && b, a || b FROM t",
	"SELECT (1,2) = (3,4), ROW(1,2) = ROW(3,4), NOT (a), a XOR (b), a LIKE ('x'), a REGEXP ('x'), a RLIKE ('y'), BINARY (a) FROM t",
	"SELECT -1, - 1, --1, 1--1, +1", "SELECT a.* FROM db.a, `db`.`b`, db . c", "SELECT 1 FROM DUAL",
	"SELECT * FROM t1 AS a, (SELECT 1) b", "SELECT * FROM t WHERE a = ? AND b IN (?, ?)",
	"SELECT SQL_NO_CACHE * FROM t", "SELECT /*!40001 SQL_NO_CACHE */ * FROM `t`", "SELECT /*+ MAX_EXECUTION_TIME(1000) */ * FROM t",
	"SELECT HIGH_PRIORITY SQL_BIG_RESULT a FROM t", "select`a`from`t`", "SELECT 'a' 'b'", "SELECT count FROM t", "SELECT `for update` FROM `lock in share mode`",
	"SELECT 'x' AS `into`", "SELECT \"FOR UPDATE\"", "SELECT 1 /* FOR UPDATE */", "SELECT 1 -- FOR UPDATE", "SELECT 'INTO OUTFILE'",
	"SELECT share, skip, locked, value, next, status, names FROM t", "SELECT é, 日本 FROM `テーブル`", "SELECT 'é', '日本'",
	"SHOW TABLES", "SHOW FULL TABLES FROM db LIKE 'a%'", "SHOW EXTENDED FULL COLUMNS FROM t", "SHOW FIELDS IN t", "SHOW DATABASES", "SHOW SCHEMAS LIKE 'x'",
	"SHOW CREATE TABLE t", "SHOW CREATE VIEW v", "SHOW CREATE DATABASE d", "SHOW CREATE PROCEDURE p", "SHOW CREATE FUNCTION f", "SHOW CREATE TRIGGER g",
	"SHOW TRIGGERS", "SHOW PROCEDURE STATUS", "SHOW FUNCTION STATUS WHERE Db = 'x'", "SHOW COLLATION", "SHOW CHARACTER SET", "SHOW CHARSET LIKE 'utf8%'",
	"DESCRIBE t", "DESC t c", "DESC `t` 'c%'", "EXPLAIN t", "EXPLAIN SELECT 1", "EXPLAIN EXTENDED SELECT * FROM t", "EXPLAIN PARTITIONS SELECT 1",
	"EXPLAIN FORMAT=JSON SELECT 1", "EXPLAIN FORMAT = TREE SELECT 1", "EXPLAIN ANALYZE SELECT 1", "DESC SELECT 1", "EXPLAIN (SELECT 1)", "EXPLAIN WITH a AS (SELECT 1) SELECT * FROM a",
	"ANALYZE SELECT 1", "ANALYZE FORMAT=JSON SELECT 1", "EXPLAIN TABLE t", "EXPLAIN route", "EXPLAIN format", "DESC ROUTE SELECTED",
}

// leaders are statements for the leader, by reason.
var leaders = map[Reason][]string{
	ReasonWrite: {
		"INSERT INTO t VALUES (1)", "insert t set a=1", "INSERT INTO t SELECT * FROM u", "/* x */ INSERT INTO t VALUES (1)", "UPDATE t SET a=1",
		"DELETE FROM t", "REPLACE INTO t VALUES (1)", "WITH a AS (SELECT 1) UPDATE t, a SET t.x=1", "WITH a AS (SELECT 1) DELETE FROM t",
		"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "WITH a AS (SELECT 1) REPLACE (x) SELECT 1", "EXPLAIN UPDATE t SET a=1", "EXPLAIN ANALYZE DELETE FROM t",
		"EXPLAIN FORMAT=JSON INSERT INTO t VALUES (1)", "DESC DELETE FROM t", "ANALYZE UPDATE t SET a=1", "ANALYZE FORMAT=JSON DELETE FROM t",
		"DO 1", "DO SLEEP(1)", "INSERT INTO t VALUES (1) RETURNING id", "DELETE FROM t RETURNING id", "(WITH a AS (SELECT 1) DELETE FROM t)",
	},
	ReasonDDL: {
		"CREATE TABLE t (a INT)", "CREATE TABLE t SELECT 1", "CREATE OR REPLACE TABLE t (a INT)", "CREATE VIEW v AS SELECT 1", "CREATE INDEX i ON t (a)", "ALTER TABLE t ADD b INT",
		"DROP TABLE t", "DROP DATABASE d", "RENAME TABLE a TO b", "TRUNCATE t", "TRUNCATE TABLE t", "CREATE DATABASE d", "CREATE SEQUENCE s", "CREATE TEMPORARY TABLE t (a INT)",
		"CREATE PROCEDURE p() SELECT 1", "CREATE DEFINER=`a`@`b` FUNCTION f() RETURNS INT RETURN 1", "DROP PROCEDURE p", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "ALTER VIEW v AS SELECT 2",
	},
	ReasonAdmin: {
		"FLUSH LOGS", "FLUSH TABLES", "CHECK TABLE t", "CHECKSUM TABLE t", "OPTIMIZE TABLE t", "REPAIR TABLE t", "ANALYZE TABLE t", "ANALYZE LOCAL TABLE t", "INSTALL PLUGIN p SONAME 'x'",
		"RESET MASTER", "CHANGE MASTER TO MASTER_HOST='x'", "START SLAVE", "START REPLICA", "STOP SLAVE", "STOP REPLICA", "START GROUP_REPLICATION", "PURGE BINARY LOGS TO 'x'", "SHUTDOWN", "RESTART",
		"CACHE INDEX t IN c", "LOAD INDEX INTO CACHE t", "HELP 'select'", "SIGNAL SQLSTATE '45000'", "GET DIAGNOSTICS @a = NUMBER", "BINLOG 'x'", "CLONE LOCAL DATA DIRECTORY = 'x'", "IMPORT TABLE FROM 'x'",
	},
	ReasonAccountAdmin: {
		"CREATE USER u", "CREATE OR REPLACE USER u", "CREATE USER IF NOT EXISTS 'u'@'h' IDENTIFIED BY 'p'", "ALTER USER u ACCOUNT LOCK", "DROP USER u", "RENAME USER a TO b", "CREATE ROLE r", "DROP ROLE r",
		"GRANT SELECT ON *.* TO u", "REVOKE ALL ON *.* FROM u", "SET PASSWORD = 'x'", "SET PASSWORD FOR 'u'@'h' = PASSWORD('x')", "SET DEFAULT ROLE r", "FLUSH PRIVILEGES", "FLUSH LOCAL PRIVILEGES", "GRANT r TO u",
	},
	ReasonSessionStatement: {
		"SET NAMES utf8mb4", "SET autocommit=0", "SET @@session.autocommit = 1", "SET SESSION sql_mode=''", "SET GLOBAL x=1", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET SESSION TRANSACTION READ ONLY",
		"SET ROLE r", "SET @a = 1", "SET @a := 1, @b = 2", "SET STATEMENT max_statement_time=1 FOR SELECT 1", "SET CHARACTER SET utf8", "SET PERSIST x = 1", "SET CHARSET 'x'", "USE db", "use `db`", "SET x = 1",
	},
	ReasonTransaction: {
		"BEGIN", "begin work", "START TRANSACTION", "START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT", "START TRANSACTION READ WRITE", "COMMIT", "COMMIT AND CHAIN", "ROLLBACK", "ROLLBACK TO s", "ROLLBACK WORK TO SAVEPOINT s",
		"SAVEPOINT s", "RELEASE SAVEPOINT s", "XA START 'x'", "XA END 'x'", "XA COMMIT 'x'", "XA RECOVER",
	},
	ReasonCall:       {"CALL p()", "CALL db.p(1, @x)", "BEGIN NOT ATOMIC SELECT 1", "IF 1 THEN SELECT 1", "WHILE 1 DO SELECT 1", "DECLARE a INT"},
	ReasonPrepareSQL: {"PREPARE s FROM 'SELECT 1'", "EXECUTE s", "EXECUTE s USING @a", "EXECUTE IMMEDIATE 'SELECT 1'", "DEALLOCATE PREPARE s", "DROP PREPARE s"},
	ReasonLockTables: {"LOCK TABLES t READ", "LOCK TABLE t WRITE", "UNLOCK TABLES", "FLUSH TABLES WITH READ LOCK", "FLUSH TABLES t FOR EXPORT", "LOCK INSTANCE FOR BACKUP", "UNLOCK INSTANCE", "BACKUP STAGE START", "BACKUP LOCK t"},
	ReasonHandler:    {"HANDLER t OPEN", "HANDLER t READ FIRST", "HANDLER t CLOSE"},
	ReasonKill:       {"KILL 5", "KILL QUERY 5", "KILL CONNECTION 5", "KILL HARD QUERY 5", "KILL SOFT CONNECTION 5", "KILL USER u", "KILL QUERY ID 5", "KILL @a", "KILL 1+1"},
	ReasonLoadData:   {"LOAD DATA INFILE 'x' INTO TABLE t", "LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "LOAD DATA CONCURRENT LOCAL INFILE 'x' INTO TABLE t", "LOAD XML LOCAL INFILE 'x' INTO TABLE t"},
	ReasonMultiStatement: {
		"SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t", "SET @a=1; SELECT @a", ";SELECT 1", "SELECT 1;;", "BEGIN; SELECT 1; COMMIT", "SELECT 1; /* x */ SELECT 2",
	},
	ReasonExecutableComment: {
		"SELECT 1 /*!50000 FOR UPDATE */", "SELECT 1 /*! INTO @a */", "SELECT /*M! 1 */ 2", "SELECT /*!99999 1, */ 2", "/*! SELECT 1 */", "SELECT 1 /*!50000 /* x */ */", "SELECT /*!40001 SQL_NO_CACHE, f() */ 1", "SELECT /*!SQL_CALC_FOUND_ROWS*/ 1",
	},
	ReasonForUpdate: {
		"SELECT * FROM t FOR UPDATE", "select * from t for update", "SELECT * FROM t FOR SHARE", "SELECT * FROM t LOCK IN SHARE MODE", "SELECT * FROM t FOR UPDATE NOWAIT", "SELECT * FROM t FOR UPDATE OF t SKIP LOCKED", "SELECT * FROM t FOR SHARE OF t",
		"SELECT * FROM (SELECT * FROM t FOR UPDATE) x", "SELECT (SELECT a FROM t LIMIT 1 FOR UPDATE)", "SELECT a FROM t UNION SELECT b FROM u FOR UPDATE", "SELECT 1.FOR UPDATE", "SELECT 1.5for update", "SELECT 1e5FOR UPDATE", "SELECT * FROM t WHERE a=`x`FOR UPDATE",
		"SELECT 'a'FOR UPDATE", "TABLE t FOR UPDATE", "WITH a AS (SELECT * FROM t FOR UPDATE) SELECT * FROM a", "SELECT * FROM t for -- x\n update", "SELECT * FROM t LOCK/**/IN/**/SHARE/**/MODE", "EXPLAIN SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR UPDATE WAIT 5",
	},
	ReasonInto: {
		"SELECT 1 INTO OUTFILE 'x'", "SELECT * INTO OUTFILE 'x' FROM t", "SELECT 1 INTO DUMPFILE 'x'", "SELECT 1 FROM t INTO x", "TABLE t INTO OUTFILE 'x'", "SELECT 'a'INTO OUTFILE'x'", "(SELECT 1) INTO OUTFILE 'x'", "SELECT 1 UNION SELECT 2 INTO OUTFILE 'x'", "EXPLAIN FORMAT=JSON INTO x SELECT 1",
		"SELECT 1\tINTO\nOUTFILE '/tmp/x'", "SELECT 1 INTO @v", "SELECT 1 INTO @a, @b",
	},
	ReasonProcedureAnalyse: {"SELECT * FROM t PROCEDURE ANALYSE()"},
	ReasonUserVariable:     {"SELECT @a", "SELECT @a := 1", "SELECT @a:=@a+1 FROM t", "SELECT @`a`", "SELECT @'a'", "SELECT @\"a\"", "SELECT@a", "SELECT * FROM t WHERE id = @id", "SELECT 1 WHERE @ a", "SELECT a := 1"},
	ReasonSessionVariable:  {"SELECT @@autocommit", "SELECT @@session.sql_mode", "SELECT @@ last_insert_id", "SELECT @@identity", "SELECT @@`sql_mode`", "SELECT @@local.x", "SELECT @@warning_count", "SELECT @@session.server_id", "SELECT @@"},
	ReasonServerVariable:   {"SELECT @@server_id", "SELECT @@global.read_only", "SELECT @@hostname, @@port", "SELECT @@version", "SELECT @@gtid_executed"},
	ReasonFoundRows:        {"SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", "SELECT DISTINCT SQL_CALC_FOUND_ROWS a FROM t"},
	ReasonConnectionFunction: {
		"SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(5)", "SELECT last_insert_id ( )", "SELECT FOUND_ROWS()", "SELECT ROW_COUNT()", "SELECT CONNECTION_ID()", "SELECT USER()", "SELECT CURRENT_USER", "SELECT CURRENT_USER()", "SELECT SESSION_USER()", "SELECT SYSTEM_USER()", "SELECT CURRENT_ROLE", "SELECT CURRENT_ROLE()",
		"SELECT `last_insert_id`()", "SELECT 1 FROM (SELECT FOUND_ROWS()) x", "SHOW TABLES WHERE CONNECTION_ID() = 1",
	},
	ReasonLockFunction: {"SELECT GET_LOCK('a', 1)", "SELECT get_lock ('a', 1)", "SELECT RELEASE_LOCK('a')", "SELECT RELEASE_ALL_LOCKS()", "SELECT IS_FREE_LOCK('a')", "SELECT IS_USED_LOCK('a')", "SELECT `get_lock`('a',1)"},
	ReasonSequence: {
		"SELECT NEXTVAL(s)", "SELECT NEXT VALUE FOR s", "SELECT next/**/value/**/for s", "SELECT LASTVAL(s)", "SELECT PREVIOUS VALUE FOR s", "SELECT SETVAL(s, 5)", "SELECT s.nextval", "SELECT s.currval", "SELECT DEFAULT(a) FROM t", "SELECT nextval (s)",
	},
	ReasonServerFunction:  {"SELECT VERSION()", "SELECT LOAD_FILE('x')", "SELECT UUID_SHORT()", "SELECT MASTER_POS_WAIT('x', 4)", "SELECT MASTER_GTID_WAIT('x')", "SELECT WAIT_FOR_EXECUTED_GTID_SET('x')"},
	ReasonUnknownFunction: {"SELECT f()", "SELECT f (1)", "SELECT db.f(1)", "SELECT `f`(1)", "SELECT `db` . `f` (1)", "SELECT db.concat('a')", "SELECT COUNT (*) FROM t", "SELECT MAX (a) FROM t", "SELECT NOW ()", "SELECT a, f(b) FROM t", "SELECT * FROM t WHERE f(a)", "SELECT 1 ORDER BY f()", "SELECT a FROM t GROUP BY a WITH ROLLUP HAVING 1 ORDER BY b, g(a)", "WITH a AS (SELECT 1) SELECT 1, f(2)", "WITH a AS (SELECT 1) (SELECT 1) ORDER BY 1, f(2)", "SELECT any(1)", "SELECT * FROM t LIMIT 1, g(1)", "SELECT a.b.c(1)", "EXPLAIN SELECT f()", "SHOW TABLES WHERE f()", "SELECT ſleep(1)", "SELECT json_overlaps('1','1')", "SELECT JSON_TABLE(1)", "SELECT MD5(1)", "VALUES (f())", "DESC t f()"},
	ReasonServerSchema: {
		"SELECT * FROM information_schema.tables", "SELECT * FROM INFORMATION_SCHEMA . PROCESSLIST", "SELECT * FROM `performance_schema`.`threads`", "SELECT * FROM mysql.user", "SELECT * FROM sys.session", "SELECT * FROM t JOIN information_schema.columns c ON 1", "DESC mysql.user",
	},
	ReasonSessionState: {"SHOW WARNINGS", "SHOW ERRORS", "SHOW COUNT(*) WARNINGS", "SHOW VARIABLES", "SHOW SESSION VARIABLES LIKE 'x'", "SHOW STATUS", "SHOW LOCAL STATUS", "SHOW PROFILE", "SHOW PROFILES"},
	ReasonServerState: {
		"SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", "SHOW GLOBAL STATUS", "SHOW GLOBAL VARIABLES", "SHOW MASTER STATUS", "SHOW BINARY LOGS", "SHOW BINLOG STATUS", "SHOW BINLOG EVENTS", "SHOW SLAVE STATUS", "SHOW REPLICA STATUS", "SHOW ALL SLAVES STATUS", "SHOW ENGINE INNODB STATUS", "SHOW ENGINES", "SHOW PLUGINS", "SHOW OPEN TABLES", "SHOW TABLE STATUS",
		"SHOW INDEX FROM t", "SHOW KEYS FROM t", "SHOW GRANTS", "SHOW CREATE USER u", "SHOW CREATE EVENT e", "SHOW EVENTS", "SHOW PRIVILEGES", "EXPLAIN FOR CONNECTION 5", "EXPLAIN FORMAT=JSON FOR CONNECTION 5", "SHOW EXPLAIN FOR 5", "SHOW PROCEDURE CODE p", "SHOW STORAGE ENGINES", "SHOW SLAVE HOSTS",
	},
	ReasonCharset:          {"SELECT _gbk'x'", "SELECT _sjis 'x'"},
	ReasonUnlexable:        {"SELECT 'a", "SELECT \"a", "SELECT `a", "SELECT 1 /* x", "SELECT 1 \x00", "SELECT `a\x00b`", "SELECT 1 # x\x00", "SELECT [1]", "SELECT \\x", "SELECT :a", "SELECT $$x$$", "SELECT 1 \x01", "SELECT `\xe3` , 2 `", "SELECT /*+ QB_NAME(`*/ a`) */ 1", "/*", "SHOW", "SELECT 'a\\'"},
	ReasonUnknownStatement: {"FOO", "1", "'a'", "(1)", "( @a", "@a", "label1: LOOP", "SELECTED 1", "MERGE INTO t"},
	ReasonEmpty:            {"", " ", ";", "-- x", "/* x */", "#", "/* x */ ;"},
	ReasonExplainRoute:     {"EXPLAIN ROUTE SELECT 1", "explain route insert into t values (1)", "EXPLAIN ROUTE (SELECT 1)", "EXPLAIN ROUTE /* bellwether: target=leader */ SELECT 1;"},
}

func TestClassifyReads(t *testing.T) {
	for _, q := range reads {
		t.Run(q, func(t *testing.T) {
			st := Classify([]byte(q), Mode{}, nil)
			if !st.IsRead() || st.Reason != ReasonRead {
				t.Errorf("class %v, reason %v, want a read", st.Class, st.Reason)
			}
			if st.Multi || st.Opaque || st.UserVars || st.MayChangeSession || st.UsesHome {
				t.Errorf("flags set on a read: %+v", st)
			}
		})
	}
}

func TestClassifyLeader(t *testing.T) {
	for reason, list := range leaders {
		for _, q := range list {
			t.Run(reason.String()+"/"+q, func(t *testing.T) {
				st := Classify([]byte(q), Mode{}, nil)
				if st.IsRead() {
					t.Fatal("is called a read")
				}
				if st.Reason != reason {
					t.Errorf("reason %v, want %v", st.Reason, reason)
				}
			})
		}
	}
}

func TestFieldTraps(t *testing.T) {
	for _, c := range []struct {
		name, sql string
		reason    Reason
	}{
		{"FIELD complaint 1: SET autocommit is the leader's", "SET autocommit=0", ReasonSessionStatement},
		{"FIELD complaint 4: a user variable sends one statement home", "SELECT @x", ReasonUserVariable},
		{"FIELD complaint 6: multi-line FOR UPDATE", "SELECT *\nFROM t\nWHERE id = 1\nFOR\n\tUPDATE", ReasonForUpdate},
		{"FIELD complaint 6: FOR UPDATE before a comment", "SELECT * FROM t FOR UPDATE /* lock it */", ReasonForUpdate},
		{"FIELD complaint 13: LOAD DATA LOCAL in another spelling", "load\n data low_priority local infile 'x' into table t", ReasonLoadData},
		{"FIELD complaint 14: KILL", "kill /* x */ query 17", ReasonKill},
		{"FIELD complaint 15: LAST_INSERT_ID in an expression", "SELECT 1 + last_insert_id()", ReasonConnectionFunction},
		{"FIELD trap 1: an unknown function in SELECT", "SELECT my_func(1)", ReasonUnknownFunction},
		{"FIELD trap 2: SELECT INTO a variable", "SELECT a INTO @v FROM t", ReasonInto},
		{"FIELD trap 2: assignment within SELECT", "SELECT @v := a FROM t", ReasonUserVariable},
		{"FIELD trap 3: USE", "USE newdb", ReasonSessionStatement},
		{"FIELD trap 5: autocommit inside PREPARE", "PREPARE s FROM 'SET autocommit=0'", ReasonPrepareSQL},
		{"FIELD trap 6: BEGIN", "BEGIN", ReasonTransaction},
		{"FIELD trap 7: CALL", "CALL p()", ReasonCall},
		{"FIELD trap 7: multi-statements", "SELECT 1; SELECT 2", ReasonMultiStatement},
		{"FIELD trap 9: temporary table in a multi-statement", "SELECT 1; CREATE\tTEMPORARY TABLE t (a INT)", ReasonMultiStatement},
		{"FIELD Gaea: LOCK TABLE", "LOCK TABLE t WRITE", ReasonLockTables},
		{"FIELD Gaea: FOR UPDATE OF t", "SELECT * FROM t FOR UPDATE OF t", ReasonForUpdate},
	} {
		t.Run(c.name, func(t *testing.T) {
			if st := Classify([]byte(c.sql), Mode{}, nil); st.Reason != c.reason || st.IsRead() {
				t.Errorf("class %v, reason %v, want %v", st.Class, st.Reason, c.reason)
			}
		})
	}
}

func TestClassifyFlags(t *testing.T) {
	type flags func(*Statement) bool
	temp := func(s *Statement) bool { return s.CreatesTempTable && s.MayChangeSession }
	for _, c := range []struct {
		sql  string
		want flags
	}{
		{"CREATE TEMPORARY TABLE t (a INT)", temp},
		{"create or replace\n temporary table t (a int)", temp},
		{"CREATE /* x */ TEMPORARY /* y */ TABLE IF NOT EXISTS t SELECT 1", temp},
		{"CREATE /*!32302 TEMPORARY */ TABLE t (a INT)", temp},
		{"/*!50000 CREATE TEMPORARY TABLE t (a INT) */", temp},
		{"SELECT 1; SELECT 2; CREATE TEMPORARY TABLE t (a INT)", temp},
		{"BEGIN NOT ATOMIC CREATE TEMPORARY TABLE t (a INT); END", temp},
		{"CREATE TEMPORARY SEQUENCE s", temp},
		{"DROP TEMPORARY TABLE t", func(s *Statement) bool { return s.DropsTable && !s.CreatesTempTable }},
		{"DROP TABLE IF EXISTS a, b", func(s *Statement) bool { return s.DropsTable }},
		{"SELECT GET_LOCK('a', 1)", func(s *Statement) bool { return s.AcquiresLock && s.UsesHome && s.MayChangeSession }},
		{"DO GET_LOCK('a', 1)", func(s *Statement) bool { return s.AcquiresLock }},
		{"INSERT INTO t VALUES (GET_LOCK('a', 1))", func(s *Statement) bool { return s.AcquiresLock }},
		{"SELECT RELEASE_LOCK('a')", func(s *Statement) bool { return s.ReleasesLock && !s.AcquiresLock }},
		{"LOCK TABLES t READ", func(s *Statement) bool { return s.AcquiresLock && s.Verb == VerbLockTables }},
		{"UNLOCK TABLES", func(s *Statement) bool { return s.ReleasesLock && s.Verb == VerbUnlockTables }},
		{"INSERT INTO t VALUES (@a)", func(s *Statement) bool { return s.UserVars && s.UsesHome }},
		{"INSERT INTO t VALUES (f())", func(s *Statement) bool { return s.Opaque && s.MayChangeSession }},
		{"INSERT INTO db.t (a, b) VALUES (1, NOW())", func(s *Statement) bool { return !s.Opaque && !s.MayChangeSession }},
		{"INSERT t (a) SELECT f(1)", func(s *Statement) bool { return s.Opaque }},
		{"CREATE TABLE t (a INT, KEY k (a), FOREIGN KEY x (a) REFERENCES u (b))", func(s *Statement) bool { return !s.Opaque }},
		{"UPDATE t SET a = f(1)", func(s *Statement) bool { return s.Opaque }},
		{"SET @a = 1", func(s *Statement) bool { return s.UserVars && s.Verb == VerbSet }},
		{"GRANT ALL ON *.* TO u@h", func(s *Statement) bool { return s.AccountAdmin && !s.UserVars }},
		{"CREATE USER 'u'@'h'", func(s *Statement) bool { return s.AccountAdmin && !s.UserVars && s.Verb == VerbAccountAdmin }},
		{"CREATE DEFINER=u@h VIEW v AS SELECT 1", func(s *Statement) bool { return !s.UserVars && !s.AccountAdmin }},
		{"SHOW GRANTS FOR 'u'@'h'", func(s *Statement) bool { return !s.UserVars }},
		{"UPDATE mysql.user SET x=1", func(s *Statement) bool { return s.AccountAdmin }},
		{"SET autocommit = 0", func(s *Statement) bool { return s.SetsAutocommit }},
		{"set session transaction read only, @@autocommit=1", func(s *Statement) bool { return s.SetsAutocommit }},
		{"SELECT autocommit FROM t", func(s *Statement) bool { return !s.SetsAutocommit }},
		{"PREPARE s FROM 'x'", func(s *Statement) bool { return s.UsesPrepareSQL && s.UsesHome }},
		{"EXECUTE s", func(s *Statement) bool { return s.UsesPrepareSQL && s.Opaque }},
		{"CALL p()", func(s *Statement) bool { return s.Opaque && s.MayChangeSession }},
		{"START TRANSACTION READ ONLY", func(s *Statement) bool { return s.Verb == VerbStartReadOnly && s.Class == ClassTxn }},
		{"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", func(s *Statement) bool { return s.Verb == VerbStartReadOnly }},
		{"COMMIT AND CHAIN RELEASE", func(s *Statement) bool { return s.Chain && s.Release && s.Verb == VerbCommit }},
		{"ROLLBACK AND NO CHAIN NO RELEASE", func(s *Statement) bool { return !s.Chain && !s.Release && s.Verb == VerbRollback }},
		{"ROLLBACK TO SAVEPOINT s", func(s *Statement) bool { return s.Verb == VerbSavepoint }},
		{"LOAD DATA LOCAL INFILE 'x' INTO TABLE t", func(s *Statement) bool { return s.Verb == VerbLoadLocal }},
		{"LOAD DATA INFILE 'local' INTO TABLE t", func(s *Statement) bool { return s.Verb == VerbLoadData }},
		{"SELECT 1 FROM t", func(s *Statement) bool { return s.ReadsTables }},
		{"SELECT 1", func(s *Statement) bool { return !s.ReadsTables }},
		{"SET STATEMENT a=1 FOR INSERT INTO t VALUES (1)", func(s *Statement) bool { return s.Opaque && s.Verb == VerbSetStatement }},
		{"DROP PREPARE s", func(s *Statement) bool { return s.Verb == VerbDeallocate }},
		{"/*!40101 SET NAMES utf8 */", func(s *Statement) bool { return s.Verb == VerbSet && s.Opaque && s.Class == ClassSession }},
	} {
		t.Run(c.sql, func(t *testing.T) {
			if st := Classify([]byte(c.sql), Mode{}, nil); !c.want(&st) {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestKill(t *testing.T) {
	for _, c := range []struct {
		sql         string
		id          uint64
		text        string
		query, soft bool
		other       bool
	}{
		{sql: "KILL 12", id: 12, text: "12"},
		{sql: "kill connection 12;", id: 12, text: "12"},
		{sql: "KILL QUERY 4294967296", id: 1 << 32, text: "4294967296", query: true},
		{sql: "KILL /* x */ SOFT QUERY\n7 -- y", id: 7, text: "7", query: true, soft: true},
		{sql: "KILL HARD 7", id: 7, text: "7"},
		{sql: "KILL USER bob", other: true},
		{sql: "KILL QUERY ID 5", other: true, query: true},
		{sql: "KILL 5+1", other: true},
		{sql: "KILL CONNECTION_ID()", other: true},
		{sql: "KILL 0x5", other: true},
		{sql: "KILL 5.0", other: true},
		{sql: "KILL '5'", other: true},
		{sql: "KILL 99999999999999999999999", other: true},
		{sql: "KILL", other: true},
	} {
		t.Run(c.sql, func(t *testing.T) {
			st := Classify([]byte(c.sql), Mode{}, nil)
			text := c.sql[st.KillSpan.Off:st.KillSpan.End]
			if st.Verb != VerbKill || st.KillID != c.id || text != c.text || st.KillQuery != c.query || st.KillSoft != c.soft || st.KillOther != c.other {
				t.Errorf("id %d at %q, query %v, soft %v, other %v", st.KillID, text, st.KillQuery, st.KillSoft, st.KillOther)
			}
		})
	}
}

func TestExplainRouteArgument(t *testing.T) {
	for sql, want := range map[string]string{
		"EXPLAIN ROUTE SELECT 1;":                                             " SELECT 1",
		"explain route /* bellwether: node=a */ select 1 ; ":                  " /* bellwether: node=a */ select 1",
		"/* x */ EXPLAIN\nROUTE(SELECT 1)":                                    "(SELECT 1)",
		"EXPLAIN ROUTE select 1; select 2":                                    " select 1; select 2",
		"EXPLAIN ROUTE BEGIN":                                                 " BEGIN",
		"EXPLAIN ROUTE EXPLAIN ROUTE SELECT 1":                                " EXPLAIN ROUTE SELECT 1",
		"/* bellwether: target=leader */ EXPLAIN ROUTE INSERT t () VALUES ()": " INSERT t () VALUES ()",
	} {
		st := Classify([]byte(sql), Mode{}, nil)
		if st.Verb != VerbExplainRoute || sql[st.Arg.Off:st.Arg.End] != want || st.Multi {
			t.Errorf("%q: verb %v, argument %q, want %q", sql, st.Verb, sql[st.Arg.Off:st.Arg.End], want)
		}
	}
}

func TestModes(t *testing.T) {
	ansi, noesc := Mode{ANSIQuotes: true}, Mode{NoBackslashEscapes: true}
	for _, c := range []struct {
		name, sql string
		m         Mode
		reason    Reason
	}{
		{"double quotes are a string", `SELECT "a' FOR UPDATE -- "`, Mode{}, ReasonRead},
		{"double quotes are a name under ANSI_QUOTES", `SELECT "f"(1)`, ansi, ReasonUnknownFunction},
		{"a double-quoted name has no escapes", `SELECT "a\", f(1), "b"`, ansi, ReasonUnknownFunction},
		{"a double-quoted string has", `SELECT "a\", f(1), "`, Mode{}, ReasonRead},
		{"backslash escapes a quote", `SELECT 'a\' FOR UPDATE -- '`, Mode{}, ReasonRead},
		{"backslash is a byte under NO_BACKSLASH_ESCAPES", `SELECT 'a\' FOR UPDATE -- '`, noesc, ReasonForUpdate},
		{"IGNORE_SPACE", "SELECT COUNT (*) FROM t", Mode{IgnoreSpace: true}, ReasonRead},
		{"gbk: a tail that looks like a backslash", "SELECT '\x81\x5c' FOR UPDATE -- '", Mode{Charset: CharsetGBK}, ReasonForUpdate},
		{"utf8: the same bytes escape", "SELECT '\x81\x5c' FOR UPDATE -- '", Mode{}, ReasonRead},
		{"gbk: a pair that is no character before a quote", "SELECT '\x81' FROM t", Mode{Charset: CharsetGBK}, ReasonUnlexable},
		{"sjis: a tail that looks like a backslash", "SELECT '\x95\x5c' INTO OUTFILE 'x'", Mode{Charset: CharsetSJIS}, ReasonInto},
		{"sjis: half-width katakana before a quote", "SELECT '\xb1' FROM t", Mode{Charset: CharsetSJIS}, ReasonRead},
		{"big5: a tail that looks like a backslash", "SELECT '\xa4\x5c' FROM t", Mode{Charset: CharsetBig5}, ReasonRead},
		{"gb18030: four bytes", "SELECT '\x81\x30\x81\x30\x81\x5c' FOR UPDATE -- '", Mode{Charset: CharsetGB18030}, ReasonForUpdate},
		{"gbk: a tail that looks like a backtick", "SELECT `\x81\x60` FOR UPDATE -- `", Mode{Charset: CharsetGBK}, ReasonForUpdate},
		{"gbk: bytes outside quotes", "SELECT \x81\x61 FROM t", Mode{Charset: CharsetGBK}, ReasonCharset},
		{"latin1: no-break space is space for the server", "SELECT * FROM t FOR\xa0UPDATE", Mode{Charset: CharsetSafe}, ReasonCharset},
		{"latin1: strings", "SELECT '\xe9' FROM `\xe9`", Mode{Charset: CharsetSafe}, ReasonRead},
		{"ujis: a name", "SELECT `\xa4\xa2` FROM t", Mode{Charset: CharsetEUC}, ReasonRead},
		{"unknown set", "SELECT 1", Mode{Charset: CharsetUnknown}, ReasonCharset},
		{"MySQL", "SELECT 1", Mode{Flavor: gtid.MySQL}, ReasonRead},
	} {
		t.Run(c.name, func(t *testing.T) {
			if st := Classify([]byte(c.sql), c.m, nil); st.Reason != c.reason || st.IsRead() != (c.reason == ReasonRead) {
				t.Errorf("class %v, reason %v, want %v", st.Class, st.Reason, c.reason)
			}
		})
	}
}

// TestCharsets asks for the collations that clients send most, and for those
// that hide a trap.
func TestCharsets(t *testing.T) {
	for id, want := range map[uint16]Charset{
		45: CharsetUTF8, 33: CharsetUTF8, 255: CharsetUTF8, 224: CharsetUTF8, 46: CharsetUTF8, 11: CharsetUTF8, 2304: CharsetUTF8,
		8: CharsetSafe, 63: CharsetSafe, 1071: CharsetSafe, 28: CharsetGBK, 1052: CharsetGBK, 87: CharsetGBK, 248: CharsetGB18030, 13: CharsetSJIS,
		95: CharsetSJIS, 1: CharsetBig5, 1108: CharsetBig5, 12: CharsetEUC, 24: CharsetEUC, 10: CharsetUnknown, 82: CharsetUnknown, 35: CharsetUnknown, 54: CharsetUnknown,
		60: CharsetUnknown, 0: CharsetUnknown, 65535: CharsetUnknown, 128: CharsetUnknown, 1034: CharsetUnknown,
	} {
		if got := CharsetByCollation(id); got != want {
			t.Errorf("collation %d: %v, want %v", id, got, want)
		}
	}
	for name, want := range map[string]Charset{
		"utf8mb4": CharsetUTF8, "UTF8MB4_general_ci": CharsetUTF8, "gbk_chinese_ci": CharsetGBK, "latin1": CharsetSafe, "cp932": CharsetSJIS,
		"swe7": CharsetUnknown, "utf16": CharsetUnknown, "": CharsetUnknown, "eucjpms": CharsetEUC,
	} {
		if got := CharsetByName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestWithSQLMode(t *testing.T) {
	for value, want := range map[string]Mode{
		"": {},
		"STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION":                  {},
		"REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI": {ANSIQuotes: true, IgnoreSpace: true},
		"no_backslash_escapes":                                        {NoBackslashEscapes: true},
		"ORACLE":                                                      {ANSIQuotes: true, IgnoreSpace: true},
	} {
		m := Mode{Flavor: gtid.MySQL, ANSIQuotes: true, Charset: CharsetGBK}
		want.Flavor, want.Charset = m.Flavor, m.Charset
		if got := m.WithSQLMode(value); got != want {
			t.Errorf("%q: %+v, want %+v", value, got, want)
		}
	}
}

// TestNoiseDoesNotMakeReads changes what servers do not mind, in statements of
// which the class is known.
func TestNoiseDoesNotMakeReads(t *testing.T) {
	noise := []func(string) string{
		strings.ToUpper, strings.ToLower,
		func(s string) string { return strings.ReplaceAll(s, " ", "\n\t ") },
		func(s string) string { return strings.ReplaceAll(s, " ", " /* x */ ") },
		func(s string) string { return strings.ReplaceAll(s, " ", " -- x\n ") },
		func(s string) string { return "/* SELECT 1 */" + s },
		func(s string) string { return "\xc2\xa0" + s },
		func(s string) string { return s + " " },
		func(s string) string { return s + ";" },
		func(s string) string { return "(" + s + ")" },
	}
	for reason, list := range leaders {
		if reason == ReasonUnlexable || reason == ReasonEmpty || reason == ReasonCharset {
			continue // there, what is added is inside of something, or is all there is
		}
		for _, q := range list {
			for i, f := range noise {
				if !isASCII([]byte(q)) || reason == ReasonExecutableComment && i == 1 {
					continue // upper case beyond ASCII is another name, and /*m! is no code
				}
				if st := Classify([]byte(f(q)), Mode{}, nil); st.IsRead() {
					t.Errorf("noise %d: %q is called a read", i, f(q))
				}
			}
		}
	}
}

func TestWordTable(t *testing.T) {
	seen := map[string]kw{}
	for k, names := range keywordNames {
		eachField(names, func(name string) {
			if old, ok := seen[name]; ok {
				t.Errorf("%s stands for keywords %d and %d", name, old, k)
			}
			seen[name] = k
		})
	}
	fns := map[string]fn{}
	for f, names := range functionNames {
		eachField(names, func(name string) {
			if old, ok := fns[name]; ok {
				t.Errorf("%s stands under functions %d and %d", name, old, f)
			}
			fns[name] = f
		})
	}
	for name, f := range fns {
		if w := lookupBytes([]byte(strings.ToLower(name))); w == nil || w.fn != f || w.name != name {
			t.Errorf("%s is not found", name)
		}
	}
	for r := range numReasons {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	cat := NewCatalog([]Routine{{Schema: "db", Name: "f", Function: true, DataAccess: "NO SQL", Body: "RETURN 1"}},
		[]View{{Schema: "db", Name: "v", Definition: "select f2()"}})
	for _, q := range []string{
		"SELECT c FROM sbtest1 WHERE id=12345", "SELECT db.f(1), f(2), `f`(3), g(4) FROM v, `w`", "INSERT INTO t VALUES (1, 'x', @a)",
		"WITH a (x) AS (SELECT 1) SELECT * FROM a", "SET autocommit=0", "KILL QUERY 5", "EXPLAIN ROUTE SELECT 1",
	} {
		b := []byte(q)
		if n := testing.AllocsPerRun(100, func() { Classify(b, Mode{}, cat) }); n != 0 {
			t.Errorf("%q: %v allocations", q, n)
		}
		if n := testing.AllocsPerRun(100, func() { Digest64(b, Mode{}) }); n != 0 {
			t.Errorf("%q: %v allocations for the digest", q, n)
		}
	}
}
