package initial

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// typeMatrix is a column type, and values of it as SQL.
var typeMatrix = []struct {
	column string
	values []string
}{
	{"TINYINT", []string{"-128", "127", "0"}},
	{"TINYINT UNSIGNED ZEROFILL", []string{"255", "7"}},
	{"SMALLINT", []string{"-32768", "32767"}},
	{"MEDIUMINT", []string{"-8388608", "8388607"}},
	{"INT", []string{"-2147483648", "2147483647"}},
	{"BIGINT", []string{"-9223372036854775808", "9223372036854775807"}},
	{"BIGINT UNSIGNED", []string{"18446744073709551615"}},
	{"DECIMAL(65,30)", []string{"-12345678901234567890123456789012345.123456789012345678901234567890", "0.000000000000000000000000000001"}},
	{"FLOAT", []string{"3.4028234e38", "1.17549435e-38", "16777217", "0.1", "-0e0", "1.2345678"}},
	{"FLOAT(10,3)", []string{"1234.567", "0.001"}},
	{"DOUBLE", []string{"1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "-0e0", "0.30000000000000004", "1e15", "123456789012345680"}},
	{"BIT(1)", []string{"b'1'", "b'0'"}},
	{"BIT(64)", []string{"x'ffffffffffffffff'", "x'0027005c00000000'"}},
	{"DATE", []string{"'0000-00-00'", "'9999-12-31'", "'2023-02-31'", "'2020-00-00'"}},
	{"TIME(6)", []string{"'-838:59:59.000000'", "'838:59:59'", "'-00:00:00.000001'"}},
	{"DATETIME(6)", []string{"'0000-00-00 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2021-03-28 02:30:00'"}},
	{"DATETIME", []string{"'2021-10-31 02:30:00'"}},
	{"TIMESTAMP(6) NULL", []string{"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2021-10-31 00:30:00'", "'2021-10-31 01:30:00'", "'0000-00-00 00:00:00'"}},
	{"YEAR", []string{"0", "1901", "2155", "2000"}},
	{"CHAR(10) CHARACTER SET utf8mb4", []string{"'a'", "''", "'\U0001F40F'"}},
	{"CHAR(5) CHARACTER SET latin1", []string{"x'00FF5C2780'"}},
	{"VARCHAR(20) CHARACTER SET latin1", []string{"x'808182'", "'a  '", `'it''s \\ "q"'`}},
	{"VARCHAR(20) CHARACTER SET utf8mb4", []string{"'a\u00a0 '", `'\0\n\r\Z'`, "'é'"}},
	{"VARCHAR(20) CHARACTER SET ucs2", []string{"'ж'", "''"}},
	{"VARCHAR(20) CHARACTER SET utf16", []string{"'\U0001F40F'"}},
	{"VARCHAR(20) CHARACTER SET utf32", []string{"'\U0001F40F'"}},
	{"VARCHAR(20) CHARACTER SET sjis", []string{"x'835C'", "x'8E5C'"}},
	{"VARCHAR(20) CHARACTER SET gbk", []string{"x'C45C'"}},
	{"VARCHAR(20) CHARACTER SET big5", []string{"x'A55C'"}},
	{"VARCHAR(20) CHARACTER SET koi8r", []string{"'ж'"}},
	{"BINARY(4)", []string{"x'00'", "x'20202020'", "x'005C2700'"}},
	{"VARBINARY(8)", []string{"x'0000'", "''", "x'ff20'"}},
	{"TINYBLOB", []string{"x'00'", "''"}},
	{"BLOB", []string{"REPEAT(x'005C27FF0A0D1A', 9000)"}},
	{"MEDIUMBLOB", []string{"REPEAT(x'005C27FF', 700000)"}},
	{"LONGTEXT CHARACTER SET utf8mb4", []string{"REPEAT('é\\'\\\\', 300000)"}},
	{"TEXT CHARACTER SET latin1", []string{"x'C3A9FF'"}},
	{"ENUM('a','b,c','d''e')", []string{"'b,c'", "'d''e'", "0"}},
	{"SET('x','y''z','')", []string{"'x,y''z'", "''", "4", "7"}},
	{"SET(" + setMembers(64) + ")", []string{"18446744073709551615", "9223372036854775809"}},
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POLYGON((0 0,0 3,3 3,3 0,0 0))', 4326)", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1.5 -2),LINESTRING(0 0,1 1))')"}},
	{"POINT", []string{"ST_GeomFromText('POINT(39 92)')"}},
	{"JSON", []string{`'{"a": [1, 2.50, null, true], "\\u00e9": "x\\\\y"}'`, `'"s"'`, "'[]'", "'1e5'"}},
}

func setMembers(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("'m%d'", i)
	}
	return strings.Join(names, ",")
}

// matrix makes a table per type in the schema `types`; each has a NULL too.
func matrix(f gtid.Flavor) []string {
	out := []string{
		"CREATE DATABASE types CHARACTER SET latin1",
		"SET NAMES utf8mb4", "SET SESSION sql_mode='ALLOW_INVALID_DATES'", "SET SESSION time_zone='+00:00'", "USE types",
	}
	list := typeMatrix
	extra := []struct {
		column string
		values []string
	}{
		{"UUID", []string{"'123e4567-e89b-12d3-a456-426655440000'"}},
		{"INET4", []string{"'1.2.3.4'"}},
		{"INET6", []string{"'2001:db8::1'", "'::ffff:1.2.3.4'"}},
		{"VARCHAR(100) COMPRESSED", []string{"REPEAT('x', 100)", "''"}},
		{"TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3) INVISIBLE", []string{"'2020-01-01 00:00:00.123'"}},
	}
	if f == gtid.MySQL {
		extra = extra[:0]
		extra = append(extra, struct {
			column string
			values []string
		}{"VECTOR(3)", []string{"STRING_TO_VECTOR('[1.5,-2,0.1]')"}})
	}
	for i, m := range append(slices.Clip(list), extra...) {
		values := []string{"(NULL)"}
		if strings.Contains(m.column, "DEFAULT CURRENT") {
			values = nil
		}
		for _, v := range m.values {
			values = append(values, "("+v+")")
		}
		out = append(out, fmt.Sprintf("CREATE TABLE t%02d (id INT AUTO_INCREMENT PRIMARY KEY, v %s)", i, m.column),
			fmt.Sprintf("INSERT INTO t%02d (v) VALUES %s", i, strings.Join(values, ",")))
	}
	return out
}

// programs make everything else that a server holds.
var programs = []string{
	"CREATE DATABASE `every``thing` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	"CREATE TABLE `every``thing`.`od``d 'name'` (`a``b` INT PRIMARY KEY, `select` VARCHAR(10))",
	"INSERT INTO `every``thing`.`od``d 'name'` VALUES (1,'x')",
	"CREATE DATABASE everything CHARACTER SET latin1",
	"USE everything", "SET SESSION sql_mode=''", "SET NAMES utf8mb4",
	"CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE)",
	"CREATE TABLE child (id BIGINT UNSIGNED PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
	"CREATE TABLE nokey (a INT, b VARCHAR(5))",
	"CREATE TABLE wide (a VARCHAR(10) COLLATE latin1_swedish_ci, b INT, c DATETIME, v INT AS (b+1) VIRTUAL, s INT AS (b*2) STORED, PRIMARY KEY (a,b))",
	"CREATE TABLE empty_one (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=77",
	"CREATE TABLE parts (id INT PRIMARY KEY, v INT) PARTITION BY HASH(id) PARTITIONS 3",
	"INSERT INTO parent VALUES (0,'zero'),(-5,'minus'),(1,'one'),(2,'two')",
	"INSERT INTO child VALUES (18446744073709551615,1),(9223372036854775808,2),(1,1)",
	"INSERT INTO nokey VALUES (1,'a'),(1,'a'),(1,'a'),(NULL,NULL),(NULL,NULL)",
	"INSERT INTO wide (a,b,c) VALUES ('é',1,NULL),('E',2,'2020-01-01'),('ß',3,NULL),('a',4,NULL),('A',5,NULL),('z',-1,NULL)",
	"INSERT INTO wide (a,b,c) SELECT CONCAT('r',x.id), y.id, NOW() FROM parent x, parent y",
	"INSERT INTO parts SELECT 10*a.id+b.id+100, 1 FROM parent a, parent b ON DUPLICATE KEY UPDATE v=v+1",
	"CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(50))",
	"CREATE DEFINER='root'@'localhost' TRIGGER first_t AFTER INSERT ON parent FOR EACH ROW INSERT INTO log (what) VALUES (NEW.name)",
	"CREATE TRIGGER another_t AFTER INSERT ON parent FOR EACH ROW PRECEDES first_t SET @x=NEW.id",
	"SET SESSION sql_mode='ANSI_QUOTES,PIPES_AS_CONCAT'",
	`CREATE FUNCTION "f""1"(x INT) RETURNS VARCHAR(50) DETERMINISTIC RETURN 'é' || x`,
	"SET SESSION sql_mode='STRICT_ALL_TABLES'",
	"CREATE PROCEDURE p(IN a INT) COMMENT 'it''s' BEGIN SELECT a; END",
	"CREATE VIEW z_base AS SELECT id, name FROM parent", "CREATE VIEW a_top AS SELECT id FROM z_base WHERE id>0",
	"CREATE SQL SECURITY INVOKER VIEW with_f AS SELECT `f\"1`(id) v FROM parent",
	"SET SESSION time_zone='+02:00'",
	"CREATE DEFINER='alice'@'%' EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DO DELETE FROM log",
	"CREATE USER 'alice'@'%' IDENTIFIED BY 'pass''word\\\\x'", "CREATE USER 'bob'@'10.%' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK",
	"CREATE ROLE reader", "GRANT SELECT ON everything.* TO reader", "GRANT reader TO 'alice'@'%' WITH ADMIN OPTION",
	"GRANT SELECT (id), UPDATE (name) ON everything.parent TO 'alice'@'%'", "GRANT EXECUTE ON PROCEDURE everything.p TO 'bob'@'10.%'",
	"GRANT ALL ON `every``thing`.* TO 'bob'@'10.%' WITH GRANT OPTION",
}

var programsMariaDB = []string{
	"SET DEFAULT ROLE reader FOR 'alice'@'%'",
	"CREATE SEQUENCE everything.seq START WITH 5 INCREMENT BY 3 CACHE 10 CYCLE", "DO NEXTVAL(everything.seq)", "DO NEXTVAL(everything.seq)",
	"CREATE TABLE everything.history (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
	"INSERT INTO everything.history VALUES (1,1),(2,2)", "UPDATE everything.history SET v=10 WHERE id=1", "DELETE FROM everything.history WHERE id=2",
	"CREATE TABLE everything.cjson (id INT PRIMARY KEY, j JSON)", `INSERT INTO everything.cjson VALUES (1,'{"b": 1,   "a":2}')`,
}

var programsMySQL = []string{
	"SET DEFAULT ROLE reader TO 'alice'@'%'",
	"CREATE TABLE everything.hidden (id INT INVISIBLE PRIMARY KEY, v INT, KEY ((v+1)))", "INSERT INTO everything.hidden (id,v) VALUES (1,2)",
	"SET SESSION sql_generate_invisible_primary_key=1", "CREATE TABLE everything.gipk (v INT)", "INSERT INTO everything.gipk VALUES (1),(2)",
}
