package protocol

import (
	"crypto/tls"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// What a client is told at its login is what the leader tells it directly.
func TestLoginVerdicts(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.TLS = true
		f := startCluster(t, o)
		f.Exec(t,
			"CREATE USER known@'%' IDENTIFIED BY 'right'", "GRANT SELECT ON shop.* TO known@'%'",
			"CREATE USER nopass@'%'", "GRANT SELECT ON shop.* TO nopass@'%'",
			"CREATE USER here@'127.0.0.1' IDENTIFIED BY 'here'", "CREATE USER here@'%' IDENTIFIED BY 'anywhere'",
			"CREATE USER away@'10.1.2.3' IDENTIFIED BY 'x'",
			"CREATE USER masked@'127.0.0.0/255.0.0.0' IDENTIFIED BY 'x'",
			"CREATE USER locked@'%' IDENTIFIED BY 'x'", "ALTER USER locked@'%' ACCOUNT LOCK",
			"CREATE USER expired@'%' IDENTIFIED BY 'x'", "ALTER USER expired@'%' PASSWORD EXPIRE",
			"CREATE USER secure@'%' IDENTIFIED BY 'x' REQUIRE SSL",
			"CREATE USER certified@'%' IDENTIFIED BY 'x' REQUIRE X509",
			"CREATE USER subject@'%' IDENTIFIED BY 'x' REQUIRE SUBJECT '/CN=somebody else'",
			"CREATE USER few@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 1",
			"CREATE ROLE someroles",
		)
		f.WaitReplicated(t)
		f.before(t)
		cluster.Must(t, mysql.RegisterTLSConfig("blind", &tls.Config{InsecureSkipVerify: true})) //nolint:gosec // tls_test.go verifies
		defer mysql.DeregisterTLSConfig("blind")
		direct, proxied := f.Leader().DirectAddr(), f.proxy.Addr
		for _, c := range []struct {
			name string
			login
		}{
			{"right", login{user: "known", password: "right", schema: app}},
			{"no schema", login{user: "known", password: "right"}},
			{"wrong password", login{user: "known", password: "wrong", schema: app}},
			{"no password", login{user: "known"}},
			{"unknown user", login{user: "unknown", password: "x"}},
			{"unknown user without a password", login{user: "unknown"}},
			{"no user", login{}},
			{"a role", login{user: "someroles", password: "x"}},
			{"a role without a password", login{user: "someroles"}},
			{"empty password", login{user: "nopass", schema: app}},
			{"empty password, one given", login{user: "nopass", password: "x"}},
			{"unknown schema", login{user: sandboxAdmin.user, password: sandboxAdmin.password, schema: "nowhere"}},
			{"unknown schema without rights", login{user: "known", password: "right", schema: "nowhere"}},
			{"schema without rights", login{user: "known", password: "right", schema: "mysql"}},
			{"exact host", login{user: "here", password: "here"}},
			{"password of the wider host", login{user: "here", password: "anywhere"}},
			{"another host", login{user: "away", password: "x"}},
			{"netmask", login{user: "masked", password: "x"}},
			{"locked", login{user: "locked", password: "x"}},
			{"locked, wrong password", login{user: "locked", password: "y"}},
			{"expired", login{user: "expired", password: "x"}},
			{"expired, wrong password", login{user: "expired", password: "y"}},
			{"REQUIRE SSL in clear", login{user: "secure", password: "x"}},
			{"REQUIRE SSL", login{user: "secure", password: "x", params: "tls=blind"}},
			{"REQUIRE SSL, wrong password", login{user: "secure", password: "y"}},
			{"REQUIRE X509 without", login{user: "certified", password: "x", params: "tls=blind"}},
			{"REQUIRE SUBJECT without", login{user: "subject", password: "x", params: "tls=blind"}},
			{"long user", login{user: "u234567890123456789012345678901234567890123456789012345678901234567890123456789012345", password: "x"}},
			{"long schema", login{user: "known", password: "right", schema: "s234567890123456789012345678901234567890123456789012345678901234567890123456789012345"}},
			{"user with quotes", login{user: "o'brien%s", password: "x"}},
			{"schema with quotes", login{user: sandboxAdmin.user, password: sandboxAdmin.password, schema: "o'no%s"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for range 2 { // the second login may find a pooled connection
					want, got := c.verdict(t, direct), c.verdict(t, proxied)
					if got != want {
						t.Errorf("the proxy says %q, the leader %q", got, want)
					}
				}
			})
		}
		t.Run("max_user_connections", func(t *testing.T) {
			few := login{user: "few", password: "x"}
			one := few.must(t, direct)
			want := few.verdict(t, direct)
			one.end()
			few.until(t, direct, "in")
			cluster.Eventually(t, "the connection is gone", func() bool {
				return f.Leader().Text(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'few'") == "0"
			})
			few.must(t, proxied)
			if got := few.verdict(t, proxied); got != want {
				t.Errorf("the proxy says %q, the leader %q", got, want)
			}
		})
	})
}

var sandboxAdmin = adminLogin()

// Accounts made, changed and dropped take effect without a restart: on the leader
// after a moment, through the proxy at once.
func TestAccountChanges(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		admin := adminLogin().must(t, f.proxy.Addr)
		t.Run("on the leader", func(t *testing.T) {
			l := login{user: "direct", password: "one"}
			f.Exec(t, "CREATE USER direct@'%' IDENTIFIED BY 'one'")
			l.until(t, f.proxy.Addr, "in")
			f.Exec(t, "ALTER USER direct@'%' IDENTIFIED BY 'two'")
			l.until(t, f.proxy.Addr, "1045")
			l.password = "two"
			l.until(t, f.proxy.Addr, "in")
			f.Exec(t, "DROP USER direct@'%'")
			l.until(t, f.proxy.Addr, "1045")
		})
		t.Run("through the proxy", func(t *testing.T) {
			l := login{user: "viaproxy", password: "one"}
			at := func(step, want string) {
				t.Helper()
				if got := l.verdict(t, f.proxy.Addr); got != want && (want == "in" || got == "in") {
					t.Errorf("%s: %s, want %s", step, got, want)
				}
			}
			admin.exec("CREATE USER viaproxy@'%' IDENTIFIED BY 'one'")
			at("created", "in")
			admin.exec("ALTER USER viaproxy@'%' IDENTIFIED BY 'two'")
			at("the old password", "refused")
			l.password = "two"
			at("the new password", "in")
			admin.exec("SET PASSWORD FOR viaproxy@'%' = " + f.password("three"))
			at("before SET PASSWORD", "refused")
			l.password = "three"
			at("after SET PASSWORD", "in")
			own := l.must(t, f.proxy.Addr)
			own.exec("SET PASSWORD = " + f.password("four"))
			at("before SET PASSWORD of one's own", "refused")
			l.password = "four"
			at("after SET PASSWORD of one's own", "in")
			admin.exec("RENAME USER viaproxy@'%' TO renamed@'%'")
			at("the old name", "refused")
			l.user = "renamed"
			at("the new name", "in")
			admin.exec("DROP USER renamed@'%'")
			at("dropped", "refused")
		})
		t.Run("rights of new logins", func(t *testing.T) {
			f.newRights(t, admin)
		})
	})
}

func (f *fixture) password(text string) string {
	if f.mysql() {
		return "'" + text + "'"
	}
	return "PASSWORD('" + text + "')"
}

// newRights checks that a new login has the rights of its moment, whatever
// connections wait in the pool: global and schema rights are fixed at login.
func (f *fixture) newRights(t *testing.T, admin *session) {
	t.Helper()
	l := login{user: "rights", password: "x", schema: app}
	const read = "SELECT COUNT(*) FROM t"
	sees := func(want bool) {
		t.Helper()
		cluster.Eventually(t, "new logins have the new rights", func() bool {
			s, err := l.open(t, f.proxy.Addr)
			if err != nil {
				return !want
			}
			defer s.end()
			plain, locking := s.text(read), s.text(read+" FOR UPDATE")
			return (plain == "1") == want && (locking == "1") == want
		})
	}
	admin.exec("CREATE USER rights@'%' IDENTIFIED BY 'x'", "GRANT SELECT, UPDATE ON shop.* TO rights@'%'")
	f.WaitReplicated(t)
	sees(true)
	for range 4 {
		l.must(t, f.proxy.Addr).want("1", read) // fill the pool
	}
	admin.exec("REVOKE SELECT, UPDATE ON shop.* FROM rights@'%'")
	f.WaitReplicated(t)
	sees(false)
	l.schema = ""
	admin.exec("GRANT SELECT, UPDATE ON *.* TO rights@'%'")
	f.WaitReplicated(t)
	l.schema = app
	sees(true)
	f.Exec(t, "REVOKE SELECT, UPDATE ON *.* FROM rights@'%'")
	f.WaitReplicated(t)
	sees(false)
}

// A default role works on both nodes, and is that of the moment of the login.
func TestDefaultRoles(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		f.Exec(t, "CREATE ROLE reader", "GRANT SELECT, UPDATE ON shop.* TO reader", "CREATE USER plain@'%' IDENTIFIED BY 'x'", "GRANT reader TO plain@'%'")
		f.WaitReplicated(t)
		l := login{user: "plain", password: "x"}
		l.until(t, f.proxy.Addr, "in")
		s := l.must(t, f.proxy.Addr)
		if got := s.text("SELECT COUNT(*) FROM shop.t"); got == "1" {
			t.Error("rights without a role")
		}
		s.end()
		if f.mysql() {
			f.Exec(t, "ALTER USER plain@'%' DEFAULT ROLE reader")
		} else {
			f.Exec(t, "SET DEFAULT ROLE reader FOR plain@'%'")
		}
		f.WaitReplicated(t)
		cluster.Eventually(t, "new logins have the role", func() bool {
			s := l.must(t, f.proxy.Addr)
			defer s.end()
			return s.text("SELECT COUNT(*) FROM shop.t") == "1" && s.text("SELECT COUNT(*) FROM shop.t FOR UPDATE") == "1"
		})
		for range 3 { // by connections from the pool too
			s := l.must(t, f.proxy.Addr)
			s.routed("follower", "SELECT COUNT(*) FROM shop.t")
			s.want("1", "SELECT COUNT(*) FROM shop.t")
			s.want("1", "SELECT COUNT(*) FROM shop.t FOR UPDATE")
			s.exec("SET ROLE NONE") // what follows must not outlive the session
			for _, q := range []string{"SELECT COUNT(*) FROM shop.t", "SELECT COUNT(*) FROM shop.t FOR UPDATE"} {
				if got := s.text(q); got == "1" {
					t.Errorf("%s: answered after SET ROLE NONE", q)
				}
			}
			s.end()
		}
	})
}
