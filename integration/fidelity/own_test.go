package fidelity

import "github.com/bellwetherdb/bellwether/internal/corpus"

const ownSource = "bellwether"

// own are sequences in which an answer depends on what came before.
var own = []corpus.Script{
	{
		Source: ownSource, Name: "session state",
		SetUp: []string{"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)", "INSERT INTO t VALUES (1,'a',1),(2,'b',2),(3,'c',NULL)"},
		Statements: []string{
			"SET NAMES latin1", "SELECT v FROM t", "SELECT 'é'", "SET NAMES utf8mb4", "SELECT v FROM t WHERE v='é'",
			"SET time_zone='+05:00'", "SELECT FROM_DAYS(730669)", "SET sql_mode='ANSI_QUOTES'", `SELECT "v" FROM t`,
			"SET sql_mode=''", `SELECT "v" FROM t`, "SET sql_mode='PIPES_AS_CONCAT'", "SELECT v || 'x' FROM t",
			"SET @a=5", "SELECT @a", "SELECT * FROM t WHERE id=@a-4", "SELECT @a:=@a+1", "SELECT @a",
			"SET SESSION sql_select_limit=2", "SELECT * FROM t", "SET SESSION sql_select_limit=DEFAULT", "SELECT * FROM t",
			"SET SESSION group_concat_max_len=4", "SELECT GROUP_CONCAT(v) FROM t", "SHOW WARNINGS",
			"SET character_set_results=NULL", "SELECT v FROM t", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SELECT v='A' FROM t",
			"SET collation_connection=utf8mb4_unicode_ci", "SELECT 'a'='A'",
			"SET div_precision_increment=10", "SELECT 1/3", "SELECT n/3 FROM t",
			"SET lc_time_names='de_DE'", "SELECT DATE_FORMAT('2024-03-01','%M')",
		},
	},
	{
		Source: ownSource, Name: "diagnostics",
		SetUp: []string{"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(3))", "INSERT INTO t (v) VALUES ('a'),('b'),('c')"},
		Statements: []string{
			"SELECT 1/0", "SHOW WARNINGS", "SHOW COUNT(*) WARNINGS", "SELECT @@warning_count", "SELECT CAST('x' AS SIGNED)", "SHOW WARNINGS LIMIT 1",
			"SELECT * FROM nosuch", "SHOW ERRORS", "SELECT * FROM t LIMIT 1", "SELECT FOUND_ROWS()", "SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", "SELECT FOUND_ROWS()",
			"INSERT INTO t (v) VALUES ('d')", "SELECT LAST_INSERT_ID()", "SELECT ROW_COUNT()", "UPDATE t SET v='z' WHERE id>2", "SELECT ROW_COUNT()",
			"SELECT * FROM t", "SELECT ROW_COUNT()", "INSERT INTO t (v) VALUES ('e'),('f')", "SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(77)", "SELECT LAST_INSERT_ID()",
			"INSERT INTO t VALUES (1,'dup')", "SHOW WARNINGS", "GET DIAGNOSTICS @n = NUMBER", "SELECT @n",
		},
	},
	{
		Source: ownSource, Name: "transactions, locks, temporary tables",
		SetUp: []string{"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1,1),(2,2)"},
		Statements: []string{
			"BEGIN", "SELECT * FROM t", "UPDATE t SET v=9 WHERE id=1", "SELECT * FROM t", "ROLLBACK", "SELECT * FROM t",
			"SET autocommit=0", "SELECT * FROM t", "UPDATE t SET v=8", "SELECT * FROM t", "ROLLBACK", "SET autocommit=1", "SELECT * FROM t",
			"START TRANSACTION READ ONLY", "SELECT * FROM t", "INSERT INTO t VALUES (5,5)", "COMMIT",
			"START TRANSACTION WITH CONSISTENT SNAPSHOT", "SELECT * FROM t", "COMMIT AND CHAIN", "SELECT * FROM t", "ROLLBACK RELEASE",
			"BEGIN", "SAVEPOINT a", "INSERT INTO t VALUES (6,6)", "ROLLBACK TO a", "SELECT * FROM t", "COMMIT",
			"CREATE TEMPORARY TABLE t (x INT)", "SELECT * FROM t", "INSERT INTO t VALUES (1)", "SELECT * FROM t", "DROP TEMPORARY TABLE t", "SELECT * FROM t",
			"CREATE /* c */ TEMPORARY TABLE tt SELECT 1 AS a", "SELECT * FROM tt", "DROP TABLE tt", "SELECT * FROM tt",
			"LOCK TABLES t READ", "SELECT * FROM t", "SELECT * FROM nosuch", "UPDATE t SET v=1", "UNLOCK TABLES", "SELECT * FROM t",
			"SELECT * FROM t WHERE id=1\nFOR\nUPDATE", "SELECT * FROM t LOCK IN SHARE MODE",
			"SET TRANSACTION READ ONLY", "SELECT * FROM t", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN", "SELECT * FROM t", "COMMIT",
			"DELETE FROM t WHERE id=99; SELECT * FROM t", "SELECT 1; SELECT * FROM t; INSERT INTO t VALUES (7,7); SELECT * FROM t",
			"SELECT 1; syntax error here", "PREPARE p FROM 'SELECT * FROM t WHERE id=?'", "SET @i=1", "EXECUTE p USING @i", "DEALLOCATE PREPARE p",
			"PREPARE p FROM 'SELECT 1; SELECT 2'", "SELECT * FROM t INTO @x, @y", "SELECT COUNT(*) FROM t INTO @x", "SELECT @x",
			"USE foo", "SELECT * FROM t", "USE mydb", "SELECT * FROM t", "SELECT DATABASE()", "USE nosuch", "SELECT DATABASE()",
		},
	},
	{
		Source: ownSource, Name: "routines",
		SetUp: []string{
			"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1,1),(2,2)",
			"CREATE FUNCTION f_read() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM t)",
			"CREATE FUNCTION f_write() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t SELECT MAX(id)+1, 0 FROM t AS u; RETURN 1; END",
			"CREATE FUNCTION f_liar() RETURNS INT READS SQL DATA BEGIN INSERT INTO t SELECT MAX(id)+1, 0 FROM t AS u; RETURN 1; END",
			"CREATE FUNCTION f_var() RETURNS INT NO SQL BEGIN SET @seen = IFNULL(@seen,0)+1; RETURN @seen; END",
			"CREATE PROCEDURE p_two() BEGIN SELECT 1 AS a; SELECT * FROM t; END",
			"CREATE PROCEDURE p_out(OUT x INT, INOUT y INT) BEGIN SET x = 7; SET y = y+1; END",
			"CREATE PROCEDURE p_err() BEGIN SELECT 1; SELECT * FROM nosuch; END",
			"CREATE VIEW w AS SELECT v FROM t", "CREATE VIEW wf AS SELECT f_write() AS x",
		},
		Statements: []string{
			"SELECT f_read()", "SELECT f_write()", "SELECT COUNT(*) FROM t", "SELECT f_liar()", "SELECT COUNT(*) FROM t", "SELECT f_liar()", "SELECT COUNT(*) FROM t",
			"SELECT f_var()", "SELECT f_var()", "SELECT @seen", "SELECT mydb . f_write()", "SELECT `f_write`()", "SELECT COUNT(*) FROM t",
			"CALL p_two()", "SET @y=1", "CALL p_out(@x,@y)", "SELECT @x,@y", "CALL p_err()", "CALL nosuch()",
			"SELECT * FROM w", "SELECT * FROM wf", "SELECT COUNT(*) FROM t", "SELECT COUNT (*) FROM t", "SELECT nosuchfunction(1)",
		},
	},
	{
		Source: ownSource, Name: "types and sizes",
		SetUp: []string{
			"CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(30,10), f FLOAT, g DOUBLE, b BIT(9), dt DATETIME(6), ti TIME(3), y YEAR, e ENUM('a','b'), s SET('x','y'), bl LONGBLOB, j JSON)",
			`INSERT INTO t VALUES (1,1.5,1.5,1e300,b'101','2024-01-02 03:04:05.678901','-12:34:56.789',2024,'a','x,y',REPEAT('q',70000),'{"a":1}'),(2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)`,
		},
		Statements: []string{
			"SELECT * FROM t", "SELECT * FROM t WHERE id=2", "SELECT * FROM t WHERE 0", "SELECT bl,bl,bl FROM t", "SELECT REPEAT('x',300)", "SELECT ''", "SELECT NULL",
			"SELECT REPEAT('x',250), REPEAT('x',251), REPEAT('x',65535), REPEAT('x',65536)", "SELECT REPEAT('r',1000000)",
			"SELECT 1 AS a, 2 AS b, 3 AS c UNION ALL SELECT 4,5,6", "VALUES ROW(1,2)", "SHOW TABLES", "SHOW COLUMNS FROM t", "SHOW CREATE TABLE t", "DESCRIBE t", "EXPLAIN SELECT * FROM t",
			"SELECT * FROM t ORDER BY nosuch", "SELEC 1", "", ";", "/* only a comment */", "-- nothing", "SELECT 1 -- x", "SELECT 1;", "SELECT 1;;", "SELECT 'a\\'b', 'a''b', \"q\"",
			"/*!50000 SELECT */ 1", "/*! INSERT INTO t (id) VALUES (50) */", "SELECT COUNT(*) FROM t", "SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1",
		},
	},
}
