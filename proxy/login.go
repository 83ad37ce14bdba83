package proxy

import (
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// Names of authentication plugins.
const (
	pluginNative  = "mysql_native_password"
	pluginSha2    = "caching_sha2_password"
	pluginSha256  = "sha256_password"
	pluginClear   = "mysql_clear_password"
	pluginEd25519 = "client_ed25519"
	pluginDialog  = "dialog"
)

var (
	errNoSecret  = errors.New("the node asks for a proof of the password that cannot be given without knowing it")
	errClearText = errors.New("the node asks for the password in clear over an unencrypted connection; refused")
)

// credential is what a client proved to know, enough to log in to the nodes as
// that user.
type credential struct {
	user     string
	password string // known where known is set
	known    bool
	native   [sha1.Size]byte // SHA1(password), recovered from the client's scramble
	hasSHA1  bool
	empty    bool // the account has no password
}

func passwordCredential(user, password string) *credential {
	return &credential{
		user: user, password: password, known: true, empty: password == "",
		native: wire.NativeStage1(password), hasSHA1: true,
	}
}

// reply answers a plugin's challenge without sending the password itself.
func (c *credential) reply(plugin string, salt []byte) ([]byte, error) {
	if c.empty {
		if plugin == pluginSha2 || plugin == pluginSha256 || plugin == pluginNative || plugin == pluginEd25519 {
			return nil, nil
		}
	}
	switch plugin {
	case pluginNative, "":
		if !c.hasSHA1 {
			return nil, errNoSecret
		}
		return wire.NativeScrambleFromStage1(c.native, salt), nil
	case pluginSha2:
		if !c.known {
			return nil, errNoSecret
		}
		return wire.Sha2Scramble(c.password, salt), nil
	case pluginEd25519:
		if !c.known {
			return nil, errNoSecret
		}
		return wire.Ed25519Sign(c.password, salt)
	default:
		return nil, fmt.Errorf("plugin %s: %w", plugin, errNoSecret)
	}
}

// logIn speaks the handshake of the connection phase as a client.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
func (b *backend) logIn(spec *dialSpec, local bool) (*wire.Greeting, error) {
	if len(spec.proxyHdr) > 0 {
		if _, err := b.conn.Write(spec.proxyHdr); err != nil {
			return nil, err
		}
	}
	payload, seq, err := wire.ReadPacket(b.conn, nil, 64<<10)
	if err != nil {
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	greeting := new(wire.Greeting)
	if err := wire.DecodeGreeting(payload, greeting); err != nil {
		return nil, err
	}
	g := greeting
	b.threadID = g.ThreadID

	want := spec.caps | wire.ClientProtocol41 | wire.ClientSecureConnection | wire.ClientPluginAuth |
		wire.ClientPluginAuthLenencClientData | wire.ClientSessionTrack | wire.ClientTransactions
	if spec.schema != "" {
		want |= wire.ClientConnectWithDB
	}
	if len(spec.attrs) > 0 {
		want |= wire.ClientConnectAttrs
	}
	resp := wire.HandshakeResponse{
		Caps: want & g.Caps, MaxPacket: spec.maxPacket, Collation: spec.collation,
		User: spec.cred.user, Schema: spec.schema, Attrs: spec.attrs,
	}
	secure := local
	if spec.mode != TLSOff && !local {
		switch {
		case g.Caps&wire.ClientSSL != 0:
			resp.Caps |= wire.ClientSSL
			seq++
			if err := b.upgrade(&resp, seq, spec.tls); err != nil {
				return nil, err
			}
			secure = true
		case spec.mode != TLSPreferred:
			return nil, errors.New("encryption is required, and the node offers none")
		}
	}
	b.caps = resp.Caps
	salt := greeting.Salt[:]
	resp.Plugin = g.AuthPlugin
	if resp.Auth, err = spec.cred.reply(g.AuthPlugin, salt); err != nil {
		// Name a plugin that we can answer; the server switches if it must.
		resp.Plugin = pluginNative
		if spec.cred.known && !spec.cred.hasSHA1 {
			resp.Plugin = pluginSha2
		}
		if resp.Auth, err = spec.cred.reply(resp.Plugin, salt); err != nil {
			resp.Auth = nil
		}
	}
	seq++
	if _, err := b.conn.Write(wire.AppendHandshakeResponse(nil, seq, &resp)); err != nil {
		return nil, err
	}
	return greeting, b.finishAuth(spec.cred, resp.Plugin, salt, secure)
}

// answer sends the next packet of an authentication.
func (b *backend) answer(payload []byte, seq byte) error {
	_, err := wire.WritePacket(b.conn, payload, seq)
	return err
}

// upgrade asks for TLS and switches to it.
func (b *backend) upgrade(resp *wire.HandshakeResponse, seq byte, cfg *tls.Config) error {
	req := wire.SSLRequest{Caps: resp.Caps, MaxPacket: resp.MaxPacket, Collation: resp.Collation}
	if _, err := b.conn.Write(wire.AppendSSLRequest(nil, seq, &req)); err != nil {
		return err
	}
	tc := tls.Client(b.conn, cfg)
	if err := tc.Handshake(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	b.conn = tc
	return nil
}

// finishAuth answers the server's challenges until it says OK or ERR.
func (b *backend) finishAuth(cred *credential, plugin string, salt []byte, secure bool) error {
	for range 8 { // more rounds than any plugin takes
		payload, seq, err := wire.ReadPacket(b.conn, nil, 64<<10)
		if err != nil {
			return fmt.Errorf("read answer to authentication: %w", err)
		}
		if len(payload) == 0 {
			return wire.ErrMalformed
		}
		switch payload[0] {
		case wire.HeaderOK:
			var ok wire.OK
			if err := wire.DecodeOK(payload, b.caps, &ok); err != nil {
				return err
			}
			b.status = uint16(ok.Status)
			b.login = bytes.Clone(payload)
			return nil
		case wire.HeaderErr:
			e := new(wire.Err)
			if err := wire.DecodeErr(payload, e); err != nil {
				return err
			}
			return e
		case wire.HeaderEOF: // AuthSwitchRequest
			var sw wire.AuthSwitchRequest
			if err := wire.DecodeAuthSwitchRequest(payload, &sw); err != nil {
				return err
			}
			plugin = sw.Plugin
			salt = bytes.Clone(sw.Salt())
			answer, err := switchReply(cred, plugin, salt, secure)
			if err != nil {
				return err
			}
			if _, err := wire.WritePacket(b.conn, answer, seq+1); err != nil {
				return err
			}
		case wire.HeaderMoreData:
			if err := b.moreData(cred, plugin, salt, secure, payload[1:], seq); err != nil {
				return err
			}
		default:
			return wire.ErrMalformed
		}
	}
	return errors.New("authentication takes too many rounds")
}

func switchReply(cred *credential, plugin string, salt []byte, secure bool) ([]byte, error) {
	switch plugin {
	case pluginClear, pluginDialog, pluginSha256:
		if !cred.known {
			return nil, errNoSecret
		}
		if cred.empty {
			return []byte{0}, nil
		}
		if !secure {
			if plugin == pluginSha256 {
				return []byte{1}, nil // ask for the public key
			}
			return nil, errClearText
		}
		return append([]byte(cred.password), 0), nil
	default:
		return cred.reply(plugin, salt)
	}
}

// moreData is the further exchange of caching_sha2_password and sha256_password.
func (b *backend) moreData(cred *credential, plugin string, salt []byte, secure bool, data []byte, seq byte) error {
	switch {
	case plugin == pluginSha2 && len(data) == 1 && data[0] == wire.Sha2FastAuthOK:
		return nil
	case plugin == pluginSha2 && len(data) == 1 && data[0] == wire.Sha2FullAuth:
		if !cred.known {
			return errNoSecret
		}
		if secure {
			return b.answer(append([]byte(cred.password), 0), seq+1)
		}
		return b.answer([]byte{wire.Sha2RequestPublicKey}, seq+1)
	case plugin == pluginSha2 || plugin == pluginSha256: // the public key
		if !cred.known {
			return errNoSecret
		}
		key, err := wire.ParsePublicKey(data)
		if err != nil {
			return err
		}
		enc, err := wire.EncryptPassword(key, cred.password, salt)
		if err != nil {
			return err
		}
		return b.answer(enc, seq+1)
	case plugin == pluginDialog: // a further prompt of PAM: the password once more
		if !secure {
			return errClearText
		}
		return b.answer(append([]byte(cred.password), 0), seq+1)
	default:
		return fmt.Errorf("unexpected data in authentication by %s", plugin)
	}
}
