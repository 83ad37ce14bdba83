package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// errBackendBusy says that a connection taken from the pool had bytes waiting,
// so that its state is not what we believed.
var errBackendBusy = errors.New("idle connection has unexpected data")

// backend is one connection to a node, logged in as a client's user. It is owned
// by the pool while idle and by one session otherwise.
type backend struct {
	conn     net.Conn
	raw      syscall.RawConn // of the socket; nil where it has none
	node     string
	address  string // of the node: its name may come to mean another server
	load     *topology.Load
	key      poolKey
	pool     *pool // that counts it; nil before it was given to a session
	caps     wire.Capability
	threadID uint32
	follower bool // session is read-only, see promise P2

	login  []byte // the OK payload that ended the login: what a new client is told
	status uint16 // last server status

	schema string  // current default schema
	vars   *varSet // the session variables that were set here since the login or the last reset
	// baseAutocommit is whether a session begins with autocommit.
	baseAutocommit bool

	lastID   uint64 // what LAST_INSERT_ID() answers here, where inherit is nil
	unsureID bool   // lastID is not certain, and nobody wants to know
	dirty    bool   // something ran that may have left state behind: reset before reuse
	unclean  bool   // shared: there is, or may be, what no difference brings away
	spoilt   bool   // there is what no reset brings away
	broken   bool   // never to be reused
	owes     bool   // shared: it is to tell yet that a statement was prepared, see settleChange
	single   bool   // for no other session than the one that has it

	lease   lease
	inherit *inherit // what its last session wants to know when it is taken; nil: nothing

	charsets string // brings back what the login chose, see loginCharsets; empty before that is known
	born     time.Time
	jitter   float64   // what its lifetime is shortened by, see expired
	idle     time.Time // when it was last put into the pool

	prepared preparedCache
}

func (b *backend) close() {
	if b.conn == nil {
		return
	}
	_ = b.conn.Close()
	b.conn = nil
	b.load.Connections.Add(-1)
}

// at says whether the connection is to that node, at the address that it has now.
func (b *backend) at(n *topology.Node) bool {
	return n != nil && b.node == n.Name && b.address == n.Address
}

// cut breaks the connection from outside its session: what waits there wakes up,
// and nobody can use it again. The session closes it.
func (b *backend) cut() {
	if b.raw == nil {
		return
	}
	_ = b.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

// exchange sends a request and reads the first of its answer into a chunk, which
// is the caller's to give back. With no request it only reads.
func (b *backend) exchange(request []byte) (*chunk, int, error) {
	if c, ok := b.conn.(*fastConn); ok && len(request) > 0 {
		return c.Exchange(request)
	}
	if len(request) > 0 {
		if _, err := b.conn.Write(request); err != nil {
			return nil, 0, err
		}
	}
	c := getChunk()
	n, err := b.conn.Read(c[:])
	if n == 0 && err != nil {
		putChunk(c)
		return nil, 0, err
	}
	return c, n, nil
}

// quit says good-bye to the server and closes.
func (b *backend) quit() {
	if b.conn == nil {
		return
	}
	if !b.broken {
		_ = b.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = b.conn.Write([]byte{1, 0, 0, 0, byte(wire.ComQuit)})
	}
	b.close()
}

// alive probes an idle connection without a round trip: it must have nothing to
// read, neither bytes nor the end.
func (b *backend) alive() error {
	if b.raw == nil {
		return nil
	}
	var probe error
	err := b.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EAGAIN):
		case err != nil:
			probe = err
		case n == 0:
			probe = io.EOF
		default:
			probe = errBackendBusy
		}
		return true
	})
	if err != nil {
		return err
	}
	return probe
}

// command sends a small command and reads its answer, which must be a single OK
// or ERR packet. It is for our own commands, not for relayed ones.
func (b *backend) command(cmd wire.Command, arg string) (wire.OK, error) {
	if _, err := b.conn.Write(appendCommand(nil, cmd, b.caps, arg)); err != nil {
		b.broken = true
		return wire.OK{}, err
	}
	return b.readOK()
}

// appendCommand appends a command of our own. Where query attributes are
// negotiated, a query without any says so.
func appendCommand(dst []byte, cmd wire.Command, caps wire.Capability, arg string) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(cmd))
	if cmd == wire.ComQuery && caps.Has(wire.ClientQueryAttributes) {
		dst = append(dst, 0, 1) // no parameters, in one set
	}
	dst = append(dst, arg...)
	wire.PutHeader(dst[start:], len(dst)-start-wire.HeaderLen, 0)
	return dst
}

// readOK reads one packet that must be OK or ERR. A server's refusal comes back
// as *wire.Err and leaves the connection usable.
func (b *backend) readOK() (wire.OK, error) {
	payload, _, err := wire.ReadPacket(b.conn, nil, 1<<20)
	if err != nil {
		b.broken = true
		return wire.OK{}, err
	}
	if len(payload) > 0 && payload[0] == wire.HeaderErr {
		e := new(wire.Err)
		if err := wire.DecodeErr(payload, e); err != nil {
			b.broken = true
			return wire.OK{}, err
		}
		return wire.OK{}, e
	}
	var ok wire.OK
	if err := wire.DecodeOK(payload, b.caps, &ok); err != nil {
		b.broken = true
		return wire.OK{}, err
	}
	b.status = uint16(ok.Status)
	return ok, nil
}

// queryText runs a query of our own and returns the first column of its first row.
func (b *backend) queryText(sql string) (string, error) {
	if _, err := b.conn.Write(appendCommand(nil, wire.ComQuery, b.caps, sql)); err != nil {
		b.broken = true
		return "", err
	}
	var sc wire.Scanner
	sc.Begin(wire.ComQuery, b.caps)
	var all []byte
	var last []byte // of the answer: the last packet before its end is the row
	for !sc.Done() {
		payload, seq, err := wire.ReadPacket(b.conn, nil, 1<<20)
		if err != nil {
			b.broken = true
			return "", err
		}
		if len(payload) > 0 && payload[0] == wire.HeaderErr {
			e := new(wire.Err)
			if err := wire.DecodeErr(payload, e); err != nil {
				b.broken = true
				return "", err
			}
			return "", e
		}
		all = wire.AppendPacket(all[:0], seq, payload)
		forward, ev := sc.Scan(all)
		switch {
		case ev == wire.EvMalformed:
			b.broken = true
			return "", wire.ErrMalformed
		case forward == len(all) && sc.Rows() == 1:
			last = append(last[:0], payload...)
		}
	}
	text, n := wire.LenencString(last)
	if n == 0 {
		return "", wire.ErrMalformed
	}
	return string(text), nil
}

// setUp brings a fresh or reset session to what Bellwether needs of it.
func (b *backend) setUp(mariadb bool) error {
	_, err := b.command(wire.ComQuery, b.setUpSQL(mariadb))
	return err
}

// setUpSQL is one statement: on the leader the trackers that tell what the
// session changes, on a follower the promise that nothing can be written.
// MariaDB before 11.1 knows only the older name of the variable.
func (b *backend) setUpSQL(mariadb bool) string {
	switch {
	case !b.follower && b.key.shared:
		return track(mariadb) + trackChange
	case !b.follower:
		return track(mariadb)
	case mariadb:
		return "SET SESSION tx_read_only=1"
	default:
		return "SET SESSION transaction_read_only=1"
	}
}

// track is what the home connection is to tell: all changed variables, the schema,
// and the GTIDs of its own writes, which MariaDB has in a variable.
func track(mariadb bool) string {
	const both = "SET SESSION session_track_system_variables='*',session_track_schema=1"
	if mariadb {
		return both
	}
	return both + ",session_track_gtids=OWN_GTID"
}

// trackChange makes the server tell that anything of the session changed, user
// variables and temporary tables included, though not what.
const trackChange = ",session_track_state_change=1"

// reset forgets everything that the last user of the session did, in one round
// trip: COM_RESET_CONNECTION and the set-up are sent together.
func (b *backend) reset(mariadb bool) error {
	if _, err := b.conn.Write(b.appendReset(nil, mariadb)); err != nil {
		b.broken = true
		return err
	}
	return b.readReset()
}

// appendReset appends the commands of a reset, which readReset reads the answers of.
func (b *backend) appendReset(dst []byte, mariadb bool) []byte {
	dst = appendCommand(dst, wire.ComResetConnection, b.caps, "")
	return appendCommand(dst, wire.ComQuery, b.caps, b.setUpSQL(mariadb)+b.charsets)
}

func (b *backend) readReset() error {
	for range 2 {
		if _, err := b.readOK(); err != nil {
			b.broken = true // whatever it was, the state is not known
			return err
		}
	}
	b.prepared.forget()
	b.dirty, b.unclean = false, false
	b.vars, b.lastID, b.unsureID, b.inherit = nil, 0, false, nil
	return nil
}

// dialSpec says how to log in to a node.
type dialSpec struct {
	node      *topology.Node
	cred      *credential
	caps      wire.Capability
	collation byte
	schema    string
	attrs     []byte // connection attributes, encoded as the client sent them
	maxPacket uint32
	mode      TLSMode
	tls       *tls.Config
	proxyHdr  []byte // PROXY header to send first; nil for none
	timeout   time.Duration
}

// networkOf tells a unix socket's path from host:port.
func networkOf(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

// dial connects and logs in. A refusal by the server is a *wire.Err.
func dial(ctx context.Context, spec *dialSpec) (*backend, *wire.Greeting, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.timeout)
	defer cancel()
	network := networkOf(spec.node.Address)
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, spec.node.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", spec.node.Name, err)
	}
	raw := conn
	conn = newFastConn(conn)
	b := &backend{
		conn: conn, node: spec.node.Name, address: spec.node.Address, load: spec.node.Load,
		schema: spec.schema, born: time.Now(), jitter: newJitter(),
	}
	b.load.Connections.Add(1)
	if sc, ok := raw.(syscall.Conn); ok {
		b.raw, _ = sc.SyscallConn()
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	greeting, err := b.logIn(spec, network == "unix")
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		b.broken = true
		b.close()
		return nil, nil, fmt.Errorf("log in to %s: %w", spec.node.Name, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return b, greeting, nil
}
