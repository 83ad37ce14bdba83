package accounts_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// origin is where a client comes from.
type origin struct {
	name   string
	socket bool
	from   netip.Addr
	to     string
}

// origins are all the ways in which this machine can reach a server on it.
func origins(t *testing.T, n *sandbox.Node) []origin {
	t.Helper()
	_, port, err := net.SplitHostPort(n.Addr())
	if err != nil {
		t.Fatal(err)
	}
	out := []origin{{name: "socket", socket: true, to: n.Socket()}}
	add := func(a string) {
		addr := netip.MustParseAddr(a)
		out = append(out, origin{name: a, from: addr, to: net.JoinHostPort("127.0.0.1", port)})
		if addr.Is6() {
			out[len(out)-1].to = net.JoinHostPort("::1", port)
		}
	}
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.0.1.20", "127.9.10.11"} {
		add(a)
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = l.Close()
		add("::1")
	}
	return out
}

// whoAmI logs in and returns CURRENT_USER(), or "" when refused.
func whoAmI(ctx context.Context, o origin, user string) (string, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = user, "tcp", o.to
	cfg.Logger = &mysql.NopLogger{}
	if o.socket {
		cfg.Net = "unix"
	} else {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: o.from.AsSlice()}}
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		}
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var who string
	err = db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&who)
	var me *mysql.MySQLError
	if errors.As(err, &me) && (me.Number == 1045 || me.Number == 1130 || me.Number == 1698) {
		return "", nil
	}
	return who, err
}

var hostPool = []string{
	"%", "localhost", "127.0.0.1", "127.0.0.2", "::1", "127.%", "127.0.%", "127.0.0.%", "127.0.0._", "127.0.0.1%",
	"%.1", "%0%", "_27.%", "1%", "127.0._.%", "127.%.%.%", "127.%.0.%", "1__.%", "127.0.0.0/255.255.255.0",
	"127.0.0.0/255.0.0.0", "127.0.0.2/255.0.0.0", "127.0.0.0/255.255.0.0", "0.0.0.0/0.0.0.0", "loc%", "l_calhost",
	"::%", "%:1", "127.0.0.0/24", "127.0.0.0/8", "127.0.0.2/24", "127.9.10.10/31", "10.%", "db.example.com", "%host", "127.0.1.__", "____________",
	"_________", "%_", "_%", "%%", "127.0.0.\\_", "127._.%", "%.0.%", "127.0.%.%", "127.0.0.1_", "127.0.1.2%", "127.9.10.11%", "127.0.0.0/255.0.255.0",
}

// The servers themselves are the oracle: random sets of accounts, clients from
// everywhere, and the account that each was logged in as.
func TestMatchesTheServer(t *testing.T) {
	for _, flavor := range flavors() {
		for _, skip := range []string{"ON", "OFF"} {
			if skip == "OFF" && strings.HasPrefix(flavor, "mysql") {
				continue // once MySQL has seen --skip-name-resolve it stays half on
			}
			t.Run(flavor+"/skip_name_resolve="+skip, func(t *testing.T) { compareWithServer(t, flavor, skip) })
		}
	}
}

func flavors() []string {
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"mariadb-10.11"}
}

func compareWithServer(t *testing.T, flavor, skip string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server, err := sandbox.Find(ctx, flavor)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bw-acc-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	node, err := sandbox.NewNode(sandbox.NodeOptions{
		Server: server, Name: "n", Dir: dir, ServerID: 1,
		ExtraArgs: []string{"--skip-name-resolve=" + skip, "--bind-address=*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	all := origins(t, node)
	if skip == "OFF" { // other addresses would be looked up, wherever the machine's resolver goes
		all = slices.DeleteFunc(all, func(o origin) bool { return !o.socket && o.name != "127.0.0.1" && o.name != "::1" })
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 30 {
		list := randomAccounts(r)
		createAccounts(ctx, t, node.DB(), list)
		table := accounts.New(server.Flavor, list, skip == "ON")
		for _, o := range all {
			for _, user := range []string{"app", "other"} {
				got := ""
				if a, ok := table.Match(user, o.from, "", o.socket); ok {
					got = a.User + "@" + a.Host
				}
				want, err := whoAmI(ctx, o, user)
				if err != nil {
					t.Fatalf("round %d: log in as %s from %s: %v", round, user, o.name, err)
				}
				if got != want {
					t.Errorf("round %d: %s from %s is %q on the server, %q here; accounts: %s",
						round, user, o.name, want, got, names(list))
				}
			}
		}
		dropAccounts(ctx, t, node.DB(), list)
		if t.Failed() {
			return
		}
	}
}

func randomAccounts(r *rand.Rand) []accounts.Account {
	var list []accounts.Account
	for _, i := range r.Perm(len(hostPool))[:8] {
		user := "app"
		if r.IntN(4) == 0 {
			user = ""
		}
		list = append(list, accounts.Account{User: user, Host: hostPool[i]})
	}
	return list
}

func names(list []accounts.Account) string {
	var s []string
	for i := range list {
		s = append(s, list[i].Name())
	}
	return strings.Join(s, " ")
}

// quoteHost keeps a backslash a backslash.
func quoteHost(a *accounts.Account) string {
	return "'" + a.User + "'@'" + strings.ReplaceAll(a.Host, `\`, `\\`) + "'"
}

func createAccounts(ctx context.Context, t *testing.T, db *sql.DB, list []accounts.Account) {
	t.Helper()
	for i := range list {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE USER %s IDENTIFIED BY ''", quoteHost(&list[i]))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(ctx, "FLUSH PRIVILEGES"); err != nil { // see sortEntries
		t.Fatal(err)
	}
}

func dropAccounts(ctx context.Context, t *testing.T, db *sql.DB, list []accounts.Account) {
	t.Helper()
	for i := range list {
		if _, err := db.ExecContext(ctx, "DROP USER "+quoteHost(&list[i])); err != nil {
			t.Fatal(err)
		}
	}
}
