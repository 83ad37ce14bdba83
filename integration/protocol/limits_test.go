package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// greeted connects and reads the greeting.
func greeted(t *testing.T, addr string) (net.Conn, *wire.Greeting) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	cluster.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	payload, _, err := wire.ReadPacket(conn, nil, 1<<16)
	cluster.Must(t, err)
	g := new(wire.Greeting)
	cluster.Must(t, wire.DecodeGreeting(payload, g))
	return conn, g
}

// ended reads all that the proxy still says and waits for the connection's end.
func ended(t *testing.T, conn net.Conn) string {
	t.Helper()
	said, err := io.ReadAll(conn)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection was left open")
	}
	return string(said)
}

// response is a good handshake response of the application.
func response(t *testing.T, g *wire.Greeting) []byte {
	t.Helper()
	auth := wire.NativeScramble(sandbox.AppAccount.Password, g.Salt[:])
	if g.AuthPlugin == "caching_sha2_password" {
		auth = wire.Sha2Scramble(sandbox.AppAccount.Password, g.Salt[:])
	}
	return wire.AppendHandshakeResponse(nil, 1, &wire.HandshakeResponse{
		Caps: g.Caps & (wire.ClientProtocol41 | wire.ClientSecureConnection | wire.ClientPluginAuth |
			wire.ClientPluginAuthLenencClientData | wire.ClientConnectWithDB | wire.ClientConnectAttrs),
		MaxPacket: 1 << 24, Collation: 45, User: sandbox.AppAccount.User, Schema: app, Plugin: g.AuthPlugin, Auth: auth,
		Attrs: wire.AppendAttr(nil, "_os", "Linux"),
	})
}

// What nobody should send before a login is refused, and nobody else notices.
func TestHostileLogins(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o, "limits: {auth_timeout: 1s, max_unauthenticated_per_address: 1000}")
		bystander := appLogin().must(t, f.proxy.Addr)
		bystander.exec("SET @x = 7")
		before := residentKiB(t, f.proxy.PID())
		_, g := greeted(t, f.proxy.Addr)
		good := response(t, g)
		raw := map[string][]byte{
			"zeros":              make([]byte, 4096),
			"a request by HTTP":  []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
			"a zero-length one":  {0, 0, 0, 1},
			"a claim of 16 MiB":  {0xff, 0xff, 0xff, 1, 0, 0, 0},
			"far too many bytes": append([]byte{0xff, 0xff, 0xff, 1}, make([]byte, 1<<20)...),
			"TLS at once":        {22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3},
			"an old protocol":    {5, 0, 0, 1, 0, 0, 0, 0, 0},
			"a PROXY header":     []byte("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
			"two at once":        append(append([]byte{}, good...), good...),
		}
		for n := wire.HeaderLen; n < len(good); n++ { // whole packets, cut short
			cut := append([]byte{}, good[:n]...)
			wire.PutHeader(cut, n-wire.HeaderLen, 1)
			raw[fmt.Sprintf("a response of %d bytes", n-wire.HeaderLen)] = cut
		}
		for n := range good { // packets that never end
			if n%8 == 1 {
				raw[fmt.Sprintf("%d bytes of a packet", n)] = good[:n]
			}
		}
		conns := map[string]net.Conn{}
		for name, bytes := range raw {
			conn, _ := greeted(t, f.proxy.Addr)
			_, _ = conn.Write(bytes) // it may be closed already
			conns[name] = conn
		}
		slow, _ := greeted(t, f.proxy.Addr)
		go func() { // a byte now and then keeps nobody waiting
			for i := range good {
				if _, err := slow.Write(good[i : i+1]); err != nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		}()
		for name, conn := range conns {
			if said := ended(t, conn); len(said) > wire.HeaderLen && said[wire.HeaderLen] == wire.HeaderOK {
				t.Errorf("%s: let in", name)
			}
		}
		ended(t, slow)
		if grown := residentKiB(t, f.proxy.PID()) - before; grown > 64<<10 {
			t.Errorf("the memory grew by %d KiB", grown)
		}
		bystander.want("7", "SELECT @x")
		appLogin().must(t, f.proxy.Addr).want("1", "SELECT COUNT(*) FROM t")
		if got := strings.Count(f.proxy.Log(), "goroutine "); got != 0 {
			t.Errorf("%d stack traces in the log", got)
		}
	})
}

// After the login too, packets that make no sense end only their own session.
func TestHostileCommands(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		bystander := appLogin().must(t, f.proxy.Addr)
		for name, bytes := range map[string][]byte{
			"no command":            {0, 0, 0, 0},
			"an unknown command":    {1, 0, 0, 0, 0xee},
			"a wrong number":        {1, 0, 0, 5, 14},
			"an empty query":        {1, 0, 0, 0, 3},
			"execute without an id": {1, 0, 0, 0, 23},
			"half an id":            {3, 0, 0, 0, 23, 1, 0},
			"an unknown statement":  {10, 0, 0, 0, 23, 9, 9, 9, 9, 0, 1, 0, 0, 0},
			"long data for nothing": {7, 0, 0, 0, 24, 9, 9, 9, 9, 0, 0},
			"close nothing":         {1, 0, 0, 0, 25},
			"fetch nothing":         {9, 0, 0, 0, 28, 9, 9, 9, 9, 1, 0, 0, 0},
			"kill nothing":          {1, 0, 0, 0, 12},
			"half a change user":    {2, 0, 0, 0, 17, 'a'},
			"binlog dump":           {11, 0, 0, 0, 18, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0},
		} {
			t.Run(name, func(t *testing.T) {
				c := f.rawApp(t)
				defer c.Close()
				_, err := c.Conn().Write(bytes)
				cluster.Must(t, err)
				_ = c.Conn().(*net.TCPConn).CloseWrite()
				ended(t, c.Conn())
			})
		}
		bystander.want("1", "SELECT COUNT(*) FROM t")
	})
}

// Limits are answered with the servers' codes, and end with the sessions.
func TestConnectionLimits(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o, "limits: {max_connections: 4, max_connections_per_user: 2, max_unauthenticated_per_address: 2}")
		one, two := appLogin().must(t, f.proxy.Addr), appLogin().must(t, f.proxy.Addr)
		if got := appLogin().verdict(t, f.proxy.Addr); !strings.HasPrefix(got, "1203 (42000)") {
			t.Errorf("a third session of one user: %s", got)
		}
		waiting, _ := greeted(t, f.proxy.Addr)
		waiting2, _ := greeted(t, f.proxy.Addr)
		if got := adminLogin().verdict(t, f.proxy.Addr); !strings.HasPrefix(got, "1040 (08004)") {
			t.Errorf("too many that wait: %s", got)
		}
		cluster.Must(t, waiting.Close(), waiting2.Close())
		adminLogin().until(t, f.proxy.Addr, "in")
		admins := []*session{adminLogin().must(t, f.proxy.Addr), adminLogin().must(t, f.proxy.Addr)}
		if got := adminLogin().verdict(t, f.proxy.Addr); got != "1040 (08004): Too many connections" {
			t.Errorf("a fifth session: %s", got)
		}
		for _, s := range append(admins, one, two) {
			s.end()
		}
		appLogin().until(t, f.proxy.Addr, "in")
	})
}

// A PROXY header is believed from trusted addresses only.
func TestProxyHeaderOfTheUntrusted(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := startCluster(t, o)
		for _, c := range []struct{ name, trusted, header, want string }{
			{"v1, trusted", "127.0.0.1/32", "PROXY TCP4 10.9.8.7 10.0.0.1 4711 3306\r\n", "'nobody'@'10.9.8.7'"},
			{"v1 of 6, trusted", "127.0.0.1/32", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 3306\r\n", "'nobody'@'2001:db8::7'"},
			{"unknown, trusted", "127.0.0.1/32", "PROXY UNKNOWN\r\n", "'nobody'@'127.0.0.1'"},
			{"v2, trusted", "127.0.0.0/8", proxyV2, "'nobody'@'10.9.8.7'"},
			{"v2 local, trusted", "127.0.0.0/8", proxyV2[:12] + "\x20\x00\x00\x00", "'nobody'@'127.0.0.1'"},
			{"none, trusted", "127.0.0.1", "", ""},
			{"v1, not trusted", "10.0.0.0/8", "PROXY TCP4 10.9.8.7 10.0.0.1 4711 3306\r\n", ""},
			{"v2, not trusted", "10.0.0.0/8", proxyV2, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				f.before(t, "listen: {proxy_protocol: {trusted: ["+c.trusted+"]}}", "limits: {auth_timeout: 1s}")
				mysql.RegisterDialContext("headed", func(_ context.Context, addr string) (net.Conn, error) {
					conn, err := net.Dial("tcp", addr)
					if err == nil {
						_, err = io.WriteString(conn, c.header)
					}
					return conn, err
				})
				defer mysql.DeregisterDialContext("headed")
				got := login{user: "nobody", password: "x", network: "headed"}.verdict(t, f.proxy.Addr)
				if c.want == "" && (got == "in" || strings.Contains(got, "1045")) || !strings.Contains(got, c.want) {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		}
	})
}

const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x09\x08\x07\x0a\x00\x00\x01\x12\x67\x0c\xea"

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

// COM_CHANGE_USER takes the rights of the other account, and back.
func TestChangeUser(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		f.Exec(t, "CREATE USER weak@'%' IDENTIFIED BY 'weak'")
		f.WaitReplicated(t)
		login{user: "weak", password: "weak"}.until(t, f.proxy.Addr, "in")
		c, err := rawclient.Dial(rawclient.Options{Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: app})
		cluster.Must(t, err)
		defer c.Close()
		for range 3 {
			for _, who := range []struct{ user, schema, want string }{{"weak", "", "denied to user 'weak'"}, {"app", app, "\x011"}} {
				if got := changeUser(t, c, who.user, who.schema); got[0] != wire.HeaderOK {
					t.Fatalf("change to %s: %q", who.user, got)
				}
				for _, q := range []string{"SELECT COUNT(*) FROM shop.t", "SELECT COUNT(*) FROM shop.t FOR UPDATE"} {
					answer, err := c.Query(q)
					cluster.Must(t, err)
					if !strings.Contains(string(answer), who.want) {
						t.Errorf("%s as %s: %q", q, who.user, answer)
					}
				}
				_, err := c.Query("SET @x = 1")
				cluster.Must(t, err)
				_, err = c.Command(wire.ComResetConnection, nil)
				cluster.Must(t, err)
				answer, err := c.Query("SELECT @x IS NULL")
				cluster.Must(t, err)
				if !strings.Contains(string(answer), "\x011") {
					t.Errorf("after COM_RESET_CONNECTION: %q", answer)
				}
			}
		}
		if got := changeUser(t, c, "unknown", ""); binary.LittleEndian.Uint16(got[1:]) != 1045 {
			t.Errorf("change to nobody: %q", got)
		}
	})
}

// changeUser speaks COM_CHANGE_USER with the user's name as password and returns the verdict.
func changeUser(t *testing.T, c *rawclient.Client, user, schema string) []byte {
	t.Helper()
	plugin, salt := c.Greeting.AuthPlugin, c.Greeting.Salt[:]
	scramble := func() []byte {
		if plugin == "caching_sha2_password" {
			return wire.Sha2Scramble(user, salt)
		}
		return wire.NativeScramble(user, salt)
	}
	cu := wire.ChangeUser{User: user, Auth: scramble(), Schema: schema, HasCollation: true, Collation: 45, Plugin: plugin}
	out := wire.AppendChangeUser(nil, 0, &cu, c.Caps)
	for {
		_, err := c.Conn().Write(out)
		cluster.Must(t, err)
		payload, seq, err := wire.ReadPacket(c.Conn(), nil, 1<<16)
		cluster.Must(t, err)
		if payload[0] == wire.HeaderMoreData && payload[1] == wire.Sha2FastAuthOK {
			payload, seq, err = wire.ReadPacket(c.Conn(), nil, 1<<16)
			cluster.Must(t, err)
		}
		var answer []byte
		switch {
		case payload[0] == wire.HeaderEOF:
			var sw wire.AuthSwitchRequest
			cluster.Must(t, wire.DecodeAuthSwitchRequest(payload, &sw))
			plugin, salt = sw.Plugin, append([]byte(nil), sw.Salt()...)
			answer = scramble()
		case payload[0] == wire.HeaderMoreData && payload[1] == wire.Sha2FullAuth:
			answer = []byte{wire.Sha2RequestPublicKey}
		case payload[0] == wire.HeaderMoreData:
			key, err := wire.ParsePublicKey(payload[1:])
			cluster.Must(t, err)
			answer, err = wire.EncryptPassword(key, user, salt)
			cluster.Must(t, err)
		default:
			return payload
		}
		out = wire.AppendPacket(nil, seq+1, answer)
	}
}
