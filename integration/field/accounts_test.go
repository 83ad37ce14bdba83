package field

import (
	"crypto/tls"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// caching_sha2_password: full authentication by RSA and by TLS, then the cache,
// and a changed password.
func TestField08CachingSHA2(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		if f.Flavor != gtid.MySQL {
			t.Skip("MariaDB 10.11 has no caching_sha2_password")
		}
		cluster.Must(t, mysql.RegisterTLSConfig("field08", &tls.Config{InsecureSkipVerify: true})) //nolint:gosec // the certificate is another test's matter
		defer mysql.DeregisterTLSConfig("field08")
		a := sandbox.Account{User: somebody, Password: "first"}
		f.Exec(t, "CREATE USER '"+a.User+"'@'%' IDENTIFIED WITH caching_sha2_password BY '"+a.Password+"'", "GRANT SELECT ON shop.* TO '"+a.User+"'@'%'")
		f.WaitReplicated(t)
		f.untilLetIn(t, a)
		for range 3 {
			for _, params := range []string{"", "tls=field08"} {
				f.openAs(t, a, app, params).onFollower(whoami)
			}
		}
		if _, err := f.tryOpen(t, sandbox.Account{User: a.User, Password: "wrong"}, app, ""); errorNumber(t, err) != 1045 {
			t.Errorf("a wrong password: %v", err)
		}
		f.Exec(t, "ALTER USER '"+a.User+"'@'%' IDENTIFIED WITH caching_sha2_password BY 'second'")
		f.untilRefused(t, a)
		a.Password = "second"
		f.untilLetIn(t, a)
		f.WaitReplicated(t)
		f.openAs(t, a, app, "").onFollower(whoami)
	})
}

// Accounts are the leader's own: made, changed, locked and dropped there, with
// nothing to tell the proxy.
func TestField09NoCopiesOfPasswords(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		a := sandbox.Account{User: somebody, Password: "first"}
		at := "'" + a.User + "'@'%'"
		if _, err := f.tryOpen(t, a, app, ""); errorNumber(t, err) != 1045 {
			t.Errorf("before there is an account: %v", err)
		}
		f.Exec(t, "CREATE USER "+at+" IDENTIFIED BY 'first'", "GRANT SELECT ON shop.* TO "+at)
		f.untilLetIn(t, a)
		f.WaitReplicated(t)
		s := f.openAs(t, a, app, "")
		s.onFollower(whoami)
		if _, err := s.tryRows("DELETE FROM t"); errorNumber(t, err) != 1142 {
			t.Errorf("a write without the right: %v", err)
		}
		f.Exec(t, "ALTER USER "+at+" IDENTIFIED BY 'second'")
		f.untilRefused(t, a)
		a.Password = "second"
		f.untilLetIn(t, a)
		f.Exec(t, "ALTER USER "+at+" ACCOUNT LOCK")
		f.untilRefused(t, a)
		f.Exec(t, "ALTER USER "+at+" ACCOUNT UNLOCK")
		f.untilLetIn(t, a)
		f.Exec(t, "DROP USER "+at)
		f.untilRefused(t, a)
		s.want("1", "SELECT 1") // who is in stays in, as with a server
	})
}

func (f *fixture) untilLetIn(t *testing.T, a sandbox.Account) {
	t.Helper()
	cluster.Eventually(t, a.User+" is let in", func() bool { return f.letIn(t, a) })
}

func (f *fixture) untilRefused(t *testing.T, a sandbox.Account) {
	t.Helper()
	cluster.Eventually(t, a.User+" is refused", func() bool { return !f.letIn(t, a) })
}

func (f *fixture) letIn(t *testing.T, a sandbox.Account) bool {
	t.Helper()
	s, err := f.tryOpen(t, a, app, "")
	if err != nil {
		return false
	}
	s.end()
	return true
}
