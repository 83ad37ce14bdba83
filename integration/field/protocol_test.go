package field

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pires/go-proxyproto"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// preparedFew says whether no node has more prepared statements than pool.max_prepared
// allows for each connection of clients.
func (f *fixture) preparedFew(t *testing.T) bool {
	t.Helper()
	for _, n := range f.Nodes() {
		connections := n.Text(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '"+sandbox.AppAccount.User+"'")
		limit, err := strconv.Atoi(connections)
		cluster.Must(t, err)
		if status(t, n, "Prepared_stmt_count") > 50*limit {
			return false
		}
	}
	return true
}

// Prepared statements that a client closed do not stay on the servers.
func TestField10PreparedStatementsDoNotPileUp(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for range 5 {
			s := f.open(t, "")
			for i := range 300 {
				st, err := s.PrepareContext(ctx, fmt.Sprintf("SELECT %d, name FROM whoami WHERE id = ?", i))
				cluster.Must(t, err)
				var n int
				var name string
				cluster.Must(t, st.QueryRow(1).Scan(&n, &name), st.Close())
				if n != i || name == leader {
					t.Fatalf("statement %d gave %d on %s", i, n, name)
				}
			}
		}
		cluster.Eventually(t, "closed statements are closed on the nodes", func() bool { return f.preparedFew(t) })
		s := f.open(t, "")
		for range 200 { // never closed, but the session ends
			_, err := s.PrepareContext(ctx, "SELECT name FROM whoami WHERE id = ?")
			cluster.Must(t, err)
		}
		s.end()
		cluster.Eventually(t, "statements of an ended session are closed on the nodes", func() bool { return f.preparedFew(t) })
	})
}

// Statements that are all different do not fill the memory.
func TestField11DigestMemoryIsBounded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.open(t, "")
		spend := func(from, to int) {
			for i := from; i < to; i++ {
				s.want("1", fmt.Sprintf("SELECT id AS column_%d_%s FROM whoami AS w%d", i, strings.Repeat("x", 40), i))
			}
		}
		spend(0, 5000) // let the tables and the heap reach their sizes
		before := residentKiB(t, f.proxy.PID())
		spend(5000, 25000)
		grown := residentKiB(t, f.proxy.PID()) - before
		t.Logf("20,000 more digests: %d KiB", grown)
		if grown > 24<<10 { // 20,000 texts and counters kept would be more
			t.Errorf("the memory grew by %d KiB", grown)
		}
	})
}

func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	cluster.Must(t, err)
	var kib int
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	_, err = fmt.Sscan(rest, &kib)
	cluster.Must(t, err)
	return kib
}

// A server-side cursor is opened, read in pieces, and left open beside other statements.
func TestField12Cursors(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for i := range 50 {
			f.Exec(t, fmt.Sprintf("INSERT INTO shop.t (id, v) VALUES (%d, 'row %d')", 100+i, i))
		}
		f.WaitReplicated(t)
		c, err := rawclient.Dial(rawclient.Options{
			Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: app,
		})
		cluster.Must(t, err)
		defer c.Close()
		id, _, err := c.Prepare("SELECT v FROM t WHERE id >= 100 ORDER BY id")
		cluster.Must(t, err)
		opened, err := c.Execute(id, 1) // CURSOR_TYPE_READ_ONLY
		cluster.Must(t, err)
		if strings.Contains(string(opened), "row 0") {
			t.Errorf("rows came with the execution: %q", opened)
		}
		fetch := func(n uint32) string {
			arg := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, id), n)
			answer, err := c.Command(wire.ComStmtFetch, arg)
			cluster.Must(t, err)
			return string(answer)
		}
		first := fetch(10)
		if !strings.Contains(first, "row 9") || strings.Contains(first, "row 10") {
			t.Errorf("the first ten rows: %q", first)
		}
		between, err := c.Query("SELECT COUNT(*) FROM t WHERE id >= 100")
		cluster.Must(t, err)
		if !strings.Contains(string(between), "50") {
			t.Errorf("beside the cursor: %q", between)
		}
		if rest := fetch(1000); !strings.Contains(rest, "row 10") || !strings.Contains(rest, "row 49") {
			t.Errorf("the rest: %q", rest)
		}
	})
}

// LOAD DATA LOCAL works, reads the client's data and never a file of the proxy.
func TestField13LoadDataLocal(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		mysql.RegisterReaderHandler("field13", func() io.Reader {
			return strings.NewReader("2001\t1\tfrom the client\n2002\t2\tagain\n")
		})
		defer mysql.DeregisterReaderHandler("field13")
		s := f.open(t, "")
		r := s.exec("LOAD DATA LOCAL INFILE 'Reader::field13' INTO TABLE t")
		if n, err := r.RowsAffected(); n != 2 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		s.want("from the client;again", "SELECT v FROM t WHERE id > 2000 ORDER BY id")

		// The client refuses: nothing is read anywhere, and the session goes on.
		secret := t.TempDir() + "/of-the-proxy"
		cluster.Must(t, os.WriteFile(secret, []byte("3001\t1\tsecret\n"), 0o644))
		if _, err := s.tryRows("LOAD DATA LOCAL INFILE '" + secret + "' INTO TABLE t"); err == nil {
			t.Error("a file that the client does not allow was loaded")
		}
		s.want("0", "SELECT COUNT(*) FROM t WHERE id > 3000")
		s.want("1", "SELECT 1")
	})
}

// KILL takes the ids that clients see, from the handshake and from SQL, wherever
// the statement runs.
func TestField14KillByTheClientsID(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Exec(t, "CREATE TABLE shop.numbers (n INT)", "INSERT INTO shop.numbers VALUES (1)"+strings.Repeat(",(1)", 1999))
		f.WaitReplicated(t)
		killer := f.open(t, "")
		for _, c := range []struct{ name, query string }{
			{"on a follower", "SELECT SUM(a.n + b.n * c.n) FROM numbers a, numbers b, numbers c"},
			{"on the leader", "SELECT SUM(a.n + b.n * c.n) FROM numbers a, numbers b, numbers c FOR UPDATE"},
		} {
			t.Run(c.name, func(t *testing.T) {
				victim := f.open(t, "")
				id := victim.connectionID()
				ended := make(chan error, 1)
				go func() {
					_, err := victim.tryRows(c.query)
					ended <- err
				}()
				// Nobody knows when the query begins, so the KILL is repeated.
				for deadline := time.Now().Add(time.Minute); ; {
					killer.exec(fmt.Sprintf("KILL QUERY %d", id))
					select {
					case err := <-ended:
						if errorNumber(t, err) != 1317 {
							t.Errorf("the statement ended with %v", err)
						}
						victim.want("1", "SELECT 1")
						return
					case <-time.After(50 * time.Millisecond):
					}
					if time.Now().After(deadline) {
						t.Fatal("the statement was not killed")
					}
				}
			})
		}
		victim := f.open(t, "")
		killer.exec(fmt.Sprintf("KILL %d", victim.connectionID()))
		cluster.Eventually(t, "the session is gone", func() bool { return victim.PingContext(t.Context()) != nil })

		if _, err := killer.tryRows("KILL 4000000000"); errorNumber(t, err) != 1094 {
			t.Errorf("an unknown id: %v", err)
		}
		f.Exec(t, "CREATE USER '"+somebody+"'@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON shop.* TO '"+somebody+"'@'%'")
		var other *session
		cluster.Eventually(t, "the new account is let in", func() bool {
			var err error
			other, err = f.tryOpen(t, sandbox.Account{User: somebody, Password: "x"}, app, "")
			return err == nil
		})
		if _, err := other.tryRows(fmt.Sprintf("KILL QUERY %d", killer.connectionID())); errorNumber(t, err) != 1095 {
			t.Errorf("another user's session: %v, want error 1095", err)
		}
	})
}

// A follower that falls behind takes no new reads, but running ones finish there.
func TestField16LagKillsNoRunningQuery(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		readers := make([]*session, 4)
		for i := range readers {
			readers[i] = f.open(t, "")
			readers[i].onFollower(whoami)
		}
		// The reads wait for a lock that is held on each follower.
		for _, n := range f.Followers() {
			conn, err := n.DB().Conn(t.Context())
			cluster.Must(t, err)
			if f.Flavor == gtid.MySQL { // which refuses the lock otherwise; read_only stays on
				n.Exec(t, "SET GLOBAL super_read_only = 0")
			}
			_, err = conn.ExecContext(t.Context(), "LOCK TABLES shop.whoami WRITE")
			cluster.Must(t, err)
			defer func() { _ = conn.Close() }()
			defer func() { _, _ = conn.ExecContext(context.Background(), "UNLOCK TABLES") }()
			n.StopApplying(t)
		}
		answers := make(chan string, len(readers))
		for _, r := range readers {
			go func() {
				text, err := r.tryRows(whoami + " WHERE id < 2")
				answers <- fmt.Sprint(text, err)
			}()
		}
		waiting := func() int {
			sum := 0
			for _, n := range f.Followers() {
				var count int
				cluster.Must(t, n.DB().QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT name FROM whoami%'").Scan(&count))
				sum += count
			}
			return sum
		}
		cluster.Eventually(t, "the reads wait on the followers", func() bool { return waiting() == len(readers) })
		f.Exec(t, "INSERT INTO shop.t (n) VALUES (1)")
		cluster.Eventually(t, "no follower serves reads", func() bool { return f.eligible(t) == 0 })
		if n := waiting(); n != len(readers) {
			t.Errorf("%d reads still run, want %d", n, len(readers))
		}
		f.open(t, "").onLeader(whoami)
		for _, n := range f.Followers() {
			n.Exec(t, killLockHolders(t, n)...)
		}
		for range readers {
			if got := <-answers; !strings.HasPrefix(got, "db2") && !strings.HasPrefix(got, "db3") {
				t.Errorf("a read that was running gave %s", got)
			}
		}
	}, "routing: {max_lag: 300ms}")
}

// killLockHolders are statements that end the session which holds whoami's lock.
func killLockHolders(t *testing.T, n *cluster.Node) []string {
	t.Helper()
	rows, err := n.DB().Query("SELECT id FROM information_schema.processlist WHERE user = 'root' AND command = 'Sleep' AND id <> CONNECTION_ID()")
	cluster.Must(t, err)
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var id int64
		cluster.Must(t, rows.Scan(&id))
		out = append(out, fmt.Sprintf("KILL %d", id))
	}
	cluster.Must(t, rows.Err())
	return out
}

// The client's own address decides about its account, and the nodes see it.
func TestField20ClientAddressIsNotHidden(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		out := "off"
		if strings.HasPrefix(o.Flavor, "mariadb") {
			o.ExtraArgs = append(o.ExtraArgs, "--proxy-protocol-networks=127.0.0.0/8")
			out = "v1"
		}
		f := start(t, o, "listen: {proxy_protocol: {trusted: [127.0.0.1/32]}}", "cluster: {proxy_protocol: "+out+"}")
		host := "10.9.8.7"
		if f.Flavor == gtid.MySQL { // it cannot be told the client's address, so accounts must not depend on it
			host = "%"
		}
		f.Exec(t, "CREATE USER '"+somebody+"'@'"+host+"' IDENTIFIED BY 'x'", "GRANT SELECT ON shop.* TO '"+somebody+"'@'"+host+"'")
		f.WaitReplicated(t)
		account := sandbox.Account{User: somebody, Password: "x"}
		for _, version := range []byte{1, 2} {
			dial := func(from string) func(context.Context, string) (net.Conn, error) {
				return func(_ context.Context, addr string) (net.Conn, error) {
					conn, err := net.Dial("tcp", addr)
					if err != nil {
						return nil, err
					}
					source := &net.TCPAddr{IP: net.ParseIP(from), Port: 4711}
					_, err = proxyproto.HeaderProxyFromAddrs(version, source, conn.RemoteAddr()).WriteTo(conn)
					return conn, err
				}
			}
			mysql.RegisterDialContext("here", dial("10.9.8.7"))
			mysql.RegisterDialContext("elsewhere", dial("10.9.8.8"))
			open := func(network string) (*session, error) {
				cfg, err := mysql.ParseDSN(f.proxy.DSN(account, app, ""))
				cluster.Must(t, err)
				cfg.Net = network
				return f.openConfig(t, cfg)
			}
			var s *session
			cluster.Eventually(t, "the account is let in from its address", func() bool {
				var err error
				s, err = open("here")
				return err == nil
			})
			s.onFollower(whoami)
			if f.Flavor == gtid.MariaDB {
				s.want(somebody+"@10.9.8.7", "SELECT USER()")
			}
			if f.Flavor == gtid.MySQL {
				account.Password = "wrong"
			}
			_, err := open("elsewhere")
			account.Password = "x"
			if e := mysqlError(err); e.Number != 1045 || !strings.Contains(e.Message, "'"+somebody+"'@'10.9.8.8'") {
				t.Errorf("from another address: %v", err)
			}
		}
	})
}
