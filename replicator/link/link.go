package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// Conn is a connection on which commands are sent without waiting for answers.
// One goroutine sends, and one receives.
type Conn struct {
	Net net.Conn // closing it ends whoever waits on it
	R   *bufio.Reader
	W   *bufio.Writer
	ID  uint32 // the server's number of it

	buf   []byte // of the last packet received
	batch int    // see Batch
}

const (
	connCaps = wire.ClientLongPassword | wire.ClientProtocol41 | wire.ClientSecureConnection | wire.ClientPluginAuth |
		wire.ClientPluginAuthLenencClientData | wire.ClientTransactions | wire.ClientLongFlag |
		wire.ClientMultiStatements | wire.ClientMultiResults
	MaxAnswer = 16 << 20 // bytes of one packet that the follower sends
)

// Dial connects and logs in. A refusal is a *wire.Err.
func Dial(ctx context.Context, cfg mysqlconn.Config) (*Conn, error) {
	timeout := cfg.ConnectTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	network, address := mysqlconn.Network(cfg.Address)
	d := net.Dialer{Timeout: timeout}
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	_ = nc.SetDeadline(time.Now().Add(timeout))
	c := &Conn{Net: nc, batch: 1}
	if err := c.logIn(ctx, cfg, network, address); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("log in at %s: %w", address, err)
	}
	_ = c.Net.SetDeadline(time.Time{})
	return c, nil
}

func (c *Conn) logIn(ctx context.Context, cfg mysqlconn.Config, network, address string) error {
	payload, seq, err := wire.ReadPacket(c.Net, nil, MaxAnswer)
	if err != nil {
		return err
	}
	if len(payload) > 0 && payload[0] == wire.HeaderErr {
		return DecodeErr(payload)
	}
	var g wire.Greeting
	if err := wire.DecodeGreeting(payload, &g); err != nil {
		return err
	}
	c.ID = g.ThreadID
	seq++
	if network == "tcp" {
		if seq, err = c.encrypt(ctx, cfg.TLS, address, &g, seq); err != nil {
			return err
		}
	}
	caps := connCaps & g.Caps
	plugin := g.AuthPlugin
	salt := append([]byte(nil), g.Salt[:]...)
	auth, err := c.scramble(plugin, cfg.Password, salt)
	if err != nil { // the server will ask for another plugin
		plugin, auth = wire.PluginNative, wire.NativeScramble(cfg.Password, salt)
	}
	resp := wire.HandshakeResponse{
		Caps: caps, MaxPacket: 1 << 30, Collation: byte(wire.CollationUTF8MB4GeneralCI), User: cfg.User, Auth: auth, Plugin: plugin,
	}
	if _, err := c.Net.Write(wire.AppendHandshakeResponse(nil, seq, &resp)); err != nil {
		return err
	}
	if err := c.authenticate(cfg.Password, salt, network == "unix"); err != nil {
		return err
	}
	c.R, c.W = bufio.NewReaderSize(c.Net, 16<<10), bufio.NewWriterSize(c.Net, 256<<10)
	return nil
}

func (c *Conn) encrypt(ctx context.Context, mode mysqlconn.TLS, address string, g *wire.Greeting, seq byte) (byte, error) {
	config, err := mode.Config(address)
	if err != nil || config == nil {
		return seq, err
	}
	if !g.Caps.Has(wire.ClientSSL) {
		if mode.Mode == mysqlconn.TLSPreferred {
			return seq, nil
		}
		return seq, errors.New("the server does not offer TLS")
	}
	req := wire.SSLRequest{Caps: connCaps & g.Caps, MaxPacket: 1 << 30, Collation: byte(wire.CollationUTF8MB4GeneralCI)}
	if _, err := c.Net.Write(wire.AppendSSLRequest(nil, seq, &req)); err != nil {
		return seq, err
	}
	t := tls.Client(c.Net, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return seq, err
	}
	c.Net = t
	return seq + 1, nil
}

func (c *Conn) scramble(plugin, password string, salt []byte) ([]byte, error) {
	switch plugin {
	case wire.PluginNative:
		return wire.NativeScramble(password, salt), nil
	case wire.PluginCachingSha2:
		return wire.Sha2Scramble(password, salt), nil
	case wire.PluginEd25519:
		return wire.Ed25519Sign(password, salt)
	}
	return nil, fmt.Errorf("authentication plugin %q is not supported", plugin)
}

// authenticate answers until the server says OK. On a safe channel (TLS, a unix
// socket) caching_sha2_password's full form sends the password itself.
func (c *Conn) authenticate(password string, salt []byte, safe bool) error {
	if _, isTLS := c.Net.(*tls.Conn); isTLS {
		safe = true
	}
	for {
		payload, seq, err := wire.ReadPacket(c.Net, nil, MaxAnswer)
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			return wire.ErrMalformed
		}
		var answer []byte
		switch payload[0] {
		case wire.HeaderOK:
			return nil
		case wire.HeaderErr:
			return DecodeErr(payload)
		case wire.HeaderEOF:
			var sw wire.AuthSwitchRequest
			if err := wire.DecodeAuthSwitchRequest(payload, &sw); err != nil {
				return err
			}
			salt = append([]byte(nil), sw.Salt()...)
			if answer, err = c.scramble(sw.Plugin, password, salt); err != nil {
				return err
			}
		case wire.HeaderMoreData:
			switch {
			case len(payload) == 2 && payload[1] == wire.Sha2FastAuthOK:
				continue
			case len(payload) == 2 && payload[1] == wire.Sha2FullAuth && safe:
				answer = append([]byte(password), 0)
			case len(payload) == 2 && payload[1] == wire.Sha2FullAuth:
				answer = []byte{wire.Sha2RequestPublicKey}
			default:
				key, err := wire.ParsePublicKey(payload[1:])
				if err != nil {
					return err
				}
				if answer, err = wire.EncryptPassword(key, password, salt); err != nil {
					return err
				}
			}
		default:
			return wire.ErrMalformed
		}
		if _, err := wire.WritePacket(c.Net, answer, seq+1); err != nil {
			return err
		}
	}
}

// Send buffers a COM_QUERY of a text in two parts; W.Flush sends what is buffered.
func (c *Conn) Send(head string, text []byte) error {
	payload := make([]byte, 0, 1+len(head)+len(text))
	payload = append(append(append(payload, byte(wire.ComQuery)), head...), text...)
	_, err := wire.WritePacket(c.W, payload, 0)
	return err
}

// Receive reads the answers of a command of n statements, or those up to the
// first that failed, whose error it returns as *wire.Err. They are counted:
// what follows BINLOG is sent without SERVER_MORE_RESULTS before it.
func (c *Conn) Receive(n int) error {
	for range n {
		if err := c.receiveOne(); err != nil {
			return err
		}
	}
	return nil
}

// receiveOne reads an OK, or a result set, which it throws away.
func (c *Conn) receiveOne() error {
	for ends := 0; ; {
		payload, _, err := wire.ReadPacket(c.R, c.buf, MaxAnswer)
		if err != nil {
			return err
		}
		c.buf = payload
		switch {
		case len(payload) == 0:
			return wire.ErrMalformed
		case payload[0] == wire.HeaderErr:
			return DecodeErr(payload)
		case payload[0] == wire.HeaderOK && ends == 0:
			return nil
		case payload[0] == wire.HeaderEOF && len(payload) < 9:
			if ends++; ends == 2 { // of the columns, and of the rows
				return nil
			}
		}
		if payload[0] == wire.HeaderLocalInfile && ends == 0 {
			return wire.ErrMalformed
		}
	}
}

// Exec runs one command of n statements.
func (c *Conn) Exec(text string, n int) error {
	if err := c.Send(text, nil); err != nil {
		return err
	}
	if err := c.W.Flush(); err != nil {
		return err
	}
	return c.Receive(n)
}

// DecodeErr is the error in an ERR packet, as *wire.Err.
func DecodeErr(payload []byte) error {
	e := new(wire.Err)
	if err := wire.DecodeErr(payload, e); err != nil {
		return err
	}
	return e
}
