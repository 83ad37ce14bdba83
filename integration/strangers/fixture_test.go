package strangers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// patience bounds one statement.
const patience = 30 * time.Second

// connections is how many connections to one node all clients share.
const connections = 4

// sharing lets sessions share few connections.
var sharing = fmt.Sprintf("pool: {mode: transaction, max_per_node: %d, wait: 8s}\nrouting: {max_lag: 1m}\n", connections)

type fixture struct {
	*cluster.Cluster
	proxy   *cluster.ProxyProcess
	mariadb bool
	// tying bounds the sessions that leave at one time what no other connection can be
	// given: each of them keeps a connection for itself.
	tying chan struct{}
}

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Followers = 1
	f := &fixture{
		Cluster: cluster.Start(t, o), mariadb: strings.HasPrefix(o.Flavor, "mariadb"),
		tying: make(chan struct{}, connections-2),
	}
	f.Exec(t,
		"CREATE DATABASE other", "GRANT ALL ON other.* TO '"+sandbox.AppAccount.User+"'@'%'",
		"CREATE TABLE shop.numbered (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE shop.rolled (id INT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE shop.counted (n INT NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE shop.fired (n INT NOT NULL) ENGINE=InnoDB",
		"CREATE TRIGGER shop.fires BEFORE INSERT ON shop.fired FOR EACH ROW SET @fired = NEW.n",
		"CREATE TABLE shop.named (name VARCHAR(20)) ENGINE=InnoDB", "INSERT INTO shop.named VALUES ('shop')",
		"CREATE TABLE other.named (name VARCHAR(20)) ENGINE=InnoDB", "INSERT INTO other.named VALUES ('other')",
		"CREATE TABLE shop.big (client INT PRIMARY KEY, body LONGBLOB) ENGINE=InnoDB",
		"CREATE TABLE shop.list (n INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO shop.list VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"CREATE TABLE shop.locked (n INT) ENGINE=InnoDB",
		"CREATE ROLE reader", "GRANT SELECT ON shop.* TO reader", "GRANT reader TO '"+sandbox.AppAccount.User+"'@'%'",
	)
	f.WaitReplicated(t)
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{sharing}, overrides...)...)
	return f
}

// client is one session through the proxy.
type client struct {
	f    *fixture
	conn *sql.Conn
	db   *sql.DB
	n    int // its number, by which it knows its own state
	// base is what a session begins with.
	base map[string]string
}

func (f *fixture) open(n int, params string) (*client, error) {
	cfg, err := mysql.ParseDSN(f.proxy.DSN(sandbox.AppAccount, sandbox.AppSchema, params))
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &client{f: f, conn: conn, db: db, n: n}, nil
}

func (c *client) close() { _, _ = c.conn.Close(), c.db.Close() }

func (c *client) exec(statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.conn.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// all runs statements until one fails.
func (c *client) all(statements ...string) error {
	for _, s := range statements {
		if err := c.exec(s); err != nil {
			return err
		}
	}
	return nil
}

// ask returns the first column of the first row, NULL and nothing as such.
func (c *client) ask(query string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := c.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", query, err)
	}
	defer func() { _ = rows.Close() }()
	got := "nothing"
	if rows.Next() {
		columns, err := rows.Columns()
		if err != nil {
			return "", err
		}
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		got = "NULL"
		if values[0].Valid {
			got = values[0].String
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", query, err)
	}
	return got, nil
}

// want says what is wrong where the answer is another.
func (c *client) want(want, query string, args ...any) error {
	got, err := c.ask(query, args...)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: %q, want %q", query, got, want)
	}
	return nil
}

// errorNumber is the server's number of an error, 0 for none.
func errorNumber(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// together runs f n times at once.
func together(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
