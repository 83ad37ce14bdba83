package protocol

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// verify registers a TLS configuration of the driver that trusts one authority.
func verify(t *testing.T, ca string) {
	t.Helper()
	pem, err := os.ReadFile(ca)
	cluster.Must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cluster.Must(t, mysql.RegisterTLSConfig("verify", &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}))
	t.Cleanup(func() { mysql.DeregisterTLSConfig("verify") })
}

// Encryption towards clients, with a certificate made at start or given, which is
// read again when it changes.
func TestClientTLS(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startCluster(t, o)
		dir := t.TempDir()
		first, err := sandbox.NewCerts(filepath.Join(dir, "first"), "localhost")
		cluster.Must(t, err)
		second, err := sandbox.NewCerts(filepath.Join(dir, "second"), "localhost")
		cluster.Must(t, err)
		with := func(params string) string {
			l := appLogin()
			l.params = params
			return l.verdict(t, f.proxy.Addr)
		}
		f.before(t, "listen: {tls: {mode: 'off'}}")
		if got := with(""); got != "in" {
			t.Errorf("off, in clear: %s", got)
		}
		if got := with("tls=skip-verify"); got == "in" {
			t.Error("off, encrypted: let in")
		}
		f.before(t, "listen: {tls: {mode: required}}")
		if got := with(""); !strings.HasPrefix(got, "3159 (") {
			t.Errorf("required, in clear: %s", got)
		}
		if got := with("tls=skip-verify"); got != "in" {
			t.Errorf("required, by a certificate made at start: %s", got)
		}
		f.before(t, fmt.Sprintf("listen: {tls: {mode: optional, cert: %q, key: %q}}", first.ServerCert, first.ServerKey))
		verify(t, first.CA)
		for _, params := range []string{"", "tls=skip-verify", "tls=verify"} {
			if got := with(params); got != "in" {
				t.Errorf("optional, %q: %s", params, got)
			}
		}
		l := appLogin()
		l.params = "tls=verify"
		open := l.must(t, f.proxy.Addr)
		verify(t, second.CA)
		if got := with("tls=verify"); got == "in" {
			t.Error("a certificate of another authority is trusted")
		}
		cluster.Must(t, os.Rename(second.ServerKey, first.ServerKey), os.Rename(second.ServerCert, first.ServerCert))
		l.until(t, f.proxy.Addr, "in")
		open.want("1", "SELECT COUNT(*) FROM t")
	})
}

// Encryption towards the nodes, in all modes.
func TestNodeTLS(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.TLS = true
		f := startCluster(t, o)
		for mode, encrypted := range map[string]bool{"off": false, "preferred": true, "required": true, "verify-ca": true, "verify-identity": true} {
			t.Run(mode, func(t *testing.T) {
				f.before(t, "cluster: {tls: {mode: '"+mode+"'}}")
				s := appLogin().must(t, f.proxy.Addr)
				if got := s.text("SHOW STATUS LIKE 'Ssl_version'"); (got != "Ssl_version|") != encrypted {
					t.Errorf("%s", got)
				}
				s.routed("follower", "SELECT COUNT(*) FROM t")
				s.want("1", "SELECT COUNT(*) FROM t")
			})
		}
	})
}

// The unix socket and both ways to compress.
func TestSocketAndCompression(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startCluster(t, o)
		socket := filepath.Join(filepath.Dir(t.TempDir()), "s")
		f.before(t, "listen: {socket: '"+socket+"', compression: [zlib, zstd]}")
		l := appLogin()
		l.network = "unix"
		l.must(t, socket).want("1", "SELECT COUNT(*) FROM t")
		if got := (login{user: "nobody", network: "unix"}).verdict(t, socket); !strings.Contains(got, "'nobody'@'localhost'") {
			t.Errorf("refused at the socket: %s", got)
		}
		compressed := appLogin()
		compressed.params = "compress=true"
		s := compressed.must(t, f.proxy.Addr)
		s.want(strings.Repeat("x", 300000), "SELECT REPEAT('x', 300000) FROM t")
		host, port, _ := strings.Cut(f.proxy.Addr, ":")
		out, err := exec.Command("mariadb", "--no-defaults", "-h"+host, "-P"+port, "-u"+l.user, "-p"+l.password, "--compress", "--batch", "--skip-column-names",
			app, "-e", "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE 1=0; SELECT LENGTH(REPEAT('y', 500000))").CombinedOutput()
		if !f.mysql() && (err != nil || strings.TrimSpace(string(out)) != "500000") {
			t.Errorf("the mariadb program: %v: %s", err, out)
		}
	})
}

// An account of another plugin logs in with the password of the configuration.
func TestEd25519(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		if strings.HasPrefix(o.Flavor, "mysql") {
			t.Skip("MySQL has no ed25519")
		}
		o.ExtraArgs = append(o.ExtraArgs, "--plugin-load-add=auth_ed25519")
		f := startCluster(t, o)
		f.Exec(t, "CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')", "GRANT SELECT, UPDATE ON shop.* TO ed@'%'")
		f.WaitReplicated(t)
		t.Setenv("BELLWETHER_TEST_ED", "secret")
		l := login{user: "ed", password: "secret", schema: app}
		f.before(t)
		if got := l.verdict(t, f.proxy.Addr); !strings.HasPrefix(got, "1045") {
			t.Errorf("without an entry: %s", got)
		}
		f.before(t, "users: [{name: ed, password_env: BELLWETHER_TEST_ED}]")
		for range 2 {
			s := l.must(t, f.proxy.Addr)
			s.want("1", "SELECT COUNT(*) FROM t")
			s.want("1", "SELECT COUNT(*) FROM t FOR UPDATE")
			s.end()
		}
		l.password = "wrong"
		if got := l.verdict(t, f.proxy.Addr); !strings.HasPrefix(got, "1045") {
			t.Errorf("a wrong password: %s", got)
		}
	})
}
