package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// maxResponse bounds what a client may send before it is authenticated, bytes:
// user, schema and 64 KiB of connection attributes.
const maxResponse = 80 << 10

// errRejected says that the client was told why and may be forgotten.
var errRejected = errors.New("rejected")

// greet takes the client through the connection phase: greeting, encryption,
// compression, authentication, and the first backend connection.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
func (s *session) greet(ctx context.Context) error {
	set := s.srv.settings.Load()
	_ = s.socket.SetDeadline(time.Now().Add(set.AuthTimeout))
	g, err := s.srv.offers.greeting(ctx, s.snapshot())
	if err != nil {
		return s.reject(0, wire.NewErr(erConnHost, "Bellwether: %v", err))
	}
	if err := s.hostAllowed(); err != nil {
		return err
	}
	salt := wire.NewSalt()
	s.salt = salt[:]
	g.Salt, g.ThreadID = salt, s.id
	offered := g.Caps&^(wire.ClientSSL|wire.ClientCompress|wire.ClientZstdCompression|notRelayed) |
		wire.ClientConnectWithDB | wire.ClientPluginAuth | wire.ClientSecureConnection |
		wire.ClientProtocol41 | wire.ClientConnectAttrs | wire.ClientPluginAuthLenencClientData
	if set.TLS != nil {
		offered |= wire.ClientSSL
	}
	if set.Zlib {
		offered |= wire.ClientCompress
	}
	if set.Zstd && s.srv.flavor() == gtid.MySQL {
		offered |= wire.ClientZstdCompression
	}
	g.Caps = offered
	if err := s.reply(wire.AppendGreeting(nil, 0, g)); err != nil {
		return err
	}
	x := exchange{s: s}
	payload, err := x.read()
	if err != nil {
		return err
	}
	if wire.IsSSLRequest(payload) && set.TLS != nil {
		if err := s.encrypt(ctx, set.TLS); err != nil {
			return err
		}
		if payload, err = x.read(); err != nil {
			return err
		}
	}
	var resp wire.HandshakeResponse
	if err := wire.DecodeHandshakeResponse(payload, offered, &resp); err != nil {
		return s.reject(x.seq+1, wire.NewErr(wire.ErHandshake, "Bad handshake"))
	}
	if set.TLSRequired && !s.secure {
		return s.reject(x.seq+1, wire.NewErr(wire.ErSecureTransportRequired,
			"Connections using insecure transport are prohibited while --require_secure_transport=ON."))
	}
	s.adopt(&resp)
	if err := x.authenticate(ctx, resp.User, resp.Plugin, resp.Auth); err != nil {
		return err
	}
	if err := x.ended(); err != nil {
		return err
	}
	if err := s.first(ctx, x.seq+1); err != nil {
		return err
	}
	if err := s.compress(&resp); err != nil {
		return err
	}
	return s.socket.SetDeadline(time.Time{})
}

// notRelayed are capabilities that a node offers and Bellwether does not pass on:
// further authentication factors, and what would bind a client to one server. With
// MariaDB's cached metadata a server leaves out the columns that it told last, of a
// statement that may have run elsewhere since, with parameters of other types.
const notRelayed = wire.ClientMultiFactorAuthentication | wire.MariaDBClientComMulti | wire.MariaDBClientCacheMetadata

// adopt takes over what the client said of itself.
func (s *session) adopt(resp *wire.HandshakeResponse) {
	s.caps = resp.Caps
	s.collation = resp.Collation
	s.maxPacket = resp.MaxPacket
	s.attrs = append([]byte(nil), resp.Attrs...)
	s.user = resp.User
	s.state.schema = resp.Schema
	info := s.srv.cfg.Server()
	s.tracked.parse(info.TrackedVars)
	s.mode.Flavor = s.srv.flavor()
	s.setSQLMode(info.SQLMode)
	s.setCollation(resp.Collation)
	s.view.User = resp.User
	s.view.Autocommit = true
	s.view.Seed = uint64(s.id) * 0x9e3779b97f4a7c15
	s.view.ClientAddr = s.addr.Addr()
}

// encrypt upgrades the client's connection to TLS.
func (s *session) encrypt(ctx context.Context, cfg *tls.Config) error {
	// Clients send their hello right behind the request, without waiting. It is for
	// TLS to read, and nothing that came in clear is read as a packet.
	hello := bytes.Clone(s.in.buf[s.in.r+s.held : s.in.w])
	s.held = 0
	s.in.consume(s.in.w - s.in.r)
	conn := s.conn
	if len(hello) > 0 {
		conn = &readAhead{Conn: conn, head: hello}
	}
	tc := tls.Server(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls with the client: %w", err)
	}
	s.conn = tc
	s.secure = true
	return nil
}

// readAhead is a connection of which some bytes have been read already.
type readAhead struct {
	net.Conn
	head []byte
}

// Read implements io.Reader.
func (c *readAhead) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// compress switches to the compressed protocol, where it was negotiated.
func (s *session) compress(resp *wire.HandshakeResponse) error {
	algorithm, ok := wire.NegotiatedCompression(resp.Caps)
	if !ok {
		return nil
	}
	c, err := wire.NewCompressedConn(s.conn, algorithm, int(resp.ZstdLevel))
	if err != nil {
		return err
	}
	s.conn, s.compressed = c, c
	return nil
}

// reject tells the client why it is not let in.
func (s *session) reject(seq byte, e *wire.Err) error {
	_ = s.reply(wire.AppendErr(nil, seq, e, s.caps|wire.ClientProtocol41))
	return fmt.Errorf("%w: %w", errRejected, e)
}

// hostAllowed refuses clients from addresses that no account allows, before the
// greeting, as the servers do.
func (s *session) hostAllowed() error {
	table := s.srv.cfg.Accounts()
	if table == nil || table.HostAllowed(s.addr.Addr(), "", s.local) {
		return nil
	}
	if name := s.hostname(""); name != "" && table.HostAllowed(s.addr.Addr(), name, s.local) {
		return nil
	}
	return s.reject(0, wire.NewErr(wire.ErHostNotPrivileged,
		"Host '%s' is not allowed to connect to this %s server", s.host(), s.productName()))
}

func (s *session) productName() string {
	if s.srv.flavor() == gtid.MariaDB {
		return "MariaDB"
	}
	return "MySQL"
}

// first takes the first backend connection and answers the login with what the
// node answered there. A schema that does not exist, or may not be used, is
// found out here, as on a direct connection.
func (s *session) first(ctx context.Context, seq byte) error {
	b, err := s.firstBackend(ctx)
	if err != nil {
		var e *wire.Err
		switch {
		case errors.As(err, &e):
			s.logger().Warn("a node refused a login that the accounts allow", "user", s.user, "err", err)
			return s.reject(seq, e)
		case errors.Is(err, errPoolFull):
			return s.reject(seq, wire.NewErr(wire.ErConCount, "Too many connections"))
		default:
			return s.reject(seq, wire.NewErr(erConnHost, "Bellwether: %v", err))
		}
	}
	var ok wire.OK
	if err := wire.DecodeOK(b.login, b.caps, &ok); err != nil {
		return err
	}
	s.publish()
	s.begun = true
	s.status = uint16(ok.Status &^ wire.StatusSessionStateChange)
	s.view.Autocommit = ok.Status.Has(wire.StatusAutocommit)
	if s.caps.Has(wire.ClientSessionTrack) {
		s.kept = wire.FilterState(s.kept[:0], ok.State, s.tracked.wants)
		ok.State = s.kept
	} else {
		ok.State = nil
	}
	if len(ok.State) == 0 {
		ok.Status &^= wire.StatusSessionStateChange
	}
	s.scratch = wire.AppendOK(s.scratch[:0], seq, &ok, s.caps)
	return s.reply(s.scratch)
}

// firstBackend prefers an idle follower connection of the same user, which costs
// nothing; else it is the leader's.
func (s *session) firstBackend(ctx context.Context) (*backend, error) {
	snap := s.snapshot()
	read := router.Statement{Class: router.ClassRead, Reason: router.ReasonRead, Verb: router.VerbSelect}
	d := s.srv.settings.Load().Policy.Route(&s.view, &read, &router.Query{}, snap)
	if d.Target == router.TargetFollower && s.srv.shares() && !s.account.PasswordExpired {
		w := s.wish(d.Node, true)
		if b := s.srv.pools.of(d.Node.Name).take(w, time.Now()); b != nil {
			s.follower = b
			s.settleAt(b)
			if b.schema == s.state.schema { // else it is not certain that the schema may be used
				return b, nil
			}
		}
	}
	if l := snap.Leader; d.Target == router.TargetFollower && (l == nil || l.State == topology.StateDown) {
		b, err := s.followerConn(ctx, d.Node) // reads go on without a leader
		if err == nil {
			return b, nil
		}
		s.logger().Info("no first connection to a follower", "node", d.Node.Name, "err", err)
	}
	return s.homeConn(ctx)
}
