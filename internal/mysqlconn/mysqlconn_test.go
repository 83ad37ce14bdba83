package mysqlconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"db1":            "tcp db1:3306",
		"db1:3307":       "tcp db1:3307",
		"10.0.0.1":       "tcp 10.0.0.1:3306",
		"[fd00::2]:3307": "tcp [fd00::2]:3307",
		"fd00::2":        "tcp [fd00::2]:3306",
		"[fd00::2]":      "tcp [fd00::2]:3306",
		"/run/my.sock":   "unix /run/my.sock",
		"@abstract":      "unix @abstract",
	} {
		if n, a := Network(in); n+" "+a != want {
			t.Errorf("%s: %s %s, want %s", in, n, a, want)
		}
	}
}

func TestQuoteName(t *testing.T) {
	if got := QuoteName("a`b"); got != "`a``b`" {
		t.Error(got)
	}
}

func TestTLSConfigErrors(t *testing.T) {
	none := t.TempDir() + "/none.pem"
	empty := t.TempDir() + "/empty.pem"
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, contains string
		tls            TLS
	}{
		{"unknown mode", "sometimes", TLS{Mode: "sometimes"}},
		{"no CA file", "none.pem", TLS{Mode: TLSVerifyCA, CA: none}},
		{"no certificate in it", "no certificate", TLS{Mode: TLSVerifyIdentity, CA: empty}},
		{"no own certificate", "none.pem", TLS{Mode: TLSRequired, Cert: none, Key: none}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.tls.Config("db1:3306"); err == nil || !strings.Contains(err.Error(), c.contains) {
				t.Errorf("%v", err)
			}
		})
	}
}

func flavors() []string {
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"mariadb-10.11"}
}

func startNode(t *testing.T, flavor string, certs *sandbox.Certs, dir string) (*sandbox.Node, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	server, err := sandbox.Find(ctx, flavor)
	if err != nil {
		t.Fatal(err)
	}
	node, err := sandbox.NewNode(sandbox.NodeOptions{Server: server, Name: "n", Dir: dir + "/n", ServerID: 1, TLS: certs})
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
	return node, ctx
}

// Every mode against a server whose certificate names localhost only.
func TestTLSModes(t *testing.T) {
	for _, flavor := range flavors() {
		t.Run(flavor, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "bw-tls-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			certs, err := sandbox.NewCerts(dir+"/certs", "localhost")
			if err != nil {
				t.Fatal(err)
			}
			other, err := sandbox.NewCerts(dir+"/other", "localhost")
			if err != nil {
				t.Fatal(err)
			}
			node, ctx := startNode(t, flavor, certs, dir)
			byAddress := node.Addr()
			byName := strings.Replace(byAddress, "127.0.0.1", "localhost", 1)
			for _, c := range []struct {
				name, address string
				tls           TLS
				encrypted, ok bool
			}{
				{"off", byAddress, TLS{}, false, true},
				{"preferred", byAddress, TLS{Mode: TLSPreferred}, true, true},
				{"required", byAddress, TLS{Mode: TLSRequired}, true, true},
				{"verify-ca, another name", byAddress, TLS{Mode: TLSVerifyCA, CA: certs.CA}, true, true},
				{"verify-ca, another authority", byAddress, TLS{Mode: TLSVerifyCA, CA: other.CA}, true, false},
				{"verify-identity", byName, TLS{Mode: TLSVerifyIdentity, CA: certs.CA}, true, true},
				{"verify-identity, another name", byAddress, TLS{Mode: TLSVerifyIdentity, CA: certs.CA}, true, false},
				{"with our certificate", byAddress, TLS{Mode: TLSVerifyCA, CA: certs.CA, Cert: certs.ClientCert, Key: certs.ClientKey}, true, true},
				{"unix socket", node.Socket(), TLS{Mode: TLSVerifyIdentity, CA: certs.CA}, false, true},
			} {
				t.Run(c.name, func(t *testing.T) {
					db, err := Open(Config{Address: c.address, User: sandbox.ProxyAccount.User, Password: sandbox.ProxyAccount.Password, TLS: c.tls}, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					var name, cipher string
					err = db.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher)
					if (err == nil) != c.ok {
						t.Fatalf("error %v", err)
					}
					if err == nil && (cipher != "") != c.encrypted {
						t.Errorf("cipher %q", cipher)
					}
				})
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, flavor := range flavors() {
		t.Run(flavor, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "bw-err-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			node, ctx := startNode(t, flavor, nil, dir)
			open := func(address, password string) error {
				db, err := Open(Config{Address: address, User: sandbox.ProxyAccount.User, Password: password, ConnectTimeout: time.Second}, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				return db.PingContext(ctx)
			}
			if err := open(node.Addr(), sandbox.ProxyAccount.Password); err != nil {
				t.Fatal(err) // on MySQL this is the exchange of a password by RSA
			}
			err = open(node.Addr(), "wrong")
			if n, _, ok := ServerError(err); !ok || n != 1045 || Unreachable(err) {
				t.Errorf("%v", err)
			}
			db, err := Open(Config{Address: node.Addr(), User: sandbox.ProxyAccount.User, Password: sandbox.ProxyAccount.Password}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if _, err := db.ExecContext(short, "DO SLEEP(60)"); !errors.Is(err, context.DeadlineExceeded) || Describe(err) != "no answer in time" {
				t.Errorf("%v", err)
			}
			if err := node.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := open(node.Addr(), "x"); !Unreachable(err) {
				t.Errorf("%v", err)
			}
			if err := open(dir+"/nosuch.sock", "x"); !Unreachable(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	if Describe(nil) != "" || Describe(fmt.Errorf("x: %w", os.ErrDeadlineExceeded)) != "no answer in time" || Describe(errors.New("y")) != "y" {
		t.Error("Describe")
	}
}
