package apply

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// Scenarios 8, 9, 11, 13 and 15, in short: cascades, rows without a key, types
// and row images, DDL, and the session that DDL ran in. Each part is small, so
// that many transactions come in several.
func TestScenarios8_9_11_13_15(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		db := p.leader.DB()
		mustExec(t, db, "CREATE DATABASE shop", "USE shop",
			"CREATE TABLE parent (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE)",
			"CREATE TABLE nokey (a INT, b VARCHAR(10))",
			"INSERT INTO parent VALUES (1,'a'),(2,'b'),(3,'c')", "INSERT INTO child VALUES (1,1),(2,1),(3,2)",
			"UPDATE parent SET id=10 WHERE id=1", "DELETE FROM parent WHERE id=2",
			"INSERT INTO nokey VALUES (1,'x'),(1,'x'),(1,'x'),(NULL,NULL)", "DELETE FROM nokey WHERE a=1 LIMIT 1",
			`CREATE TABLE types (id INT PRIMARY KEY AUTO_INCREMENT, t TINYINT UNSIGNED, b BIT(11), d DECIMAL(30,10), f FLOAT, g DOUBLE,
				dt DATETIME(6), ts TIMESTAMP(3) NULL, ti TIME(2), y YEAR, e ENUM('a','b','é'), s SET('x','y','z'), bl BLOB, tx LONGTEXT,
				c CHAR(5) CHARACTER SET latin1, j JSON, p POINT, u VARBINARY(30), gen INT AS (t+1) STORED, vir INT AS (t+2) VIRTUAL, UNIQUE (c))`)
		for _, image := range []string{"FULL", "MINIMAL", "NOBLOB"} {
			mustExec(t, db, "USE shop", "SET sql_mode='', binlog_row_image='"+image+"'",
				`INSERT INTO types (t,b,d,f,g,dt,ts,ti,y,e,s,bl,tx,c,j,p,u) VALUES
					(255, b'10101010101', -12345678901234567890.0123456789, 1.5, -2.25e300, '0000-00-00', '2001-02-03 04:05:06.789', '-838:59:58.99', 1901,
						'é', 'x,z', X'00FF27', REPEAT('ä',50000), '`+image[:3]+`é', '{"a":[1,2.50,null]}', POINT(1,2), X'2700'),
					(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)`,
				"UPDATE types SET t=7, j='{}' WHERE c LIKE '"+image[:3]+"%'", "UPDATE types SET tx='short' WHERE t IS NULL",
				"DELETE FROM types WHERE t IS NULL AND id%2=0")
		}
		mustExec(t, db, "USE shop", "CREATE TABLE many (id INT PRIMARY KEY, v VARCHAR(200))", "BEGIN",
			"INSERT INTO many VALUES "+manyRows(3000), "SAVEPOINT a", "UPDATE many SET v='y' WHERE id<1500", "ROLLBACK TO SAVEPOINT a",
			"UPDATE many SET v=CONCAT(v,'z') WHERE id>1000", "COMMIT",
			"CREATE TABLE made AS SELECT * FROM many", "CREATE TABLE nothing AS SELECT * FROM many WHERE 0", "CREATE TABLE typed (PRIMARY KEY (id), n INT DEFAULT 7, v VARCHAR(300) COMMENT 'it''s, (a) `b`') SELECT * FROM many WHERE id<2000",
			"CREATE TABLE computed (double_id INT AS (id*2) VIRTUAL, KEY (double_id)) SELECT id, v FROM many WHERE id<10", "CREATE DATABASE elsewhere", "SET sql_mode=''", "CREATE TABLE elsewhere.made AS SELECT * FROM types", "INSERT INTO made SELECT id+100000, v FROM many", "CREATE TABLE swap LIKE many", "INSERT INTO swap SELECT * FROM many WHERE id<10", "RENAME TABLE many TO old, swap TO many", "TRUNCATE old",
			"SET NAMES latin1", "SET sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone='+05:00', timestamp=1000000000.25",
			"CREATE TABLE \"session\" (a VARCHAR(20) DEFAULT '\\n\xe9', t TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00') COMMENT='caf\xe9'",
			"INSERT INTO \"session\" () VALUES ()", "ALTER TABLE \"session\" ADD COLUMN n DATETIME(6) DEFAULT '2001-01-01', ADD INDEX (a)")
		if p.flavor == gtid.MariaDB { // MySQL refuses it
			mustExec(t, db, "USE shop", "CREATE TABLE linked (PRIMARY KEY (id), FOREIGN KEY (id) REFERENCES parent (id)) SELECT id FROM parent",
				"CREATE OR REPLACE TABLE swap (n INT) SELECT 1 one")
		}
		if err := p.apply(t, 16<<10, 0, nil); err != nil {
			t.Fatal(err)
		}
		p.equal(t)
	})
}

func manyRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",(%d,'%s')", i, strings.Repeat("v", 20+i%100))
	}
	return b.String()[1:]
}

// transfers makes n transactions whose double application, or omission, shows.
func transfers(t *testing.T, p *pair, n int) {
	t.Helper()
	st := []string{"CREATE DATABASE bank", "CREATE TABLE bank.a (id INT PRIMARY KEY, v INT)", "CREATE TABLE bank.log (n INT)", "INSERT INTO bank.a VALUES (1,0),(2,0)"}
	for i := range n {
		st = append(st, "BEGIN", "UPDATE bank.a SET v=v+1 WHERE id=1", fmt.Sprintf("INSERT INTO bank.log VALUES (%d)", i), "UPDATE bank.a SET v=v-1 WHERE id=2", "COMMIT")
	}
	mustExec(t, p.leader.DB(), st...)
}

// Scenarios 1 and 2, in short: the applier ends, or the follower is killed, at
// any point; each transaction is there once.
func TestScenarios1_2(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 600)
		for round := range 6 {
			killed := false
			err := p.apply(t, 0, 40+round*7, func(o *Options) {
				if round%2 == 0 {
					return
				}
				commits := o.Committed
				n := 0
				o.Committed = func(g binlog.GTID) {
					if n++; n == 20+round {
						killed = true
						_ = p.follower.Kill()
					}
					commits(g)
				}
			})
			if stop := (*StopError)(nil); errors.As(err, &stop) {
				t.Fatal(err)
			}
			if killed {
				if err := p.follower.Start(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		p.equal(t)
	})
}

// A missing row or a duplicate key stops the follower with the GTID, and nothing
// behind it is applied, though it was on the wire.
func TestDivergenceStops(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 1)
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		mustExec(t, p.follower.DB(), "SET sql_log_bin=0", "DELETE FROM bank.a WHERE id=1", "SET sql_log_bin=1")
		mustExec(t, p.leader.DB(), "INSERT INTO bank.log VALUES (100)", "UPDATE bank.a SET v=5 WHERE id=1", "INSERT INTO bank.log VALUES (101)", "INSERT INTO bank.log VALUES (102)")
		err := p.apply(t, 0, 0, nil)
		var stop *StopError
		if !errors.As(err, &stop) || !stop.Divergence {
			t.Fatalf("got %v", err)
		}
		if got := scalar(t, p.follower.DB(), "SELECT GROUP_CONCAT(n ORDER BY n) FROM bank.log"); got != "0,100" {
			t.Errorf("the follower has %s", got)
		}
		pos, err := Position(t.Context(), config(p.follower), p.flavor)
		if err != nil {
			t.Fatal(err)
		}
		if src, _ := p.read(t, pos, 0); len(src) != 3 || src[0].Txn.GTID != stop.GTID {
			t.Errorf("%d transactions are left, and it stopped at %s", len(src), stop.GTID)
		}
	})
}

// All is on the wire before anything is answered: what stands behind the failure
// fails at the guard.
func TestGuardStopsWhatIsOnTheWire(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 1)
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		mustExec(t, p.follower.DB(), "SET sql_log_bin=0", "DELETE FROM bank.a WHERE id=1", "SET sql_log_bin=1")
		mustExec(t, p.leader.DB(), "INSERT INTO bank.log VALUES (100)", "UPDATE bank.a SET v=5 WHERE id=1", "INSERT INTO bank.log VALUES (101)", "INSERT INTO bank.log VALUES (102)")
		a := New(Options{Follower: config(p.follower), Flavor: p.flavor})
		if err := a.connect(testContext(t)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.lanes[0].conn.Net.Close() }()
		pos, err := Position(t.Context(), config(p.follower), p.flavor)
		if err != nil {
			t.Fatal(err)
		}
		src, _ := p.read(t, pos, 0)
		if len(src) != 4 {
			t.Fatalf("%d transactions", len(src))
		}
		var sent []int
		for _, part := range src {
			commands, err := a.lanes[0].enc.part(part)
			if err != nil || len(commands) != 1 {
				t.Fatalf("%d commands, %v", len(commands), err)
			}
			if err := a.lanes[0].conn.Send(commands[0].guard, commands[0].text); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, commands[0].statements)
		}
		if err := a.lanes[0].conn.W.Flush(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []uint16{0, erKeyNotFound, 1231, 1231} {
			var e *wire.Err
			switch err := a.lanes[0].conn.Receive(sent[i]); {
			case want == 0 && err != nil, want != 0 && (!errors.As(err, &e) || e.Code != want):
				t.Errorf("transaction %d: %v", i, err)
			}
		}
		if got := scalar(t, p.follower.DB(), "SELECT GROUP_CONCAT(n ORDER BY n) FROM bank.log"); got != "0,100" {
			t.Errorf("the follower has %s", got)
		}
	})
}

// Scenario 10, in part: a lock wait at the head rolls back, and all that is on
// the wire runs again in order.
func TestScenario10LockWaits(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 0)
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		mustExec(t, p.leader.DB(), "UPDATE bank.a SET v=v+1 WHERE id=1", "UPDATE bank.a SET v=v*3 WHERE id=1", "INSERT INTO bank.log VALUES (1)", "UPDATE bank.a SET v=v+1 WHERE id=1")
		tx, err := p.follower.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var v int
		if err := tx.QueryRow("SELECT v FROM bank.a WHERE id=1 FOR UPDATE").Scan(&v); err != nil {
			t.Fatal(err)
		}
		var again atomic.Int32
		err = p.apply(t, 0, 0, func(o *Options) {
			o.Logger = countLines(&again, "applied again", func() { _ = tx.Rollback() })
		})
		if err != nil {
			t.Fatal(err)
		}
		if again.Load() == 0 {
			t.Error("nothing waited")
		}
		p.equal(t)
	})
}

// A transaction that changes nothing on the follower has no GTID in MariaDB's binlog, and what
// is on the wire behind it is applied all the same.
func TestNothingChanged(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 1)
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		mustExec(t, p.follower.DB(), "SET sql_log_bin=0", "UPDATE bank.a SET v=5 WHERE id=1", "SET sql_log_bin=1")
		mustExec(t, p.leader.DB(), "INSERT INTO bank.log VALUES (100)", "UPDATE bank.a SET v=5 WHERE id=1", "INSERT INTO bank.log VALUES (101)",
			"UPDATE bank.a SET v=6 WHERE id=1", "CREATE TABLE bank.more (id INT PRIMARY KEY)", "INSERT INTO bank.log VALUES (102)")
		var again atomic.Int32
		err := p.apply(t, 0, 0, func(o *Options) { o.Logger = countLines(&again, "applied again", nil) })
		if err != nil {
			t.Fatal(err)
		}
		if p.flavor == gtid.MariaDB && p.connections == 1 && again.Load() == 0 {
			t.Error("MariaDB gave it a GTID: this shows nothing")
		}
		p.equal(t)
	})
}

// countLines counts the lines of the log that hold text, and calls first at the first.
func countLines(n *atomic.Int32, text string, first func()) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(b []byte) {
		if strings.Contains(string(b), text) && n.Add(1) == 1 && first != nil {
			first()
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// Scenario 16: XA is refused by name.
func TestScenario16(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		transfers(t, p, 1)
		mustExec(t, p.leader.DB(), "XA START 'x'", "UPDATE bank.a SET v=9", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'", "INSERT INTO bank.log VALUES (77)")
		err := p.apply(t, 0, 0, nil)
		var stop *StopError
		if !errors.As(err, &stop) || !errors.Is(err, errXA) || stop.GTID == (binlog.GTID{}) {
			t.Fatalf("got %v", err)
		}
		if got := scalar(t, p.follower.DB(), "SELECT GROUP_CONCAT(n) FROM bank.log"); got != "0" {
			t.Errorf("the follower has %s", got)
		}
	})
}

// Clients that are in each other's way on the leader: the same few rows, a second unique key, a
// cascade, a table without a key. Whatever order the lanes execute in, the follower ends as the
// leader is, over breaks at any point and a follower that is killed.
func TestConflicts(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		mustExec(t, p.leader.DB(), "CREATE DATABASE c", "USE c", "CREATE TABLE a (id INT PRIMARY KEY, u INT UNIQUE, v INT NOT NULL)",
			"CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE k (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p(id) ON DELETE CASCADE)",
			"CREATE TABLE n (x INT, y INT)")
		var g errgroup.Group
		for client := range 6 {
			g.Go(func() error {
				return conflict(t.Context(), p.leader.DB(), rand.New(rand.NewPCG(7, uint64(client))), 150)
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var turns atomic.Int32
		for round := range 8 {
			err := p.apply(t, 0, 60+7*round, func(o *Options) {
				o.Logger = countLines(&turns, "waits for its turn", nil)
				if round != 3 {
					return
				}
				commits, n := o.Committed, 0
				o.Committed = func(g binlog.GTID) {
					if n++; n == 30 {
						_ = p.follower.Kill()
					}
					commits(g)
				}
			})
			if stop := (*StopError)(nil); errors.As(err, &stop) {
				t.Fatal(err)
			}
			if round == 3 {
				if err := p.follower.Start(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.apply(t, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		p.equal(t)
		if p.connections > 1 && turns.Load() == 0 {
			t.Error("nothing was in the way of anything: this shows nothing")
		}
	})
}

// conflict commits up to n transactions; one that fails on the leader is given up.
func conflict(ctx context.Context, db *sql.DB, r *rand.Rand, n int) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	row := func() int { return r.IntN(12) }
	kinds := []func() string{
		func() string { return fmt.Sprintf("INSERT INTO c.a VALUES (%d,%d,0)", row(), row()) },
		func() string { return fmt.Sprintf("UPDATE c.a SET v=v+1 WHERE id=%d", row()) },
		func() string { return fmt.Sprintf("UPDATE c.a SET u=%d WHERE id=%d", row(), row()) },
		func() string { return fmt.Sprintf("UPDATE c.a SET id=%d WHERE u=%d", row(), row()) },
		func() string { return fmt.Sprintf("DELETE FROM c.a WHERE u=%d", row()) },
		func() string { return fmt.Sprintf("REPLACE INTO c.a VALUES (%d,%d,1)", row(), row()) },
		func() string { return fmt.Sprintf("INSERT INTO c.p VALUES (%d)", row()) },
		func() string { return fmt.Sprintf("DELETE FROM c.p WHERE id=%d", row()) },
		func() string { return fmt.Sprintf("INSERT INTO c.k VALUES (%d,%d)", row(), row()) },
		func() string { return fmt.Sprintf("INSERT INTO c.n VALUES (%d,%d)", row(), row()) },
		func() string { return fmt.Sprintf("UPDATE c.n SET y=y+1 WHERE x=%d", row()) },
		func() string { return fmt.Sprintf("DELETE FROM c.n WHERE x=%d LIMIT 2", row()) },
	}
	for range n {
		statements := []string{"BEGIN"}
		for range 1 + r.IntN(3) {
			statements = append(statements, kinds[r.IntN(len(kinds))]())
		}
		for _, s := range append(statements, "COMMIT") {
			if _, err := c.ExecContext(ctx, s); err != nil {
				if _, err := c.ExecContext(ctx, "ROLLBACK"); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}
