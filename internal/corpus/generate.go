package corpus

import (
	"math/rand/v2"
	"strings"
)

// Generate makes n statements of a small grammar: queries in all shapes, some
// with a part that locks, writes or leaves the plain read in another way, and
// with comments, quotes and odd space in between. The same seed makes the same
// statements. All tables and columns are those of GenerateSetUp.
func Generate(n int, seed uint64) []string {
	g := &generator{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	out := make([]string, n)
	for i := range out {
		out[i] = g.disguise(g.statement())
	}
	return out
}

// GenerateSetUp makes the tables that generated statements name.
func GenerateSetUp() []string {
	return []string{
		"CREATE TABLE t1 (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(50), d DATETIME, KEY (a))",
		"CREATE TABLE t2 (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(50), d DATETIME, KEY (a))",
		"INSERT INTO t1 (a, b, d) VALUES (1, 'x', '2020-01-01'), (2, 'y', '2021-01-01'), (3, NULL, NULL)",
		"INSERT INTO t2 (a, b, d) SELECT a, b, d FROM t1",
		"CREATE VIEW v1 AS SELECT id, a FROM t1",
	}
}

type generator struct{ *rand.Rand }

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) maybe(percent int, s string) string {
	if g.IntN(100) < percent {
		return s
	}
	return ""
}

func (g *generator) statement() string {
	switch g.IntN(20) {
	case 0:
		return g.one("INSERT INTO t1 (a, b) VALUES ("+g.expr(2)+", 'x')", "INSERT INTO t1 (a) "+g.query(2), "REPLACE INTO t2 (a) VALUES (1)",
			"INSERT INTO t1 SET a = "+g.expr(2), "REPLACE t2 (a) "+g.query(2))
	case 1:
		return g.one("UPDATE t1 SET a = "+g.expr(2), "UPDATE t1, t2 SET t1.a = 1 WHERE t1.id = t2.id", "DELETE FROM t1 WHERE "+g.expr(2),
			"DELETE t1 FROM t1 JOIN t2 USING (id)", "WITH c AS ("+g.query(2)+") UPDATE t1 SET a = 1", "WITH c AS ("+g.query(2)+") DELETE FROM t1 WHERE a = 1")
	case 2:
		return g.one("EXPLAIN ", "DESC ", "EXPLAIN FORMAT=JSON ", "EXPLAIN ANALYZE ", "EXPLAIN ") +
			g.one(g.query(2), "UPDATE t1 SET a = 1", "DELETE FROM t1", "INSERT INTO t1 (a) VALUES (1)")
	case 3:
		return g.one("SHOW TABLES", "SHOW COLUMNS FROM t1", "SHOW CREATE TABLE t1", "SHOW STATUS", "SHOW WARNINGS", "SHOW VARIABLES LIKE 'a%'", "DO "+g.expr(2),
			"SET @x = "+g.expr(2), "CALL p1()", "CREATE TEMPORARY TABLE tt AS "+g.query(2), "BEGIN", "LOCK TABLES t1 READ", "TRUNCATE t1")
	default:
		return g.query(3)
	}
}

// query makes a query with its locking or INTO clause.
func (g *generator) query(depth int) string {
	q := g.queryBody(depth)
	switch g.IntN(24) {
	case 0:
		return q + " " + g.one("FOR UPDATE", "LOCK IN SHARE MODE", "FOR SHARE", "FOR UPDATE SKIP LOCKED", "FOR UPDATE NOWAIT", "FOR UPDATE OF t1")
	case 1:
		return q + " " + g.one("INTO @x", "INTO OUTFILE '/nonexistent/x'", "INTO DUMPFILE '/nonexistent/x'")
	}
	return q
}

func (g *generator) queryBody(depth int) string {
	switch {
	case depth > 1 && g.IntN(8) == 0:
		return "WITH " + g.one("c AS ("+g.query(depth-1)+")", "c (x) AS (SELECT 1), e (y) AS (SELECT 2)", "RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3)") +
			" SELECT * FROM c" + g.maybe(30, " ORDER BY 1")
	case depth > 1 && g.IntN(8) == 0:
		return "(" + g.query(depth-1) + ")" + g.one(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ") + "(" + g.query(depth-1) + ")" + g.maybe(20, " LIMIT 1")
	case g.IntN(30) == 0:
		return g.one("VALUES ROW(1, 2), ROW(3, 4)", "TABLE t1", "SELECT 1", "(SELECT 1)", "VALUES (1, 2)")
	}
	return "SELECT " + g.maybe(20, g.one("DISTINCT ", "ALL ", "SQL_NO_CACHE ", "STRAIGHT_JOIN ", "SQL_CALC_FOUND_ROWS ", "HIGH_PRIORITY ")) +
		g.expr(depth) + g.maybe(40, g.one(" AS x", " `select`", " 'into'")) + g.maybe(40, ", "+g.expr(depth)) +
		" FROM " + g.table(depth) + g.maybe(60, " WHERE "+g.expr(depth)) + g.maybe(20, " GROUP BY a"+g.maybe(40, " HAVING "+g.expr(depth))+g.maybe(20, " WITH ROLLUP")) +
		g.maybe(20, " ORDER BY "+g.expr(1)+g.maybe(50, " DESC")) + g.maybe(20, " LIMIT 2"+g.maybe(30, " OFFSET 1"))
}

func (g *generator) table(depth int) string {
	if depth > 1 && g.IntN(5) == 0 {
		return "(" + g.query(depth-1) + ") AS q"
	}
	return g.one("t1", "t2", "`t1`", "v1", "t1 JOIN t2 ON t1.id = t2.id", "t1 LEFT JOIN t2 USING (id)", "t1, t2", "t1 USE INDEX (a)",
		"t1 FORCE INDEX FOR JOIN (a)", "t1 AS `for`", "information_schema.tables", "mysql.user", "dual")
}

func (g *generator) expr(depth int) string {
	if depth <= 0 || g.IntN(3) == 0 {
		return g.one("1", "-1", "1.5", "1e3", ".5", "0x41", "b'01'", "x'41'", "'str'", "'it''s'", `'a\'b'`, "'-- '", "'/*'", "'FOR UPDATE'", `"dq"`, "N'n'", "_utf8mb4'u'", "NULL", "TRUE",
			"t1.a", "a", "`a`", "b", "d", "id", "?", "@x", "@@autocommit", "@@global.port", "@y := 5", "CURRENT_TIMESTAMP", "CURRENT_USER")
	}
	e := func() string { return g.expr(depth - 1) }
	switch g.IntN(7) {
	case 0:
		return e() + g.one(" + ", " - ", "*", " / ", " DIV ", " MOD ", " = ", " <> ", "<=>", " < ", " AND ", " OR ", " XOR ", " LIKE ", " REGEXP ", " & ", "|", "<<", " || ") + e()
	case 1:
		return g.one("NOT ", "-", "!", "~", "BINARY ") + "(" + e() + ")"
	case 2:
		return e() + g.one(" IN (", " NOT IN (") + e() + ", " + e() + ")"
	case 3:
		return g.one("(", "EXISTS (", "a IN (", "a = ANY (", "a > ALL (") + g.query(depth-1) + ")"
	case 4:
		return "CASE WHEN " + e() + " THEN " + e() + " ELSE " + e() + " END"
	default:
		return g.call(e)
	}
}

// call makes a call: mostly of harmless functions, with and without space.
func (g *generator) call(e func() string) string {
	if g.IntN(6) == 0 {
		return g.one("LAST_INSERT_ID()", "FOUND_ROWS()", "ROW_COUNT()", "CONNECTION_ID()", "GET_LOCK('l', 0)", "RELEASE_LOCK('l')", "VERSION()", "USER()", "f1("+e()+")", "db1.f1("+e()+")", "`f1`()",
			"UUID_SHORT()", "LOAD_FILE('/x')", "LAST_INSERT_ID("+e()+")", "NEXTVAL(s1)", "NEXT VALUE FOR s1", "IS_FREE_LOCK('l')", "COUNT (*)", "SLEEP(0)", "BENCHMARK(1, "+e()+")", "DEFAULT(a)")
	}
	return g.one("COUNT(*)", "MAX(a)", "SUM("+e()+")", "CONCAT("+e()+", "+e()+")", "COALESCE ("+e()+", 1)", "IF("+e()+", 1, 2)", "NOW()", "RAND()", "UUID()", "DATABASE()", "UPPER("+e()+")",
		"SUBSTRING(b FROM 1 FOR 2)", "TRIM(LEADING 'x' FROM b)", "EXTRACT(YEAR FROM d)", "CAST("+e()+" AS CHAR(10))", "CONVERT(b USING utf8mb4)", "DATE_ADD(d, INTERVAL 1 DAY)", "INSERT('abc', 1, 1, 'x')",
		"REPLACE(b, 'x', 'y')", "ROW_NUMBER() OVER (PARTITION BY a ORDER BY id)", "GROUP_CONCAT(b ORDER BY a SEPARATOR ',')", "JSON_EXTRACT('{}', '$')", "GREATEST("+e()+", 2)", "MD5("+e()+")", "LEFT(b, 1)", "CHAR(65)", "INTERVAL(1, 2, 3)")
}

// disguise changes what no server minds: case, space, comments.
func (g *generator) disguise(s string) string {
	if g.IntN(3) == 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(g.maybe(10, g.one("/* DELETE FROM t1 */ ", "-- x\n", "# x\n", " \t\n")))
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' && i+1 < len(s) {
				b.WriteByte(c)
				i++
				c = s[i]
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == ' ' && g.IntN(6) == 0:
			b.WriteString(g.one("\n", "\t", "  ", " /* x */ ", "/**/ ", " -- y\n", " # z\n"))
			continue
		case c >= 'A' && c <= 'Z' && g.IntN(4) == 0:
			c |= 0x20
		}
		b.WriteByte(c)
	}
	b.WriteString(g.maybe(10, g.one(";", " -- end", " /* end */", " ")))
	return b.String()
}
