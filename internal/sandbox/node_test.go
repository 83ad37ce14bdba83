package sandbox

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// eventually calls ok until it is true; the test's own deadline bounds it.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := testContext(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came true: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestNodeLifecycle(t *testing.T) {
	eachServer(t, func(t *testing.T, s *Server) {
		c := startCluster(t, s, 0, nil)
		n, ctx := c.Leader, testContext(t)
		port := n.Port()
		if err := execAll(ctx, n.DB(), "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"); err != nil {
			t.Fatal(err)
		}

		t.Run("paused, it answers nothing; continued, it answers what waited", func(t *testing.T) {
			if err := n.Pause(); err != nil {
				t.Fatal(err)
			}
			answered := make(chan error, 1)
			go func() {
				var one int
				answered <- n.DB().QueryRowContext(ctx, "SELECT 1").Scan(&one)
			}()
			if state := processState(t, n.PID()); state != "T" {
				t.Errorf("state %s in /proc", state)
			}
			select {
			case err := <-answered:
				t.Fatalf("a stopped server answered: %v", err)
			default:
			}
			if err := n.Continue(); err != nil {
				t.Fatal(err)
			}
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
		})

		t.Run("killed while paused, it starts again with its data and port", func(t *testing.T) {
			if err := errors.Join(n.Pause(), n.Kill(), n.Start(ctx)); err != nil {
				t.Fatal(err)
			}
			var rows int
			if err := n.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM shop.t").Scan(&rows); err != nil || rows != 1 {
				t.Errorf("%d rows, %v", rows, err)
			}
			if n.Port() != port {
				t.Errorf("port %d, was %d", n.Port(), port)
			}
		})

		t.Run("restarted and stopped", func(t *testing.T) {
			old := n.PID()
			if err := n.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if n.PID() == old {
				t.Error("the same process after a restart")
			}
			if err := n.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if n.PID() != 0 {
				t.Error("has a process after Stop")
			}
			if err := n.Pause(); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Pause of a stopped node: %v", err)
			}
		})

		t.Run("a failed start shows the server's log", func(t *testing.T) {
			bad, err := NewNode(NodeOptions{Server: s, Name: "bad", Dir: shortDir(t), ServerID: 9, ExtraArgs: []string{"--no-such-option"}})
			if err != nil {
				t.Fatal(err)
			}
			err = bad.Start(ctx)
			if err == nil || !strings.Contains(err.Error(), "no-such-option") {
				t.Errorf("error: %v", err)
			}
			if err := bad.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// processState is the letter of /proc/PID/stat, or "" when there is no such process.
func processState(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	after := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return strings.Fields(after)[0]
}

// TestServerDiesWithItsStarter runs this test binary again as a process that
// starts a server, and kills that process in three ways.
func TestServerDiesWithItsStarter(t *testing.T) {
	if dir := os.Getenv("SANDBOX_TEST_CHILD_DIR"); dir != "" {
		childStartsServer(t, dir, os.Getenv("SANDBOX_TEST_CHILD_END"))
		return
	}
	for _, end := range []string{"sigkill", "panic", "exit"} {
		t.Run(end, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestServerDiesWithItsStarter$")
			cmd.Env = append(os.Environ(), "SANDBOX_TEST_CHILD_DIR="+shortDir(t), "SANDBOX_TEST_CHILD_END="+end)
			// Not StdoutPipe: waiting for the process closes that, read or not.
			out, childsOut, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = out.Close() }()
			cmd.Stdout = childsOut
			p, err := StartProcess(cmd)
			_ = childsOut.Close()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			pid := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if text, ok := strings.CutPrefix(lines.Text(), "server pid "); ok {
					if pid, err = strconv.Atoi(text); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
			if pid == 0 {
				t.Fatal("the child started no server")
			}
			if end == "sigkill" {
				if err := p.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			<-p.Done()
			// Reaped by whoever inherits it: gone, or a zombie for a moment.
			eventually(t, "the server is gone", func() bool {
				s := processState(t, pid)
				return s == "" || s == "Z"
			})
		})
	}
}

func childStartsServer(t *testing.T, dir, end string) {
	s, err := Find(t.Context(), flavors()[0])
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNode(NodeOptions{Server: s, Name: "db1", Dir: dir, ServerID: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("server pid %d\n", n.PID())
	switch end {
	case "panic":
		panic("as a failing test would")
	case "exit":
		os.Exit(3)
	default:
		select {} // until killed
	}
}

func openAs(t *testing.T, n *Node, a Account) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = a.User, a.Password, "tcp", n.Addr()
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestProxyGrantsSuffice does, as Bellwether's own account, what Bellwether does.
func TestProxyGrantsSuffice(t *testing.T) {
	eachServer(t, func(t *testing.T, s *Server) {
		c := startCluster(t, s, 1, func(_ int, o *NodeOptions) { o.PerformanceSchema = true })
		ctx := testContext(t)
		err := execAll(ctx, c.Leader.DB(),
			"CREATE TABLE shop.t (id INT PRIMARY KEY)",
			"CREATE FUNCTION shop.f() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM shop.t)",
			"CREATE VIEW shop.v AS SELECT id FROM shop.t")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WaitReplicated(ctx); err != nil {
			t.Fatal(err)
		}
		leader, follower := openAs(t, c.Leader, ProxyAccount), openAs(t, c.Followers[0], ProxyAccount)

		t.Run("positions and status", func(t *testing.T) {
			if _, err := Position(ctx, leader, s.Flavor); err != nil {
				t.Error(err)
			}
			receiving, applying, err := Replicating(ctx, follower, s.Flavor)
			if !receiving || !applying || err != nil {
				t.Errorf("receiving %v, applying %v, %v", receiving, applying, err)
			}
			binlogStatus := "SHOW BINARY LOG STATUS"
			if s.Flavor == gtid.MariaDB {
				binlogStatus = "SHOW MASTER STATUS"
			}
			if err := execAll(ctx, leader, binlogStatus); err != nil {
				t.Error(err)
			}
		})
		t.Run("definitions", func(t *testing.T) {
			wantText(t, leader, "return", "SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='shop' AND ROUTINE_NAME='f'")
			wantText(t, leader, "READS SQL DATA", "SELECT SQL_DATA_ACCESS FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='shop' AND ROUTINE_NAME='f'")
			wantText(t, leader, "select", "SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA='shop' AND TABLE_NAME='v'")
		})
		t.Run("accounts", func(t *testing.T) {
			query := "SELECT authentication_string FROM mysql.user WHERE User='app'"
			if s.Flavor == gtid.MariaDB {
				query = "SELECT Priv FROM mysql.global_priv WHERE User='app'"
			}
			wantText(t, leader, "", query)
		})
		t.Run("heartbeat", func(t *testing.T) {
			err := execAll(ctx, leader, "CREATE TABLE bellwether.heartbeat (id INT PRIMARY KEY)", "REPLACE INTO bellwether.heartbeat VALUES (1)")
			if err != nil {
				t.Error(err)
			}
		})
		t.Run("kill another's statement", func(t *testing.T) { killAnothers(ctx, t, c.Leader, leader) })
		t.Run("nothing more", func(t *testing.T) {
			var m *mysql.MySQLError
			for _, q := range []string{"INSERT INTO shop.t VALUES (7)", "SET GLOBAL read_only=0", "DROP USER app"} {
				if err := execAll(ctx, leader, q); !errors.As(err, &m) {
					t.Errorf("%s: %v; want a refusal", q, err)
				}
			}
			if err := execAll(ctx, follower, "CREATE TABLE bellwether.x (id INT)"); !errors.As(err, &m) || m.Number != 1290 {
				t.Errorf("write on a follower: %v; want 1290", err)
			}
		})
	})
}

func wantText(t *testing.T, db *sql.DB, part, query string) {
	t.Helper()
	var got sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	if got.String == "" || !strings.Contains(strings.ToLower(got.String), strings.ToLower(part)) {
		t.Errorf("%s: %q, want something with %q", query, got.String, part)
	}
}

func killAnothers(ctx context.Context, t *testing.T, n *Node, proxy *sql.DB) {
	conn, err := openAs(t, n, AppAccount).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var id int64
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		var result int
		err := conn.QueryRowContext(ctx, "SELECT SLEEP(60)").Scan(&result)
		if err == nil && result != 1 { // SLEEP says 1 when it was interrupted
			err = errors.New("slept to the end")
		}
		ended <- err
	}()
	eventually(t, "the statement is seen", func() bool {
		var found int
		err := proxy.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID=? AND INFO LIKE '%SLEEP%'", id).Scan(&found)
		return err == nil && found == 1
	})
	if _, err := proxy.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id)); err != nil {
		t.Fatal(err)
	}
	var m *mysql.MySQLError
	if err := <-ended; err != nil && (!errors.As(err, &m) || m.Number != 1317) {
		t.Errorf("the killed statement: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	eachServer(t, func(t *testing.T, s *Server) {
		certs, err := NewCerts(shortDir(t), "localhost", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		c := startCluster(t, s, 0, func(_ int, o *NodeOptions) { o.TLS = certs })
		if err := mysql.RegisterTLSConfig("sandbox", certs.ClientTLS(t)); err != nil {
			t.Fatal(err)
		}
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.TLSConfig = "app", "app", "tcp", c.Leader.Addr(), "sandbox"
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer func() { _ = db.Close() }()
		var name, cipher string
		if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
			t.Errorf("cipher %q, %v", cipher, err)
		}
	})
}
