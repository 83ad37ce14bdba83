package catalog

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDecodePriv(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name, json      string
		defaultLifetime int
		want            accounts.Account
	}{
		{
			"password", `{"access":0,"plugin":"mysql_native_password","authentication_string":"*AB","password_last_changed":1795409094}`, 0,
			accounts.Account{Plugin: "mysql_native_password", AuthString: "*AB"},
		},
		{"nothing", `{"access":18446744073709551615}`, 0, accounts.Account{Plugin: "mysql_native_password"}},
		{
			"locked, X509", `{"plugin":"p","ssl_type":2,"account_locked":true}`, 0,
			accounts.Account{Plugin: "p", SSLType: "X509", Locked: true},
		},
		{
			"specified", `{"plugin":"p","ssl_type":3,"x509_subject":"/CN=x","max_user_connections":3}`, 0,
			accounts.Account{Plugin: "p", SSLType: "SPECIFIED", X509Subject: "/CN=x", MaxConnections: 3},
		},
		{
			"expired at once, role", `{"plugin":"p","password_last_changed":0,"password_lifetime":-1,"default_role":"r1"}`, 0,
			accounts.Account{Plugin: "p", PasswordExpired: true, DefaultRole: "r1"},
		},
		{
			"expired by its own lifetime", `{"plugin":"p","password_last_changed":1799000000,"password_lifetime":5}`, 0,
			accounts.Account{Plugin: "p", PasswordExpired: true},
		},
		{"never expires", `{"plugin":"p","password_last_changed":1,"password_lifetime":0}`, 5, accounts.Account{Plugin: "p"}},
		{"expired by the default", `{"plugin":"p","password_last_changed":1}`, 5, accounts.Account{Plugin: "p", PasswordExpired: true}},
		{
			"a or b", `{"plugin":"mysql_native_password","authentication_string":"*AB","auth_or":[{"plugin":"unix_socket"},{}]}`, 0,
			accounts.Account{Plugin: "unix_socket", Alternatives: []accounts.Credential{{Plugin: "mysql_native_password", AuthString: "*AB"}}},
		},
		{"role", `{"access":0,"is_role":true}`, 0, accounts.Account{Plugin: "mysql_native_password", IsRole: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodePriv("u", "h", []byte(c.json), now, c.defaultLifetime)
			if err != nil {
				t.Fatal(err)
			}
			c.want.User, c.want.Host = "u", "h"
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
	if _, err := decodePriv("u", "h", []byte(`{"plugin":`), now, 0); err == nil {
		t.Error("half a document is accepted")
	}
}

func FuzzDecodePriv(f *testing.F) {
	f.Add([]byte(`{"access":0,"plugin":"p","auth_or":[{},{"plugin":"x"}],"ssl_type":9,"password_last_changed":0}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = decodePriv("u", "h", b, time.Unix(0, 0), 3)
	})
}

func TestDefaultPlugin(t *testing.T) {
	for policy, want := range map[string]string{
		"*,,": "caching_sha2_password", "": "caching_sha2_password", "*:sha256_password,,": "sha256_password", "mysql_native_password,,": "mysql_native_password",
	} {
		if got := defaultPlugin(gtid.MySQL, map[string]string{"authentication_policy": policy}); got != want {
			t.Errorf("%q: %s", policy, got)
		}
	}
}

func flavors() []string {
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"mariadb-10.11"}
}

// rig is a real leader under a running Poller.
type rig struct {
	*testing.T
	node  *sandbox.Node
	fl    gtid.Flavor
	store *topology.Store
	p     *Poller
	ctx   context.Context
}

func eachServer(t *testing.T, f func(r *rig)) {
	for _, flavor := range flavors() {
		t.Run(flavor, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			t.Cleanup(cancel)
			server, err := sandbox.Find(ctx, flavor)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("", "bw-cat-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			node, err := sandbox.NewNode(sandbox.NodeOptions{Server: server, Name: "db1", Dir: dir, ServerID: 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = node.Close() })
			if err := node.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if err := sandbox.CreateAccounts(ctx, node.DB(), server.Flavor); err != nil {
				t.Fatal(err)
			}
			r := &rig{T: t, node: node, fl: server.Flavor, ctx: ctx}
			n := &topology.Node{Name: "db1", Address: node.Addr(), Role: topology.RoleLeader, State: topology.StateUp, Load: new(topology.Load)}
			r.store = topology.NewStore(&topology.Snapshot{Epoch: 1, Flavor: server.Flavor, Nodes: []*topology.Node{n}, Leader: n})
			r.p, err = New(Config{User: sandbox.ProxyAccount.User, Password: sandbox.ProxyAccount.Password, Interval: 20 * time.Millisecond}, r.store, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			runCtx, stop := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- r.p.Run(runCtx) }()
			t.Cleanup(func() {
				stop()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
			f(r)
		})
	}
}

func (r *rig) exec(statements ...string) {
	r.Helper()
	for _, s := range statements {
		if _, err := r.node.DB().ExecContext(r.ctx, s); err != nil {
			r.Fatalf("%s: %v", s, err)
		}
	}
}

func (r *rig) refresh() {
	r.Helper()
	if err := r.p.Refresh(r.ctx); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) account(user string) (*accounts.Account, bool) {
	return r.p.Accounts().Match(user, netip.MustParseAddr("10.1.2.3"), "", false)
}

func TestAccountsOfTheLeader(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.exec("CREATE USER u@'%' IDENTIFIED BY 'x'", "CREATE USER l@'10.%' IDENTIFIED BY 'x' REQUIRE X509 ACCOUNT LOCK",
			"CREATE USER e@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE", "CREATE ROLE r1", "GRANT r1 TO u@'%'", r.defaultRole())
		r.refresh()
		u, ok := r.account("u")
		if !ok || u.AuthString == "" || u.Locked || u.PasswordExpired || !strings.Contains(u.DefaultRole, "r1") {
			r.Errorf("u: %+v", u)
		}
		if r.fl == gtid.MySQL && (u.Plugin != "caching_sha2_password" || !strings.HasPrefix(u.AuthString, "$A$0") || len(u.AuthString) != 70) {
			r.Errorf("u: %+v", u)
		}
		if l, ok := r.account("l"); !ok || !l.Locked || l.SSLType != "X509" || l.Host != "10.%" {
			r.Errorf("l: %+v", l)
		}
		if e, ok := r.account("e"); !ok || !e.PasswordExpired {
			r.Errorf("e: %+v", e)
		}
		if a, ok := r.account("r1"); ok && !a.Locked {
			r.Errorf("the role can log in: %+v", a)
		}
		// A change takes effect without a restart, and polling alone finds it.
		before := u.AuthString
		r.exec("ALTER USER u@'%' IDENTIFIED BY 'y'")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if u, _ := r.account("u"); u.AuthString != before {
				break
			} else if time.Now().After(deadline) {
				r.Fatal("the new password was not seen")
			}
		}
		r.exec("DROP USER u@'%'")
		if err := r.p.RefreshAccounts(r.ctx); err != nil {
			r.Fatal(err)
		}
		if u, ok := r.account("u"); ok {
			r.Errorf("dropped, and still there: %+v", u)
		}
		same := r.p.Accounts()
		r.refresh()
		if r.p.Accounts() != same {
			r.Error("read again although nothing changed")
		}
	})
}

func (r *rig) defaultRole() string {
	if r.fl == gtid.MariaDB {
		return "SET DEFAULT ROLE r1 FOR u@'%'"
	}
	return "SET DEFAULT ROLE r1 TO u@'%'"
}

func TestAlternativesOfMariaDB(t *testing.T) {
	eachServer(t, func(r *rig) {
		if r.fl != gtid.MariaDB {
			r.Skip("MariaDB only")
		}
		r.exec("CREATE USER a@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('x') OR unix_socket",
			"CREATE USER b@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('x')")
		r.refresh()
		a, _ := r.account("a")
		b, _ := r.account("b")
		if a == nil || a.Plugin != "mysql_native_password" || a.AuthString == "" || len(a.Alternatives) != 1 || a.Alternatives[0].Plugin != "unix_socket" {
			r.Errorf("a: %+v", a)
		}
		if b == nil || b.Plugin != "unix_socket" || len(b.Alternatives) != 1 || b.Alternatives[0].Plugin != "mysql_native_password" || b.Alternatives[0].AuthString == "" {
			r.Errorf("b: %+v", b)
		}
	})
}

func TestRoutinesAndViews(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.exec("CREATE FUNCTION shop.safe() RETURNS INT READS SQL DATA RETURN 1",
			"CREATE FUNCTION shop.writes() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN UPDATE shop.t SET a = 1; RETURN 1; END",
			"CREATE TABLE shop.t (a INT)", "CREATE VIEW shop.v AS SELECT shop.writes() AS w FROM shop.t", "CREATE VIEW shop.ok AS SELECT a FROM shop.t")
		r.refresh()
		cat := r.p.Routines()
		class := func(sql string) router.Class {
			return router.Classify([]byte(sql), router.Mode{Flavor: r.fl}, cat).Class
		}
		for sql, read := range map[string]bool{
			"SELECT shop.safe()": true, "SELECT shop.writes()": false, "SELECT shop.unheard_of()": false,
			"SELECT * FROM shop.ok": true, "SELECT * FROM shop.v": false,
		} {
			if st := router.Classify([]byte(sql), router.Mode{Flavor: r.fl}, cat); (st.Class == router.ClassRead && st.Reason == router.ReasonRead) != read {
				r.Errorf("%s: class %v, reason %v", sql, st.Class, st.Reason)
			}
		}
		same := r.p.Routines()
		r.refresh()
		if r.p.Routines() != same {
			r.Error("judged again although nothing changed")
		}
		r.exec("DROP FUNCTION shop.safe", "CREATE FUNCTION shop.safe() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN UPDATE shop.t SET a = 1; RETURN 1; END")
		r.refresh()
		cat = r.p.Routines()
		if class("SELECT shop.safe()") == router.ClassRead && router.Classify([]byte("SELECT shop.safe()"), router.Mode{Flavor: r.fl}, cat).Reason == router.ReasonRead {
			r.Error("a function that writes now is still taken for a read")
		}
	})
}

func TestVariablesOfTheLeader(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.refresh()
		v := r.p.Variables()
		if v.Version == "" || v.CollationID == 0 || v.MaxAllowedPacket == 0 || !v.SkipNameResolve || v.WaitTimeout == 0 || len(v.SessionTrack) == 0 || v.DefaultAuthPlugin == "" {
			r.Errorf("%+v", v)
		}
		r.exec("SET GLOBAL init_connect = 'SET @a = 1'")
		r.refresh()
		if got := r.p.Variables().InitConnect; got != "SET @a = 1" {
			r.Errorf("init_connect = %q", got)
		}
		same := r.p.Variables()
		r.refresh()
		if r.p.Variables() != same {
			r.Error("published again although nothing changed")
		}
	})
}

func TestLastGoodStays(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.refresh()
		good := r.p.Status()
		if good.Err != nil || good.At.IsZero() {
			r.Fatalf("%+v", good)
		}
		if err := r.node.Stop(r.ctx); err != nil {
			r.Fatal(err)
		}
		if err := r.p.Refresh(r.ctx); err == nil {
			r.Error("refreshed from a server that is down")
		}
		if s := r.p.Status(); s.Err == nil || s.At.IsZero() || r.p.Accounts() == nil || r.p.Routines() == nil || r.p.Variables() == nil {
			r.Errorf("%+v", s)
		}
		if err := r.node.Start(r.ctx); err != nil {
			r.Fatal(err)
		}
		r.refresh()
		// No leader: an error, and the values stay.
		r.store.Update(func(s *topology.Snapshot) *topology.Snapshot { s.Leader = nil; return s })
		if err := r.p.Refresh(r.ctx); err == nil || r.p.Accounts() == nil {
			r.Errorf("Refresh without a leader: %v", err)
		}
	})
}

func TestRefreshTogether(t *testing.T) {
	eachServer(t, func(r *rig) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := r.p.Refresh(r.ctx); err != nil {
					r.Error(err)
				}
			})
		}
		wg.Wait()
		ctx, cancel := context.WithCancel(r.ctx)
		cancel()
		if err := r.p.Refresh(ctx); err == nil {
			r.Log("the reading was done before the cancelled call looked") // either is right
		}
	})
}
