package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func flavorOf(t *testing.T, c *cluster.Cluster) gtid.Flavor {
	t.Helper()
	if strings.Contains(c.Leader().Text(t, "SELECT @@version"), "MariaDB") {
		return gtid.MariaDB
	}
	return gtid.MySQL
}

// Scenario 11: all types of columns with edge values, in all kinds of row images, with a
// primary key and without one, inserted, updated, moved to other keys and deleted: equal.
// Scenario 15: what a session has set is how a statement runs on the followers.
func TestScenarios11_15TypeMatrix(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o)
		waitServing(t, c, p)
		flavor := flavorOf(t, c)
		c.Exec(t, "CREATE DATABASE types CHARACTER SET latin1")
		images := [][2]string{{"full", "SET SESSION binlog_row_image='FULL'"}, {"minimal", "SET SESSION binlog_row_image='MINIMAL'"}, {"noblob", "SET SESSION binlog_row_image='NOBLOB'"}}
		if flavor == gtid.MySQL {
			images = append(images, [2]string{"partial", "SET SESSION binlog_row_value_options='PARTIAL_JSON'"})
		}
		for _, image := range images {
			c.Exec(t, append(append([]string{"USE types", image[1]}, nodetest.TypesSession...), typeWork(flavor, image[0])...)...)
		}
		c.Exec(t, sessions(flavor)...)
		converge(t, c)
		if flavor == gtid.MariaDB { // a sequence is no table to compare
			const at = "SELECT next_not_cached_value FROM shop.numbers"
			want := c.Leader().Text(t, at)
			for _, f := range c.Followers() {
				if got := f.Text(t, at); got != want {
					t.Errorf("the sequence is at %s on %s, at %s on the leader", got, f.Name(), want)
				}
			}
		}
	})
}

// typeWork is what is done with each type.
func typeWork(f gtid.Flavor, image string) (out []string) {
	for i, m := range nodetest.Types(f) {
		var values []string
		if !strings.Contains(m.Column, "DEFAULT CURRENT") {
			values = append(values, "NULL")
		}
		values = append(values, m.Values...)
		keyed, bare := fmt.Sprintf("%s%02d", image, i), fmt.Sprintf("bare_%s%02d", image, i)
		out = append(out, fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, v %s, n INT, made INT AS (id+1) STORED, virt INT AS (n+2) VIRTUAL)", keyed, m.Column),
			fmt.Sprintf("CREATE TABLE %s (v %s, n INT)", bare, m.Column))
		for j, v := range values {
			next := values[(j+1)%len(values)]
			out = append(out, fmt.Sprintf("INSERT INTO %s (id,v,n) VALUES (%d,%s,0),(%d,%s,1)", keyed, 2*j, v, 2*j+1, next),
				fmt.Sprintf("UPDATE %s SET v=%s WHERE id=%d", keyed, v, 2*j+1),
				fmt.Sprintf("UPDATE %s SET n=n+10 WHERE id=%d", keyed, 2*j),
				fmt.Sprintf("INSERT INTO %s (v,n) VALUES (%s,1),(%s,1),(%s,2)", bare, v, v, next))
		}
		out = append(out, "UPDATE "+keyed+" SET id=id+1000 WHERE id%2=0", "DELETE FROM "+keyed+" WHERE id%3=0",
			"UPDATE "+bare+" SET n=n+1 WHERE n=1 LIMIT 1", "DELETE FROM "+bare+" WHERE n=2 LIMIT 1",
			"BEGIN", "INSERT INTO "+keyed+" (id,v,n) SELECT id+5000, v, n FROM "+keyed, "DELETE FROM "+keyed+" WHERE id%4=1", "COMMIT")
	}
	if image == "partial" {
		out = append(out, "CREATE TABLE docs (id INT PRIMARY KEY, j JSON)", `INSERT INTO docs VALUES (1, '{"a":{"b":[1,2,3]},"c":"long enough to be worth it, really"}'),(2,NULL)`,
			"UPDATE docs SET j=JSON_SET(j,'$.a.b[1]',77)", "UPDATE docs SET j=JSON_REPLACE(j,'$.c',REPEAT('x',50))", "UPDATE docs SET j=JSON_REMOVE(j,'$.a.b[0]')", "UPDATE docs SET j=JSON_SET(j,'$.c','y'), id=id+10")
	}
	return out
}

// sessions are statements that depend on what the session has set.
func sessions(f gtid.Flavor) []string {
	out := []string{
		"USE shop", "SET NAMES latin1", "SET SESSION sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'", "SET SESSION time_zone='-07:30'", "SET timestamp=1234567890",
		"CREATE TABLE \"caf\xe9\" (\"a\" VARCHAR(20) DEFAULT '\\n\xe9', t TIMESTAMP NOT NULL DEFAULT '2001-01-01 00:00:00', d DATETIME DEFAULT CURRENT_TIMESTAMP) COMMENT='\xe9\\'",
		"INSERT INTO \"caf\xe9\" () VALUES ()", "CREATE VIEW joined AS SELECT 'a' || \"a\" x FROM \"caf\xe9\"",
		"SET SESSION sql_mode='', NAMES utf8mb4, SESSION time_zone='+05:45', SESSION lc_time_names='de_DE', SESSION collation_connection='utf8mb4_bin'",
		"CREATE TABLE ctas AS SELECT 'x' a, DATE_FORMAT('2020-03-01','%M') b, CURRENT_TIMESTAMP c", "CREATE TABLE invalid (d DATE NOT NULL DEFAULT '0000-00-00')",
		"SET foreign_key_checks=0", "CREATE TABLE early (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES late (id))", "INSERT INTO early VALUES (1,99)",
		"CREATE TABLE late (id INT PRIMARY KEY)", "SET foreign_key_checks=1, timestamp=DEFAULT",
	}
	if f == gtid.MariaDB {
		return append(out, "CREATE SEQUENCE numbers", "SELECT NEXTVAL(numbers)", "SELECT SETVAL(numbers, 5000)", "SELECT NEXTVAL(numbers)", "CREATE TABLE versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
			"INSERT INTO versioned VALUES (1,1)", "UPDATE versioned SET v=2", "DELETE FROM versioned")
	}
	return append(out, "SET SESSION sql_generate_invisible_primary_key=1", "CREATE TABLE hidden_key (v INT)", "INSERT INTO hidden_key VALUES (1),(1)", "UPDATE hidden_key SET v=v+1 LIMIT 1")
}

// Scenarios 6 to 9: transactions of many connections that depend on each other by unique keys
// that change hands, by keys that are equal in a collation only, by foreign keys with cascades,
// and by rows without a key; followers execute sixteen at a time: equal.
func TestScenarios6_7_8_9Dependencies(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o, "replication: {apply_connections: 16}")
		waitServing(t, c, p)
		c.Exec(t, dependent...)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var wg sync.WaitGroup
		for w := range uint64(8) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, w))
				for range 60 {
					try(t, c, dependentWork[rnd.IntN(len(dependentWork))](rnd))
				}
			})
		}
		wg.Wait()
		converge(t, c)
	})
}

var dependent = []string{
	"USE shop", "SET NAMES utf8mb4",
	"CREATE TABLE swaps (id INT PRIMARY KEY, k INT UNIQUE)", "INSERT INTO swaps VALUES (1,1),(2,2),(3,3),(4,4),(5,5),(6,6)",
	"CREATE TABLE words (id INT AUTO_INCREMENT PRIMARY KEY, ci VARCHAR(10) COLLATE utf8mb4_general_ci UNIQUE, uni VARCHAR(10) COLLATE utf8mb4_unicode_ci UNIQUE," +
		" de VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_german2_ci UNIQUE, pre VARCHAR(10), UNIQUE (pre(2)))",
	"CREATE TABLE parent (id INT PRIMARY KEY, v INT)", "CREATE TABLE child (id INT AUTO_INCREMENT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)",
	"CREATE TABLE bare (a INT, b VARCHAR(5))",
}

// spellings are equal to one another, by pairs, in one collation or another.
var spellings = []string{"'é'", "'e'", "'E'", "'a'", "'a '", "'A'", "'ß'", "'ss'", "'s'", "'ae'", "'ä'"}

var dependentWork = []func(*rand.Rand) []string{
	func(r *rand.Rand) []string {
		a, b := 1+r.IntN(6), 1+r.IntN(6)
		return []string{
			fmt.Sprintf("SELECT k INTO @a FROM swaps WHERE id=%d FOR UPDATE", a), fmt.Sprintf("SELECT k INTO @b FROM swaps WHERE id=%d FOR UPDATE", b),
			fmt.Sprintf("UPDATE swaps SET k=NULL WHERE id=%d", a), fmt.Sprintf("UPDATE swaps SET k=@a WHERE id=%d", b), fmt.Sprintf("UPDATE swaps SET k=@b WHERE id=%d AND %d<>%d", a, a, b),
		}
	},
	func(r *rand.Rand) []string {
		s := spellings[r.IntN(len(spellings))]
		return []string{fmt.Sprintf("DELETE FROM words WHERE ci=%[1]s OR uni=%[1]s OR de=%[1]s OR LEFT(pre,2)=LEFT(%[1]s,2)", s), fmt.Sprintf("INSERT INTO words (ci,uni,de,pre) VALUES (%[1]s,%[1]s,%[1]s,%[1]s)", s)}
	},
	func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("DELETE FROM words ORDER BY id LIMIT %d", r.IntN(2))}
	},
	func(r *rand.Rand) []string {
		id := r.IntN(8)
		return []string{fmt.Sprintf("INSERT IGNORE INTO parent VALUES (%d,0)", id), fmt.Sprintf("INSERT INTO child (p) VALUES (%[1]d),(%[1]d)", id)}
	},
	func(r *rand.Rand) []string { return []string{fmt.Sprintf("DELETE FROM parent WHERE id=%d", r.IntN(8))} },
	func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("UPDATE parent SET id=id+8 WHERE id=%d", r.IntN(8))}
	},
	func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("INSERT INTO bare VALUES (%[1]d,'x'),(%[1]d,'x'),(NULL,NULL)", r.IntN(3))}
	},
	func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("DELETE FROM bare WHERE a<=>%d LIMIT 1", r.IntN(3))}
	},
	func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("UPDATE bare SET b='y' WHERE a=%d LIMIT 1", r.IntN(3))}
	},
}

// try runs a transaction; deadlocks and the like are as good as a success.
func try(t *testing.T, c *cluster.Cluster, statements []string) {
	conn, err := c.Leader().DB().Conn(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	end := "COMMIT"
	for _, s := range append([]string{"USE shop", "SET NAMES utf8mb4", "BEGIN"}, statements...) {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			end = "ROLLBACK"
			break
		}
	}
	if _, err := conn.ExecContext(t.Context(), end); err != nil {
		t.Error(err)
	}
}

// Scenarios 12 and 13: definitions change between rows, as tools for online changes do it, while
// a follower and Bellwether are killed by turns: equal.
func TestScenarios12_13Definitions(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		c, p := start(t, o)
		waitServing(t, c, p)
		committed, end := writers(t, p)
		more(t, committed, 10)
		end()
		for round := range 4 {
			conn, err := c.Leader().DB().Conn(t.Context())
			cluster.Must(t, err)
			done := make(chan error)
			go func() { done <- node.Exec(t.Context(), conn, onlineChange(round)...) }()
			if round%2 == 0 {
				f := c.Followers()[round/2]
				cluster.Must(t, f.Kill(), f.Start())
			} else {
				p.Kill()
				p.Restart()
			}
			cluster.Must(t, <-done, conn.Close())
		}
		waitServing(t, c, p)
		converge(t, c)
	})
}

// onlineChange is what tools for online changes of a table do, and other definitions.
func onlineChange(round int) []string {
	n := fmt.Sprint(round)
	return []string{
		"USE shop", "CREATE TABLE big" + n + " (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(50), k INT)",
		"INSERT INTO big" + n + " (v,k) VALUES ('a',1),('b',2),('c',3),('d',4)", "INSERT INTO big" + n + " (v,k) SELECT CONCAT(x.v,y.v), x.id*y.id FROM big" + n + " x, big" + n + " y",
		"CREATE TABLE _new LIKE big" + n, "ALTER TABLE _new ADD COLUMN extra BIGINT NOT NULL DEFAULT 7, MODIFY v VARCHAR(80), ADD UNIQUE (v)",
		"CREATE TRIGGER ins AFTER INSERT ON big" + n + " FOR EACH ROW REPLACE INTO _new (id,v,k) VALUES (NEW.id,NEW.v,NEW.k)",
		"CREATE TRIGGER upd AFTER UPDATE ON big" + n + " FOR EACH ROW REPLACE INTO _new (id,v,k) VALUES (NEW.id,NEW.v,NEW.k)",
		"CREATE TRIGGER del AFTER DELETE ON big" + n + " FOR EACH ROW DELETE IGNORE FROM _new WHERE id=OLD.id",
		"INSERT IGNORE INTO _new (id,v,k) SELECT id,v,k FROM big" + n + " WHERE id<=8", "INSERT INTO big" + n + " (v,k) VALUES ('late',100)", "UPDATE big" + n + " SET k=-k WHERE id=3", "DELETE FROM big" + n + " WHERE id=4",
		"INSERT IGNORE INTO _new (id,v,k) SELECT id,v,k FROM big" + n + " WHERE id>8",
		"RENAME TABLE big" + n + " TO _old, _new TO big" + n, "DROP TABLE _old",
		"INSERT INTO big" + n + " (v,k) VALUES ('after',5)", "ALTER TABLE big" + n + " ADD INDEX (k), ALGORITHM=INPLACE", "ALTER TABLE big" + n + " DROP COLUMN extra",
		"CREATE TABLE copy" + n + " AS SELECT * FROM big" + n, "TRUNCATE copy" + n, "INSERT INTO copy" + n + " SELECT * FROM big" + n + " WHERE id<5",
		"CREATE TABLE parts" + n + " (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
		"INSERT INTO parts" + n + " VALUES (1),(11)", "ALTER TABLE parts" + n + " TRUNCATE PARTITION p0", "ALTER TABLE parts" + n + " DROP PARTITION p1",
		"CREATE DATABASE gone" + n, "CREATE TABLE gone" + n + ".t (id INT PRIMARY KEY)", "INSERT INTO gone" + n + ".t VALUES (1)", "DROP DATABASE gone" + n,
		"CREATE TEMPORARY TABLE temporary (id INT)", "INSERT INTO temporary VALUES (1)", "INSERT INTO moves (a,b) SELECT id, 12 FROM temporary", "DROP TEMPORARY TABLE temporary",
		"ANALYZE TABLE big" + n,
	}
}
