package cluster

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

const (
	makeTable = "CREATE TABLE shop.t (id INT PRIMARY KEY)"
	countRows = "SELECT COUNT(*) FROM shop.t"
)

// throughLink is a pool as the application, by the way that Bellwether takes.
func throughLink(t *testing.T, n *Node) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = sandbox.AppAccount.User, sandbox.AppAccount.Password, "tcp", n.ProxyAddr()
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	Must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// silence is how long a test looks for what must not happen.
const silence = 300 * time.Millisecond

func ask(t *testing.T, db *sql.DB, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var one int
	return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// wantBehind checks that a row written now does not reach the follower, and
// wantCaughtUp that it does after all.
func wantBehind(t *testing.T, c *Cluster, follower *Node, id string) {
	t.Helper()
	before := follower.Text(t, countRows)
	c.Exec(t, "INSERT INTO shop.t VALUES ("+id+")")
	time.Sleep(silence)
	if after := follower.Text(t, countRows); after != before {
		t.Fatalf("%s has %s rows, had %s: replication goes on", follower.Name(), after, before)
	}
}

func wantCaughtUp(t *testing.T, c *Cluster) {
	t.Helper()
	c.WaitReplicated(t)
	want := c.Leader().Text(t, countRows)
	for _, f := range c.Followers() {
		if got := f.Text(t, countRows); got != want {
			t.Errorf("%s has %s rows, the leader %s", f.Name(), got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	Each(t, func(t *testing.T, o Options) {
		o.Followers = 2
		c := Start(t, o)
		c.Exec(t, makeTable, "INSERT INTO shop.t VALUES (1)")
		wantCaughtUp(t, c)
		db2, db3 := c.Node("db2"), c.Node("db3")

		t.Run("cut from the nodes, replication stops; the proxy's way stays; healed, it goes on", func(t *testing.T) {
			for i, d := range []Direction{In, Both} {
				Must(t, db2.Cut(Nodes, d))
				wantBehind(t, c, db2, []string{"10", "11"}[i])
				Must(t, sandbox.WaitPosition(t.Context(), db3.DB(), c.Flavor, c.position(t)))
				Must(t, ask(t, throughLink(t, db2), time.Minute))
				Must(t, db2.Heal())
				wantCaughtUp(t, c)
			}
		})
		t.Run("cut from the proxy, one way or both; replication goes on", func(t *testing.T) {
			for i, d := range []Direction{In, Out, Both} {
				db := throughLink(t, db2)
				Must(t, ask(t, db, time.Minute))
				Must(t, db2.Cut(Proxy, d))
				if err := ask(t, db, silence); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("direction %d: asked through a cut: %v", d, err)
				}
				c.Exec(t, "INSERT INTO shop.t VALUES ("+[]string{"20", "21", "22"}[i]+")")
				wantCaughtUp(t, c)
				Must(t, db2.Heal())
				Eventually(t, "the proxy's way is healed", func() bool { return ask(t, db, 10*time.Second) == nil })
			}
		})
		t.Run("the leader cut from all", func(t *testing.T) {
			Must(t, c.Leader().Cut(All, Both))
			wantBehind(t, c, db3, "30")
			if err := ask(t, throughLink(t, c.Leader()), silence); err == nil {
				t.Error("the leader answered through a cut")
			}
			Must(t, c.Leader().Heal())
			wantCaughtUp(t, c)
		})
		t.Run("reset connections break, new ones work, replication comes back", func(t *testing.T) {
			conn, err := throughLink(t, db2).Conn(t.Context())
			Must(t, err)
			defer func() { _ = conn.Close() }()
			Must(t, conn.PingContext(t.Context()), db2.Reset(All))
			Eventually(t, "the connection breaks", func() bool { return conn.PingContext(t.Context()) != nil })
			Must(t, ask(t, throughLink(t, db2), time.Minute))
			c.Exec(t, "INSERT INTO shop.t VALUES (40)")
			wantCaughtUp(t, c)
		})
		t.Run("paused, it answers nothing; continued, it does", func(t *testing.T) {
			db := throughLink(t, db2)
			Must(t, ask(t, db, time.Minute), db2.Pause())
			if err := ask(t, db, silence); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a paused server answered: %v", err)
			}
			Must(t, db2.Continue(), ask(t, db, time.Minute))
		})
		t.Run("killed and stopped, it comes back and catches up", func(t *testing.T) {
			for i, end := range []func() error{db2.Kill, db2.Stop} {
				Must(t, end())
				if err := ask(t, throughLink(t, db2), 5*time.Second); err == nil {
					t.Error("a dead server answered")
				}
				c.Exec(t, "INSERT INTO shop.t VALUES ("+[]string{"50", "51"}[i]+")")
				Must(t, db2.Start())
				wantCaughtUp(t, c)
			}
		})
		t.Run("the leader killed and started; the followers find it again", func(t *testing.T) {
			Must(t, c.Leader().Kill(), c.Leader().Start())
			c.Exec(t, "INSERT INTO shop.t VALUES (60)")
			wantCaughtUp(t, c)
		})
		t.Run("an applier stopped lags and catches up", func(t *testing.T) {
			db2.StopApplying(t)
			wantBehind(t, c, db2, "70")
			db2.StartReplication(t)
			wantCaughtUp(t, c)
		})
	})
}

func (c *Cluster) position(t *testing.T) string {
	t.Helper()
	pos, err := sandbox.Position(t.Context(), c.Leader().DB(), c.Flavor)
	Must(t, err)
	return pos
}

// A slow follower gets a row after a fast one does.
func TestSlow(t *testing.T) {
	Each(t, func(t *testing.T, o Options) {
		o.Followers, o.Relays = 2, true
		c := Start(t, o)
		c.Exec(t, makeTable)
		wantCaughtUp(t, c)
		db2, db3 := c.Node("db2"), c.Node("db3")
		Must(t, db2.Slow(Nodes, Shape{Delay: 2 * time.Second}))
		c.Exec(t, "INSERT INTO shop.t VALUES (1)")
		Must(t, sandbox.WaitPosition(t.Context(), db3.DB(), c.Flavor, c.position(t)))
		if rows := db2.Text(t, countRows); rows != "0" {
			t.Errorf("the slow follower has %s rows as soon as the fast one", rows)
		}
		Must(t, db2.Heal())
		wantCaughtUp(t, c)
	})
}

func TestFollowAnother(t *testing.T) {
	EachFlavor(t, func(t *testing.T, o Options) {
		o.Followers = 2
		c := Start(t, o)
		c.Node("db3").Follow(t, c.Node("db2"))
		c.Exec(t, makeTable)
		wantCaughtUp(t, c)
		c.Node("db2").StopReplication(t)
		wantBehind(t, c, c.Node("db3"), "1")
		c.Node("db2").StartReplication(t)
		wantCaughtUp(t, c)
	})
}

// A container that was unplugged comes back at its address.
func TestUnplug(t *testing.T) {
	Each(t, func(t *testing.T, o Options) {
		o.Followers = 1
		c := Start(t, o)
		c.Exec(t, makeTable)
		wantCaughtUp(t, c)
		db2 := c.Node("db2")
		Must(t, db2.Unplug())
		wantBehind(t, c, db2, "1")
		if err := ask(t, throughLink(t, db2), silence); err == nil {
			t.Error("an unplugged node answered")
		}
		Must(t, db2.Plug())
		wantCaughtUp(t, c)
		Must(t, ask(t, throughLink(t, db2), time.Minute))
	})
}

func TestImageFlavor(t *testing.T) {
	for image, want := range map[string]string{
		"mysql:8.4":                     "mysql-8.4",
		"mariadb:11.4":                  "mariadb-11.4",
		"example.test:5000/x/mysql:9.1": "mysql-9.1",
		"mariadb":                       "mariadb",
		"mysql:latest":                  "mysql",
	} {
		if got := imageFlavor(image); got != want {
			t.Errorf("flavour of %s: %s, want %s", image, got, want)
		}
	}
}

func TestOverlay(t *testing.T) {
	for _, tc := range []struct{ name, base, over, want string }{
		{"maps are merged", "a: {b: 1, c: 2}", "a: {c: 3}", "a:\n    b: 1\n    c: 3\n"},
		{"lists are replaced", "a: [1, 2]", "a: [3]", "a:\n    - 3\n"},
		{"new keys are added", "a: 1", "b: {c: 2}", "a: 1\nb:\n    c: 2\n"},
		{"a map over a value", "a: 1", "a: {b: 2}", "a:\n    b: 2\n"},
		{"nothing over something", "a: 1", "", "a: 1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Overlay(tc.base, tc.over)
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
	if _, err := Overlay("a: 1", "b: ["); err == nil {
		t.Error("broken YAML accepted")
	}
}
