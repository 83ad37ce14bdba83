package rawclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// Options say who logs in, and with which capabilities.
type Options struct {
	Address        string // host:port
	User, Password string
	Schema         string
	Caps           wire.Capability // beside those without which nothing works
	Collation      byte            // 0: utf8mb4_general_ci
	Timeout        time.Duration   // of one answer; 0: 30 s
}

// Client is a logged-in connection.
type Client struct {
	conn     net.Conn
	opts     Options
	Caps     wire.Capability // what both sides have
	Greeting wire.Greeting
	Login    []byte // the OK payload of the login
}

// basic are the capabilities that are always asked for.
const basic = wire.ClientProtocol41 | wire.ClientSecureConnection | wire.ClientPluginAuth |
	wire.ClientPluginAuthLenencClientData | wire.ClientTransactions | wire.ClientLongFlag

// Dial connects and logs in. A refusal is a *wire.Err.
func Dial(o Options) (*Client, error) {
	if o.Collation == 0 {
		o.Collation = 45
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	conn, err := net.DialTimeout("tcp", o.Address, o.Timeout)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, opts: o}
	if err := c.logIn(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) logIn() error {
	_ = c.conn.SetDeadline(time.Now().Add(c.opts.Timeout))
	payload, seq, err := wire.ReadPacket(c.conn, nil, 1<<20)
	if err != nil {
		return err
	}
	if err := wire.DecodeGreeting(payload, &c.Greeting); err != nil {
		return err
	}
	want := basic | c.opts.Caps
	if c.opts.Schema != "" {
		want |= wire.ClientConnectWithDB
	}
	c.Caps = want & c.Greeting.Caps
	resp := wire.HandshakeResponse{
		Caps: c.Caps, MaxPacket: 64 << 20, Collation: c.opts.Collation,
		User: c.opts.User, Schema: c.opts.Schema, Plugin: c.Greeting.AuthPlugin,
	}
	if resp.Auth, err = scramble(c.Greeting.AuthPlugin, c.opts.Password, c.Greeting.Salt[:]); err != nil {
		return err
	}
	if _, err := c.conn.Write(wire.AppendHandshakeResponse(nil, seq+1, &resp)); err != nil {
		return err
	}
	c.Login, err = c.authenticate(c.Greeting.Salt[:])
	return err
}

func scramble(plugin, password string, salt []byte) ([]byte, error) {
	switch plugin {
	case "mysql_native_password":
		return wire.NativeScramble(password, salt), nil
	case "caching_sha2_password":
		return wire.Sha2Scramble(password, salt), nil
	}
	return nil, fmt.Errorf("plugin %s is not known", plugin)
}

// authenticate answers until the server says OK, and returns its payload.
func (c *Client) authenticate(salt []byte) ([]byte, error) {
	for {
		payload, seq, err := wire.ReadPacket(c.conn, nil, 1<<20)
		if err != nil {
			return nil, err
		}
		if len(payload) == 0 {
			return nil, wire.ErrMalformed
		}
		var answer []byte
		switch payload[0] {
		case wire.HeaderOK:
			return payload, nil
		case wire.HeaderErr:
			e := new(wire.Err)
			if err := wire.DecodeErr(payload, e); err != nil {
				return nil, err
			}
			return nil, e
		case wire.HeaderEOF:
			var sw wire.AuthSwitchRequest
			if err := wire.DecodeAuthSwitchRequest(payload, &sw); err != nil {
				return nil, err
			}
			salt = append([]byte(nil), sw.Salt()...)
			if answer, err = scramble(sw.Plugin, c.opts.Password, salt); err != nil {
				return nil, err
			}
		case wire.HeaderMoreData:
			switch {
			case len(payload) == 2 && payload[1] == wire.Sha2FastAuthOK:
				continue
			case len(payload) == 2 && payload[1] == wire.Sha2FullAuth:
				answer = []byte{wire.Sha2RequestPublicKey}
			default:
				key, err := wire.ParsePublicKey(payload[1:])
				if err != nil {
					return nil, err
				}
				if answer, err = wire.EncryptPassword(key, c.opts.Password, salt); err != nil {
					return nil, err
				}
			}
		default:
			return nil, wire.ErrMalformed
		}
		if _, err := wire.WritePacket(c.conn, answer, seq+1); err != nil {
			return nil, err
		}
	}
}

// Close ends the connection.
func (c *Client) Close() {
	_, _ = c.conn.Write([]byte{1, 0, 0, 0, byte(wire.ComQuit)})
	_ = c.conn.Close()
}

// Conn is the socket, for those who break the protocol on purpose.
func (c *Client) Conn() net.Conn { return c.conn }

// Query sends a text and returns the answer's packets.
func (c *Client) Query(sql string) ([]byte, error) { return c.Command(wire.ComQuery, []byte(sql)) }

// ErrLocalInfile is returned when the server asks for a file.
var ErrLocalInfile = errors.New("the server asks for a file")

// Command sends a command and returns the packets of its answer, headers included.
func (c *Client) Command(cmd wire.Command, arg []byte) ([]byte, error) {
	if err := c.Send(cmd, arg); err != nil {
		return nil, err
	}
	return c.Receive(cmd)
}

// Send sends a command.
func (c *Client) Send(cmd wire.Command, arg []byte) error {
	_ = c.conn.SetDeadline(time.Now().Add(c.opts.Timeout))
	_, err := wire.WritePacket(c.conn, append([]byte{byte(cmd)}, arg...), 0)
	return err
}

// Receive reads the answer of a command.
func (c *Client) Receive(cmd wire.Command) ([]byte, error) {
	var sc wire.Scanner
	sc.Begin(cmd, c.Caps)
	var all []byte
	at := 0
	buf := make([]byte, 64<<10)
	for {
		n, err := c.conn.Read(buf)
		all = append(all, buf[:n]...)
		if n == 0 && err != nil {
			return all, err
		}
		for {
			forward, ev := sc.Scan(all[at:])
			at += forward
			if ev == wire.EvMore {
				break
			}
			if ev == wire.EvMalformed {
				return all, wire.ErrMalformed
			}
			at += sc.Size()
			if ev == wire.EvLocalInfile {
				return all, ErrLocalInfile
			}
			if sc.Done() {
				if at != len(all) {
					return all, fmt.Errorf("%d bytes behind the end of the answer", len(all)-at)
				}
				return all, nil
			}
		}
	}
}

// Prepare prepares a statement and returns its id and the answer's packets.
func (c *Client) Prepare(sql string) (uint32, []byte, error) {
	all, err := c.Command(wire.ComStmtPrepare, []byte(sql))
	if err != nil {
		return 0, all, err
	}
	if all[wire.HeaderLen] == wire.HeaderErr {
		return 0, all, nil
	}
	var p wire.StmtPrepareOK
	n, _ := wire.Header(all)
	if err := wire.DecodeStmtPrepareOK(all[wire.HeaderLen:wire.HeaderLen+n], c.Caps, &p); err != nil {
		return 0, all, err
	}
	return p.ID, all, nil
}

// Execute executes a statement without parameters; flags are the cursor type.
func (c *Client) Execute(id uint32, flags byte) ([]byte, error) {
	arg := binary.LittleEndian.AppendUint32(nil, id)
	arg = append(arg, flags, 1, 0, 0, 0)
	if c.Caps.Has(wire.ClientQueryAttributes) {
		arg[4] |= 8 // PARAMETER_COUNT_AVAILABLE
		arg = append(arg, 0)
	}
	return c.Command(wire.ComStmtExecute, arg)
}
