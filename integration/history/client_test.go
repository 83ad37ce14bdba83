package history

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// patience bounds one statement: beyond it a client would call it a hang.
const patience = time.Minute

// role is what a session is: where it connects and what it asks for.
type role struct {
	proxy  *cluster.ProxyProcess
	level  Level
	setup  []string // statements of a new session
	hint   string   // before its reads
	tokens bool     // it hands tokens to others, and takes theirs
}

// client is one session. Only one goroutine uses it at a time.
type client struct {
	role
	run     *run
	session int
	r       *rand.Rand
	conn    driver.Conn
	read3   driver.Stmt // nil where it speaks the text protocol
	ops     []Op

	wrote, saw int // the keys of the last write and read
}

const readColumns = "SELECT k, version, writer, (SELECT name FROM whoami WHERE id = 1) FROM kv WHERE k IN "

// connect makes the connection; half of the sessions prepare their reads.
func (c *client) connect(ctx context.Context) error {
	cfg, err := mysql.ParseDSN(c.proxy.DSN(sandbox.AppAccount, sandbox.AppSchema, ""))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{}
	dial, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	if c.conn, err = dial.Connect(ctx); err != nil {
		return err
	}
	for _, s := range c.setup {
		if err := c.exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if c.session%2 == 0 {
		if c.read3, err = c.conn.(driver.ConnPrepareContext).PrepareContext(ctx, c.hint+readColumns+"(?, ?, ?)"); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.read3 = nil, nil
	}
}

func (c *client) exec(ctx context.Context, text string) error {
	_, err := c.conn.(driver.ExecerContext).ExecContext(ctx, text, nil)
	return err
}

// query returns the rows as text, whatever the protocol.
func (c *client) query(ctx context.Context, text string, args ...driver.NamedValue) (out [][]string, err error) {
	var rows driver.Rows
	if len(args) > 0 {
		rows, err = c.read3.(driver.StmtQueryContext).QueryContext(ctx, args)
	} else {
		rows, err = c.conn.(driver.QueryerContext).QueryContext(ctx, text, nil)
	}
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(values); errors.Is(err, io.EOF) {
			return out, rows.Close()
		} else if err != nil {
			return out, errors.Join(err, rows.Close())
		}
		row := make([]string, len(values))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				row[i] = string(b)
			} else {
				row[i] = fmt.Sprint(v)
			}
		}
		out = append(out, row)
	}
}

// burst runs some operations one after the other. After an error the session is
// over: the next one begins with nothing seen and nothing written.
func (c *client) burst(ctx context.Context) {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			c.run.failed(c, "connect", err)
			c.close()
			return
		}
		c.run.connected.Add(1)
	}
	for range 4 + c.r.IntN(16) {
		if ctx.Err() != nil {
			return
		}
		op, err := c.step()
		op.Session, op.Level = c.session, c.level
		op.Failed = err != nil
		c.ops = append(c.ops, op)
		if err != nil {
			c.run.failed(c, [...]string{"write", "read", "give", "take"}[op.Kind], err)
			c.close()
			c.session = c.run.newSession()
			return
		}
		if op.Kind == Read {
			c.run.reads.Add(1)
		}
	}
}

// step runs one operation.
func (c *client) step() (Op, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	op := Op{Start: c.run.now()}
	var err error
	switch n := c.r.IntN(100); {
	case n < 12:
		err = c.write(ctx, &op)
	case n < 16 && c.tokens:
		err = c.give(ctx, &op)
	case n < 20 && c.tokens:
		err = c.take(ctx, &op)
	default:
		err = c.read(ctx, &op)
	}
	op.End = c.run.now()
	return op, err
}

// write adds one to a row's version; the answer's insert id is the new one. Some
// writes are transactions, which also read.
func (c *client) write(ctx context.Context, op *Op) error {
	op.Kind, op.ID = Write, int(c.run.writes.Add(1))
	op.Seen = []Seen{{Key: c.r.IntN(keys)}}
	text := fmt.Sprintf("UPDATE kv SET version = LAST_INSERT_ID(version + 1), writer = %d WHERE k = %d", op.ID, op.Seen[0].Key)
	inTransaction := c.r.IntN(4) == 0
	if inTransaction {
		if err := c.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		if _, err := c.query(ctx, readColumns+"(1)"); err != nil {
			return err
		}
	}
	res, err := c.conn.(driver.ExecerContext).ExecContext(ctx, text, nil)
	if err != nil {
		return err
	}
	version, err := res.LastInsertId()
	if err != nil {
		return err
	}
	op.Seen[0].Version = int(version)
	c.wrote = op.Seen[0].Key
	if inTransaction {
		return c.exec(ctx, "COMMIT")
	}
	return nil
}

func (c *client) read(ctx context.Context, op *Op) (err error) {
	op.Kind = Read
	// What the session wrote and read last is where it would find itself back in time.
	k := [3]int{c.wrote, c.saw, c.r.IntN(keys)}
	c.saw = k[2]
	var rows [][]string
	if c.read3 != nil {
		var args []driver.NamedValue
		for i, k := range k {
			args = append(args, driver.NamedValue{Ordinal: i + 1, Value: int64(k)})
		}
		rows, err = c.query(ctx, "", args...)
	} else {
		rows, err = c.query(ctx, fmt.Sprintf("%s%s(%d, %d, %d)", c.hint, readColumns, k[0], k[1], k[2]))
	}
	if err != nil {
		return err
	}
	for _, row := range rows {
		var n [3]int
		for i := range n {
			if n[i], err = strconv.Atoi(row[i]); err != nil {
				return err
			}
		}
		op.Seen = append(op.Seen, Seen{n[0], n[1], n[2]})
		op.Node = nodeName(row[3])
	}
	if len(rows) == 0 {
		return errors.New("no rows")
	}
	return nil
}

// nodeName is one of few strings, so that a million reads do not hold a million of them.
func nodeName(s string) string {
	for _, name := range [...]string{"db1", "db2", "db3"} {
		if s == name {
			return name
		}
	}
	return strings.Clone(s)
}

// give asks for the session's token and leaves it for others.
func (c *client) give(ctx context.Context, op *Op) error {
	op.Kind = Give
	rows, err := c.query(ctx, "SELECT @@bellwether_token")
	if err != nil {
		return err
	}
	op.ID = c.run.board.post(rows[0][0])
	return nil
}

// take takes another session's token; without one there is nothing to do.
func (c *client) take(ctx context.Context, op *Op) error {
	tok, ok := c.run.board.pick(c.r)
	if !ok {
		return c.read(ctx, op)
	}
	op.Kind, op.ID = Take, tok.id
	return c.exec(ctx, "SET bellwether_token = '"+tok.text+"'")
}
