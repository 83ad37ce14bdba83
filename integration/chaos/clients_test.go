package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

const (
	numAccounts = 8
	// each is what every account begins with.
	startBalance = 1000
	// opTimeout bounds one operation of a client, as an impatient one's would.
	opTimeout = 20 * time.Second
)

// row is a row of the ledger: what one client wrote under a number of its own.
type row struct{ client, n int }

// outcome is what a client was told of a write.
type outcome uint8

const (
	acked   outcome = iota
	absent          // it was told that nothing was done
	unknown         // it was told that it is not known, or nothing
)

// records is what all clients were told since the last check.
type records struct {
	mu   sync.Mutex // guards the map
	told map[row]outcome

	acked, unknown, absent, reads, failedReads atomic.Int64 // since the start
}

func (r *records) tell(w row, o outcome) {
	r.mu.Lock()
	r.told[w] = o
	r.mu.Unlock()
	[]*atomic.Int64{&r.acked, &r.absent, &r.unknown}[o].Add(1)
}

// take returns what was told and begins anew.
func (r *records) take() map[row]outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.told
	r.told = map[row]outcome{}
	return told
}

// client writes to the ledger, alone and as part of a transfer, and reads.
type client struct {
	id   int
	n    int
	db   *sql.DB
	rnd  *rand.Rand
	out  *records
	gate *sync.RWMutex // held for writing while everything stands still
}

// newPool returns connections through the proxy that has that address at the time.
func newPool(address func() string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr = sandbox.AppAccount.User, sandbox.AppAccount.Password, sandbox.AppSchema, "tcp", "proxy:1"
	c.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address())
	}
	c.InterpolateParams = true
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.gate.RLock()
		failed := c.step(context.WithoutCancel(ctx))
		c.gate.RUnlock()
		pause := time.Duration(1+c.rnd.IntN(8)) * time.Millisecond
		if failed {
			pause = 20 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

// step does one operation and records what it was told.
func (c *client) step(ctx context.Context) (failed bool) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	switch c.rnd.IntN(4) {
	case 0:
		var sum int
		if err := c.db.QueryRowContext(ctx, "SELECT SUM(balance) FROM accounts").Scan(&sum); err != nil {
			c.out.failedReads.Add(1)
			return true
		}
		c.out.reads.Add(1)
		return false
	case 1:
		c.n++
		_, err := c.db.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (?, ?)", c.id, c.n)
		c.out.tell(row{c.id, c.n}, told(err))
		return err != nil
	default:
		c.n++
		o := c.transfer(ctx)
		c.out.tell(row{c.id, c.n}, o)
		return o != acked
	}
}

// transfer moves money, with a row of the ledger in the same transaction.
func (c *client) transfer(ctx context.Context) outcome {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return absent
	}
	from := c.rnd.IntN(numAccounts)
	to := (from + 1 + c.rnd.IntN(numAccounts-1)) % numAccounts
	amount := 1 + c.rnd.IntN(50)
	for _, q := range []string{
		fmt.Sprintf("UPDATE accounts SET balance = balance - %d WHERE id = %d", amount, min(from, to)),
		fmt.Sprintf("UPDATE accounts SET balance = balance + %d WHERE id = %d", amount, max(from, to)),
		fmt.Sprintf("INSERT INTO ledger (client, n) VALUES (%d, %d)", c.id, c.n),
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			_ = tx.Rollback()
			return absent // COMMIT was never sent
		}
	}
	return told(tx.Commit())
}

// told is what an error means to the one who wrote.
func told(err error) outcome {
	me, ok := errors.AsType[*mysql.MySQLError](err)
	op, dialled := errors.AsType[*net.OpError](err)
	switch {
	case err == nil:
		return acked
	case dialled && op.Op == "dial":
		return absent // the proxy is not there
	case ok && (strings.Contains(me.Message, "nothing was executed") || me.Number == 1213 || me.Number == 1205 || me.Number == 1290):
		return absent
	default:
		return unknown
	}
}
