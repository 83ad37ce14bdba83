package strangers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// probes are questions whose answers a session that has set nothing knows: any other
// answer is a stranger's.
var probes = []struct{ query, want string }{
	{"SELECT LAST_INSERT_ID()", "0"},
	{"SELECT DATABASE()", "shop"},
	{"SELECT @v", "NULL"},
	{"SELECT @fired", "NULL"},
	{"SELECT @@sql_mode", ""},
	{"SELECT @@time_zone", ""},
	{"SELECT @@autocommit", "1"},
	{"SELECT @@foreign_key_checks", "1"},
	{"SELECT @@collation_connection", ""},
	{"SELECT @@character_set_results", ""},
	{"SELECT @@insert_id", "0"},
	{"SELECT @@group_concat_max_len", ""},
	{"SELECT IS_USED_LOCK('mine')", "NULL"},
	{"SELECT CURRENT_ROLE()", ""},
	{"SELECT name FROM named", "shop"},
	{"SHOW WARNINGS", "nothing"},
	{"SELECT ABS(@@timestamp - UNIX_TIMESTAMP(SYSDATE())) < 1000", "1"},
}

// states are ways to leave something on a connection. Each plants, works, looks whether
// its own is there still, and takes away what it planted; tying ones keep a connection
// until then.
var states = []struct {
	name  string
	tying bool
	run   func(c *client, r *rand.Rand) error
}{
	{"a schema", false, func(c *client, _ *rand.Rand) error {
		if err := c.all("USE other"); err != nil {
			return err
		}
		for range 3 {
			if err := c.want("other", "SELECT name FROM named"); err != nil {
				return err
			}
			if err := c.want("other", "SELECT DATABASE() FROM shop.list WHERE n = 1 FOR UPDATE"); err != nil {
				return err
			}
		}
		return c.exec("USE shop")
	}},
	{"session variables", false, func(c *client, r *rand.Rand) error {
		zone, length := fmt.Sprintf("+%02d:%02d", r.IntN(12), r.IntN(60)), fmt.Sprint(1000+c.n)
		if err := c.all("SET time_zone='"+zone+"', group_concat_max_len="+length, "SET foreign_key_checks=0"); err != nil {
			return err
		}
		for range 3 {
			for query, want := range map[string]string{
				"SELECT @@time_zone": zone, "SELECT @@group_concat_max_len": length, "SELECT @@foreign_key_checks": "0",
				"SELECT TIMEDIFF(FROM_UNIXTIME(86400), '1970-01-02 00:00:00') FROM list WHERE n = 1": zone[1:] + ":00",
			} {
				if err := c.want(want, query); err != nil {
					return err
				}
			}
		}
		return c.all("SET time_zone='"+c.base["SELECT @@time_zone"]+"', group_concat_max_len="+c.base["SELECT @@group_concat_max_len"],
			"SET foreign_key_checks=1")
	}},
	{"sql_mode", false, func(c *client, _ *rand.Rand) error {
		if err := c.exec("SET sql_mode='ANSI_QUOTES'"); err != nil {
			return err
		}
		for range 3 {
			if err := c.want("shop", `SELECT "name" FROM "named"`); err != nil {
				return err
			}
			if err := c.want("ANSI_QUOTES", "SELECT @@sql_mode"); err != nil {
				return err
			}
		}
		return c.exec("SET sql_mode='" + c.base["SELECT @@sql_mode"] + "'")
	}},
	{"character sets", false, func(c *client, _ *rand.Rand) error {
		if err := c.exec("SET NAMES latin1"); err != nil {
			return err
		}
		for range 3 {
			if err := c.want("latin1", "SELECT @@character_set_results"); err != nil {
				return err
			}
			if err := c.want("latin1_swedish_ci", "SELECT COLLATION('a') FROM list WHERE n = 1"); err != nil {
				return err
			}
		}
		charset := c.base["SELECT @@character_set_results"]
		return c.exec("SET NAMES " + charset + " COLLATE " + c.base["SELECT @@collation_connection"])
	}},
	{"autocommit off", false, func(c *client, _ *rand.Rand) error {
		err := c.all("SET autocommit=0", fmt.Sprintf("INSERT INTO rolled (client) VALUES (%d)", c.n), "ROLLBACK")
		if err == nil {
			err = c.want("0", "SELECT @@autocommit")
		}
		if err == nil {
			err = c.all("ROLLBACK", "SET autocommit=1")
		}
		if err == nil {
			err = c.want("0", "SELECT COUNT(*) FROM rolled FOR UPDATE")
		}
		if err == nil {
			err = errAnew // for the session has an id
		}
		return err
	}},
	{"a transaction", false, func(c *client, _ *rand.Rand) error {
		if err := c.all("BEGIN", fmt.Sprintf("INSERT INTO rolled (client) VALUES (%d)", c.n)); err != nil {
			return err
		}
		if err := c.want("1", fmt.Sprintf("SELECT COUNT(*) FROM rolled WHERE client = %d", c.n)); err != nil {
			return err
		}
		if err := c.exec("ROLLBACK"); err != nil {
			return err
		}
		return errAnew
	}},
	{"an id", false, func(c *client, _ *rand.Rand) error {
		for _, explicit := range []bool{false, true} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			res, err := c.conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO numbered (n) VALUES (%d)", c.n))
			cancel()
			if err != nil {
				return err
			}
			id, err := res.LastInsertId()
			if err != nil {
				return err
			}
			if explicit { // LAST_INSERT_ID() is not of this one
				if err := c.exec("REPLACE INTO numbered VALUES (?, 0)", id); err != nil {
					return err
				}
			}
			for range 3 {
				if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
					return err
				}
				if err := c.want(fmt.Sprint(id), "SELECT LAST_INSERT_ID()"); err != nil {
					return err
				}
			}
		}
		return errAnew
	}},
	{"prepared statements", false, func(c *client, _ *rand.Rand) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		here, err := c.conn.PrepareContext(ctx, "SELECT CONCAT(name, ?) FROM named")
		if err != nil {
			return err
		}
		defer func() { _ = here.Close() }()
		locking, err := c.conn.PrepareContext(ctx, "SELECT ? + n FROM list WHERE n = 1 FOR UPDATE")
		if err != nil {
			return err
		}
		defer func() { _ = locking.Close() }()
		if err := c.exec("USE other"); err != nil { // the statement still means shop.named
			return err
		}
		for i := range 4 {
			var got string
			var arg any = fmt.Sprint("-", c.n)
			if i%2 == 1 {
				arg = int64(-c.n)
			}
			if err := here.QueryRowContext(ctx, arg).Scan(&got); err != nil {
				return err
			}
			if want := fmt.Sprintf("shop-%d", c.n); got != want && c.n > 0 {
				return fmt.Errorf("a prepared statement: %q, want %q", got, want)
			}
			var sum int
			if err := locking.QueryRowContext(ctx, int64(c.n)).Scan(&sum); err != nil {
				return err
			}
			if sum != c.n+1 {
				return fmt.Errorf("a prepared statement at home: %d, want %d", sum, c.n+1)
			}
		}
		return c.exec("USE shop")
	}},
	{"a user variable of a trigger, prepared", true, func(c *client, _ *rand.Rand) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		insert, err := c.conn.PrepareContext(ctx, "INSERT INTO fired VALUES (?)")
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		if _, err := insert.ExecContext(ctx, c.n); err != nil {
			return err
		}
		if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
			return err
		}
		if err := c.want(fmt.Sprint(c.n), "SELECT @fired"); err != nil {
			return err
		}
		return errAnew
	}},
	{"counts of rows", false, func(c *client, r *rand.Rand) error {
		n := 1 + r.IntN(9)
		if err := c.want("1", fmt.Sprintf("SELECT n FROM list WHERE n <= %d ORDER BY n", n)); err != nil {
			return err
		}
		if err := c.want(fmt.Sprint(n), "SELECT FOUND_ROWS()"); err != nil {
			return err
		}
		values := strings.Repeat(fmt.Sprintf("(%d),", c.n), n-1) + fmt.Sprintf("(%d)", c.n)
		if err := c.exec("INSERT INTO counted (n) VALUES " + values); err != nil {
			return err
		}
		return c.want(fmt.Sprint(n), "SELECT ROW_COUNT()")
	}},
	{"warnings", false, func(c *client, _ *rand.Rand) error {
		if err := c.want(fmt.Sprint(c.n), fmt.Sprintf("SELECT CAST('%dx' AS SIGNED) FROM list WHERE n = 1", c.n)); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var level, message string
		var code int
		err := c.conn.QueryRowContext(ctx, "SHOW WARNINGS").Scan(&level, &code, &message)
		if err == nil && !strings.Contains(message, fmt.Sprintf("'%dx'", c.n)) {
			err = fmt.Errorf("SHOW WARNINGS: %q", message)
		}
		if err == nil { // what names no tables does not take warnings away, on MariaDB
			err = c.want("9", "SELECT COUNT(*) FROM list")
		}
		return err
	}},
	{"user variables", true, func(c *client, _ *rand.Rand) error {
		if err := c.exec("SET @v = ?", c.n); err != nil {
			return err
		}
		for range 3 {
			if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
				return err
			}
			if err := c.want(fmt.Sprint(c.n), "SELECT @v"); err != nil {
				return err
			}
		}
		return errAnew
	}},
	{"a user variable of a trigger", true, func(c *client, _ *rand.Rand) error {
		if err := c.exec(fmt.Sprintf("INSERT INTO fired VALUES (%d)", c.n)); err != nil {
			return err
		}
		if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
			return err
		}
		if err := c.want(fmt.Sprint(c.n), "SELECT @fired"); err != nil {
			return err
		}
		return errAnew
	}},
	{"a temporary table", true, func(c *client, _ *rand.Rand) error {
		err := c.all("CREATE TEMPORARY TABLE named (name VARCHAR(20))", fmt.Sprintf("INSERT INTO named VALUES ('t%d')", c.n))
		for range 3 {
			if err == nil {
				err = c.want(fmt.Sprint("t", c.n), "SELECT name FROM named")
			}
		}
		if err == nil {
			err = c.all("DROP TEMPORARY TABLE named")
		}
		if err == nil {
			err = c.want("shop", "SELECT name FROM named")
		}
		if err == nil {
			err = errAnew // it inserted, though into no table with numbers
		}
		return err
	}},
	{"a lock by name", true, func(c *client, _ *rand.Rand) error {
		name := fmt.Sprint("mine", c.n)
		if err := c.want("1", "SELECT GET_LOCK('"+name+"', 0)"); err != nil {
			return err
		}
		if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
			return err
		}
		if err := c.want("1", "SELECT RELEASE_LOCK('"+name+"')"); err != nil {
			return err
		}
		return errAnew
	}},
	{"locked tables", true, func(c *client, _ *rand.Rand) error {
		return c.all("LOCK TABLES locked WRITE", "INSERT INTO locked VALUES (1)", "DELETE FROM locked", "UNLOCK TABLES")
	}},
	{"a statement of SQL", true, func(c *client, _ *rand.Rand) error {
		if err := c.exec(fmt.Sprintf("PREPARE mine FROM 'SELECT %d'", c.n)); err != nil {
			return err
		}
		if err := c.want(fmt.Sprint(c.n), "EXECUTE mine"); err != nil {
			return err
		}
		return errAnew
	}},
	{"a role", true, func(c *client, _ *rand.Rand) error {
		if err := c.exec("SET ROLE reader"); err != nil {
			return err
		}
		got, err := c.ask("SELECT CURRENT_ROLE()")
		if err == nil && !strings.Contains(got, "reader") {
			err = fmt.Errorf("CURRENT_ROLE() is %q after SET ROLE reader", got)
		}
		if err != nil {
			return err
		}
		return errAnew
	}},
	{"the next transaction", true, func(c *client, _ *rand.Rand) error {
		err := c.all("SET TRANSACTION READ ONLY", "BEGIN")
		if err != nil {
			return err
		}
		if err := c.exec("INSERT INTO rolled (client) VALUES (1)"); errorNumber(err) != 1792 {
			return fmt.Errorf("a write in a read-only transaction: %w", err)
		}
		if err := c.exec("ROLLBACK"); err != nil {
			return err
		}
		return errAnew
	}},
	{"time that stands still", true, func(c *client, _ *rand.Rand) error {
		stamp := 1_000_000_000 + c.n
		if err := c.exec(fmt.Sprintf("SET timestamp=%d, rand_seed1=%d, rand_seed2=1", stamp, c.n)); err != nil {
			return err
		}
		for range 2 {
			if err := c.want(fmt.Sprint(stamp), "SELECT UNIX_TIMESTAMP() FROM list WHERE n = 1"); err != nil {
				return err
			}
		}
		return errAnew
	}},
	{"an insert_id", true, func(c *client, _ *rand.Rand) error {
		id := 1_000_000 + c.n
		if err := c.all(fmt.Sprintf("SET insert_id=%d", id), "DELETE FROM numbered WHERE id >= 1000000 AND n = -1"); err != nil {
			return err
		}
		return errAnew
	}},
}

// errAnew says that a state cannot be taken away but by beginning anew.
var errAnew = fmt.Errorf("begin the session anew")

// learn takes what a session begins with, where the server decides.
func (c *client) learn() error {
	c.base = make(map[string]string)
	for _, p := range probes {
		c.base[p.query] = p.want
		if p.want != "" {
			continue
		}
		got, err := c.ask(p.query)
		if err != nil {
			return err
		}
		c.base[p.query] = got
	}
	return nil
}

// look asks in any order what a session that has set nothing knows.
func (c *client) look(r *rand.Rand) error {
	for _, i := range r.Perm(len(probes))[:5] {
		if probes[i].query == "SHOW WARNINGS" { // those of its own are gone then
			if err := c.want("9", "SELECT COUNT(*) FROM list"); err != nil {
				return err
			}
		}
		if err := c.want(c.base[probes[i].query], probes[i].query); err != nil {
			return fmt.Errorf("a stranger's state: %w", err)
		}
	}
	return nil
}

// sessions and rounds make some thousand statements.
const (
	sessions = 64
	rounds   = 3
)

// TestStrangers runs many sessions over few connections. Every session plants states of
// its own, by turns, and between them looks for those of others.
func TestStrangers(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		first, err := f.open(0, "")
		cluster.Must(t, err)
		cluster.Must(t, first.learn())
		first.close()
		n := sessions
		if testing.Short() {
			n /= 4
		}
		err = together(n, func(i int) error { return f.session(i+1, first.base, rand.New(rand.NewPCG(seed, uint64(i)))) })
		cluster.Must(t, err)
		if most := f.openConnections(t); most > connections {
			t.Errorf("%d connections to the leader, no more than %d are allowed", most, connections)
		}
	})
}

// openConnections is how many connections of the clients' account the leader has.
func (f *fixture) openConnections(t *testing.T) int {
	t.Helper()
	var n int
	cluster.Must(t, f.Leader().DB().QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'").Scan(&n))
	return n
}

// session is the life of one client.
func (f *fixture) session(n int, base map[string]string, r *rand.Rand) error {
	params := "interpolateParams=true"
	if n%2 == 0 {
		params = "" // arguments by prepared statements
	}
	c, err := f.open(n, params)
	if err != nil {
		return err
	}
	defer func() { c.close() }()
	c.base = base
	for range rounds {
		if err := c.look(r); err != nil {
			return fmt.Errorf("session %d: %w", n, err)
		}
		s := states[r.IntN(len(states))]
		if err := f.plant(c, s.tying, func() error { return s.run(c, r) }, params); err != nil {
			return fmt.Errorf("session %d, %s: %w", n, s.name, err)
		}
	}
	return nil
}

// plant runs one state, and begins the session anew where that must be.
func (f *fixture) plant(c *client, tying bool, run func() error, params string) error {
	if tying {
		f.tying <- struct{}{}
		defer func() { <-f.tying }()
	}
	err := run()
	if err == nil && !tying {
		return nil
	}
	if err != nil && err != errAnew { //nolint:errorlint // a signal, never wrapped
		return err
	}
	c.close()
	fresh, err := f.open(c.n, params)
	if err != nil {
		return err
	}
	c.conn, c.db = fresh.conn, fresh.db
	return nil
}

// Every state is planted by one session after the other, so that none is left out by chance.
func TestEachStateAlone(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		first, err := f.open(0, "")
		cluster.Must(t, err)
		cluster.Must(t, first.learn())
		base := first.base
		first.close()
		for _, s := range states {
			t.Run(s.name, func(t *testing.T) {
				cluster.Must(t, together(2*connections, func(i int) error {
					r := rand.New(rand.NewPCG(1, uint64(i)))
					c, err := f.open(i+1, "")
					if err != nil {
						return err
					}
					defer func() { c.close() }()
					c.base = base
					if err := f.plant(c, s.tying, func() error { return s.run(c, r) }, ""); err != nil {
						return err
					}
					return c.look(r)
				}))
			})
		}
	})
}

// TestLastReadsConnectionTaken asks for the warnings of a read whose follower connection
// others have taken since, while the session still has its home connection, on which an
// older statement left a warning.
func TestLastReadsConnectionTaken(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		c, err := f.open(1, "interpolateParams=true")
		cluster.Must(t, err)
		defer c.close()
		const warns = "SELECT CAST('x' AS SIGNED) FROM list WHERE n = 1 FOR UPDATE"
		cluster.Must(t, c.exec(warns), c.want("Warning", "SHOW WARNINGS"), c.exec(warns), c.want("9", "SELECT COUNT(*) FROM list"))
		cluster.Must(t, together(2*connections, func(i int) error {
			other, err := f.open(i+2, "interpolateParams=true")
			if err != nil {
				return err
			}
			defer other.close()
			return other.want("0", "SELECT SLEEP(0.1) FROM list WHERE n = 1")
		}))
		cluster.Must(t, c.want("nothing", "SHOW WARNINGS"), c.want("9", "SELECT COUNT(*) FROM list"))
	})
}
