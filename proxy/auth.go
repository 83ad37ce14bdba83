package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// exchange is an authentication under way: packets with running numbers.
type exchange struct {
	s   *session
	seq byte // of the client's last packet
}

// read reads the client's next packet. It is valid until the next call.
func (x *exchange) read() ([]byte, error) {
	in := &x.s.in
	in.consume(x.s.held)
	x.s.held = 0
	if err := in.fill(x.s.conn, wire.HeaderLen); err != nil {
		return nil, err
	}
	n, seq := wire.Header(in.buf[in.r:])
	x.seq = seq
	if n > maxResponse {
		return nil, x.s.reject(seq+1, wire.NewErr(wire.ErHandshake, "Bad handshake"))
	}
	if err := in.fill(x.s.conn, wire.HeaderLen+n); err != nil {
		return nil, err
	}
	x.s.held = wire.HeaderLen + n
	return in.buf[in.r+wire.HeaderLen : in.r+x.s.held : in.r+x.s.held], nil
}

// ended drops the client's last packet. What has arrived behind it was sent before
// the answer: never is that in order, and in clear it must not pass for encrypted.
func (x *exchange) ended() error {
	x.s.answered()
	if x.s.in.r != x.s.in.w {
		return fmt.Errorf("%w: the client spoke out of turn", errRejected)
	}
	return nil
}

// errWrong says that the proof of the password was wrong.
var errWrong = errors.New("wrong password")

// authenticate checks the client's proof against the leader's accounts and
// leaves in the session what it needs to log in to the nodes.
//
// Where the proof is wrong the accounts are read again, once: the account may
// have changed on the leader a moment ago.
func (x *exchange) authenticate(ctx context.Context, user, plugin string, reply []byte) error {
	s := x.s
	reply = bytes.Clone(reply)
	if err := s.srv.needAccounts(ctx); err != nil {
		return s.reject(x.seq+1, wire.NewErr(erConnHost, "Bellwether: %v", err))
	}
	p := proof{plugin: plugin, reply: reply, given: len(reply) > 0}
	account, cred, err := x.check(user, &p)
	if errors.Is(err, errWrong) && s.srv.refreshAccounts(ctx) {
		account, cred, err = x.check(user, &p)
	}
	switch {
	case errors.Is(err, errWrong):
		return s.denied(x.seq+1, user, p.given)
	case err != nil:
		return err
	}
	if e := s.barred(account, user); e != nil {
		return s.reject(x.seq+1, e)
	}
	limit := s.limitOf(account)
	if !s.srv.users.enter(user, limit) {
		e := wire.NewErr(wire.ErTooManyUserConnections,
			"User %s already has more than 'max_user_connections' active connections", user)
		if limit == account.MaxConnections { // the account's own
			e = wire.NewErr(wire.ErUserLimitReached,
				"User '%s' has exceeded the 'max_user_connections' resource (current value: %d)", user, limit)
		}
		return s.reject(x.seq+1, e)
	}
	s.counted = user
	s.user, s.account, s.cred = user, account, cred
	s.secret = account.Plugin + ":" + account.AuthString
	if u, ok := s.srv.settings.Load().Users[user]; ok {
		s.secret = "given:" + wire.NativeHash(u.Password)
	}
	version := s.srv.cfg.Accounts().Version()
	s.secret += ":" + version
	s.srv.sawRights(version, time.Now())
	s.view.User = user
	return nil
}

// proof is what the client gave to prove its password, and by which plugin.
type proof struct {
	plugin   string
	reply    []byte
	given    bool   // a password was used
	password string // in clear, where the exchange brought it
	known    bool
}

// check finds the account and verifies the proof, asking the client for another
// kind of proof where the account needs it.
func (x *exchange) check(user string, p *proof) (*accounts.Account, *credential, error) {
	s := x.s
	table := s.srv.cfg.Accounts()
	host := ""
	if table.NeedsHostname(user) {
		host = s.hostname("")
	}
	account, ok := table.Match(user, s.addr.Addr(), host, s.local)
	if !ok {
		return nil, nil, x.pretend(p)
	}
	if u, ok := s.srv.settings.Load().Users[user]; ok {
		cred, err := x.given(&u, p)
		return account, cred, err
	}
	for _, c := range waysIn(account) {
		switch c.Plugin {
		case pluginNative:
			cred, err := x.native(user, c.AuthString, p)
			return account, cred, err
		case pluginSha2:
			cred, err := x.sha2(account, c.AuthString, p)
			return account, cred, err
		case pluginSha256:
			cred, err := x.sha256(user, c.AuthString, p)
			return account, cred, err
		}
	}
	s.logger().Warn("the account's authentication plugin needs an entry under users: in the configuration",
		"user", user, "account", account.Name(), "plugin", account.Plugin)
	return nil, nil, errWrong
}

// waysIn are the account's plugins in the server's order.
func waysIn(a *accounts.Account) []accounts.Credential {
	return append([]accounts.Credential{{Plugin: a.Plugin, AuthString: a.AuthString}}, a.Alternatives...)
}

// pretend takes a client whose account does not exist through the same steps as
// one whose password is wrong.
func (x *exchange) pretend(p *proof) error {
	if x.s.srv.flavor() == gtid.MariaDB && p.plugin != pluginNative {
		if err := x.ask(p, pluginNative); err != nil {
			return err
		}
	}
	return errWrong
}

// ask has the client prove its password by another plugin.
func (x *exchange) ask(p *proof, plugin string) error {
	if p.plugin == plugin {
		return nil
	}
	sw := wire.AuthSwitchRequest{Plugin: plugin, Data: append(bytes.Clone(x.s.salt), 0)}
	if err := x.s.reply(wire.AppendAuthSwitchRequest(nil, x.seq+1, &sw)); err != nil {
		return err
	}
	reply, err := x.read()
	if err != nil {
		return err
	}
	p.plugin, p.reply = plugin, bytes.Clone(reply)
	p.given = len(reply) > 0 && !bytes.Equal(reply, []byte{0})
	return nil
}

// native verifies mysql_native_password, which gives away SHA1(password): enough
// to log in to the nodes.
func (x *exchange) native(user, hash string, p *proof) (*credential, error) {
	if err := x.ask(p, pluginNative); err != nil {
		return nil, err
	}
	if hash == "" {
		if len(p.reply) == 0 {
			return &credential{user: user, empty: true, known: true, hasSHA1: true}, nil
		}
		return nil, errWrong
	}
	stage2, ok := wire.ParseNativeHash(hash)
	if !ok {
		return nil, errWrong
	}
	stage1, ok := wire.NativeStage1FromScramble(p.reply, x.s.salt, stage2)
	if !ok {
		return nil, errWrong
	}
	return &credential{user: user, native: stage1, hasSHA1: true}, nil
}

// sha2 verifies caching_sha2_password: by the cache where this password was seen
// before, else by having the password sent, under TLS or the proxy's RSA key.
func (x *exchange) sha2(account *accounts.Account, hash string, p *proof) (*credential, error) {
	if err := x.ask(p, pluginSha2); err != nil {
		return nil, err
	}
	if hash == "" {
		if len(p.reply) == 0 || bytes.Equal(p.reply, []byte{0}) {
			return &credential{user: account.User, empty: true, known: true}, nil
		}
		return nil, errWrong
	}
	if len(p.reply) == 0 {
		return nil, errWrong
	}
	if p.known { // a second look at the accounts: the password is here already
		return x.sha2Full(account, hash, p)
	}
	cacheKey := account.Name() + hash
	if password, ok := x.s.srv.secrets.find(cacheKey); ok {
		stage2 := wire.Sha2Stage2(password)
		if _, ok := wire.VerifySha2Fast(p.reply, x.s.salt, stage2); ok {
			more := wire.AuthMoreData{Data: []byte{wire.Sha2FastAuthOK}}
			if err := x.s.reply(wire.AppendAuthMoreData(nil, x.seq+1, &more)); err != nil {
				return nil, err
			}
			x.seq++
			return passwordCredential(account.User, password), nil
		}
	}
	more := wire.AuthMoreData{Data: []byte{wire.Sha2FullAuth}}
	if err := x.s.reply(wire.AppendAuthMoreData(nil, x.seq+1, &more)); err != nil {
		return nil, err
	}
	if err := x.password(p, wire.Sha2RequestPublicKey); err != nil {
		return nil, err
	}
	return x.sha2Full(account, hash, p)
}

func (x *exchange) sha2Full(account *accounts.Account, hash string, p *proof) (*credential, error) {
	if !proves(hash, p.password) && (account.RetainedAuthString == "" || !proves(account.RetainedAuthString, p.password)) {
		return nil, errWrong
	}
	x.s.srv.secrets.keep(account.Name()+hash, p.password)
	return passwordCredential(account.User, p.password), nil
}

// proves says whether password is the one of a stored hash, of either SHA-2 plugin.
func proves(hash, password string) bool {
	ok, err := wire.CheckSha2Hash(hash, password)
	return err == nil && ok
}

// sha256 verifies sha256_password: the password is sent each time.
func (x *exchange) sha256(user, hash string, p *proof) (*credential, error) {
	if !p.known {
		if p.plugin != pluginSha256 {
			if err := x.ask(p, pluginSha256); err != nil {
				return nil, err
			}
		}
		if err := x.passwordFrom(p, p.reply, wire.Sha256RequestKey); err != nil {
			return nil, err
		}
	}
	if !proves(hash, p.password) {
		return nil, errWrong
	}
	return passwordCredential(user, p.password), nil
}

// password reads the password in clear: as it is on a secure channel, encrypted
// with the public key on another.
func (x *exchange) password(p *proof, request byte) error {
	reply, err := x.read()
	if err != nil {
		return err
	}
	return x.passwordFrom(p, reply, request)
}

func (x *exchange) passwordFrom(p *proof, reply []byte, request byte) error {
	s := x.s
	if len(reply) == 1 && reply[0] == request && !s.secure {
		more := wire.AuthMoreData{Data: s.srv.rsa.pem}
		if err := s.reply(wire.AppendAuthMoreData(nil, x.seq+1, &more)); err != nil {
			return err
		}
		var err error
		if reply, err = x.read(); err != nil {
			return err
		}
		if p.password, err = wire.DecryptPassword(s.srv.rsa.key, reply, s.salt); err != nil {
			return errWrong
		}
		p.known = true
		return nil
	}
	if !s.secure || len(reply) == 0 || reply[len(reply)-1] != 0 {
		return errWrong
	}
	p.password, p.known = string(reply[:len(reply)-1]), true
	return nil
}

// given verifies a client whose password the configuration gives.
func (x *exchange) given(u *User, p *proof) (*credential, error) {
	if x.s.srv.flavor() == gtid.MySQL {
		if err := x.ask(p, pluginSha2); err != nil {
			return nil, err
		}
		stage2 := wire.Sha2Stage2(u.Password)
		if _, ok := wire.VerifySha2Fast(p.reply, x.s.salt, stage2); !ok {
			return nil, errWrong
		}
		more := wire.AuthMoreData{Data: []byte{wire.Sha2FastAuthOK}}
		if err := x.s.reply(wire.AppendAuthMoreData(nil, x.seq+1, &more)); err != nil {
			return nil, err
		}
		x.seq++
		return passwordCredential(u.Name, u.Password), nil
	}
	if err := x.ask(p, pluginNative); err != nil {
		return nil, err
	}
	stage1 := wire.NativeStage1(u.Password)
	if !bytes.Equal(wire.NativeScrambleFromStage1(stage1, x.s.salt), p.reply) {
		return nil, errWrong
	}
	return passwordCredential(u.Name, u.Password), nil
}

// denied answers a wrong password or an unknown user, with the server's words.
func (s *session) denied(seq byte, user string, given bool) error {
	using := "NO"
	if given {
		using = "YES"
	}
	if s.srv.flavor() == gtid.MySQL && len(user) > 48 {
		user = user[:48] // as much as MySQL's message takes
	}
	return s.reject(seq, wire.NewErr(wire.ErAccessDenied,
		"Access denied for user '%s'@'%s' (using password: %s)", user, s.host(), using))
}

// barred says why an account that proved its password is not let in all the same.
func (s *session) barred(a *accounts.Account, user string) *wire.Err {
	switch {
	case a.Locked && s.srv.flavor() == gtid.MariaDB:
		return wire.NewErr(wire.ErMariaDBAccountLocked, "Access denied, this account is locked")
	case a.Locked:
		return wire.NewErr(wire.ErMySQLAccountLocked,
			"Access denied for user '%.48s'@'%s'. Account is locked.", user, s.host())
	case !s.encryptedAs(a):
		return wire.NewErr(wire.ErAccessDenied,
			"Access denied for user '%s'@'%s' (using password: YES)", user, s.host())
	}
	return nil
}

// encryptedAs says whether the client's connection is what REQUIRE asks for.
func (s *session) encryptedAs(a *accounts.Account) bool {
	if a.SSLType == "" {
		return true
	}
	tc, ok := s.conn.(*tls.Conn)
	if !ok {
		return false
	}
	if a.SSLType == "ANY" {
		return true
	}
	cs := tc.ConnectionState()
	if len(cs.PeerCertificates) == 0 || len(cs.VerifiedChains) == 0 {
		return false
	}
	cert := cs.PeerCertificates[0]
	return (a.SSLCipher == "" || a.SSLCipher == tls.CipherSuiteName(cs.CipherSuite)) &&
		(a.X509Subject == "" || a.X509Subject == oneLine(cert.RawSubject)) &&
		(a.X509Issuer == "" || a.X509Issuer == oneLine(cert.RawIssuer))
}

// shortNames are OpenSSL's names of the attributes of a distinguished name.
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
	"1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.25": "DC",
}

// oneLine writes a distinguished name as the servers compare it: /C=SE/O=X/CN=y,
// in the order of the certificate. It is empty where raw is not one.
func oneLine(raw []byte) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return ""
	}
	var out strings.Builder
	for _, set := range seq {
		for _, a := range set {
			name := shortNames[a.Type.String()]
			if name == "" {
				name = a.Type.String()
			}
			fmt.Fprintf(&out, "/%s=%v", name, a.Value)
		}
	}
	return out.String()
}

// limitOf returns how many connections a user may have; 0 for no limit.
func (s *session) limitOf(a *accounts.Account) int {
	set := s.srv.settings.Load()
	limit := set.MaxConnectionsPerUser
	if u, ok := set.Users[a.User]; ok && u.MaxConnections > 0 {
		limit = u.MaxConnections
	}
	if a.MaxConnections > 0 && (limit == 0 || a.MaxConnections < limit) {
		limit = a.MaxConnections
	}
	return limit
}

// host is the client's address as the servers write it in messages.
func (s *session) host() string {
	if s.local {
		return "localhost"
	}
	return s.addr.Addr().String()
}

// hostname looks the client's name up, and checks that the name leads back to the
// address, as the servers do.
func (s *session) hostname(known string) string {
	if known != "" || s.local {
		return known
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, s.addr.Addr().String())
	if err != nil {
		return ""
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if a.Unmap() == s.addr.Addr().Unmap() {
				return name
			}
		}
	}
	return ""
}

// changeUser runs COM_CHANGE_USER: another account on the same connection, with
// a fresh state.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html
func (s *session) changeUser(ctx context.Context, req *request) error {
	if !req.whole {
		return errTooLarge
	}
	var cu wire.ChangeUser
	err := wire.DecodeChangeUser(bytes.Clone(req.payload()), s.caps, &cu)
	s.in.consume(len(req.bytes))
	if err != nil {
		return s.fail(wire.ErUnknownCom, "08S01", "Unknown command")
	}
	s.releaseFollower()
	s.releaseHome()
	s.stmts.clear()
	s.srv.users.leave(s.counted)
	s.counted = ""
	s.collationOf(&cu)
	s.forgetState()
	s.begun = false
	s.state.schema = cu.Schema
	if s.caps.Has(wire.ClientConnectAttrs) {
		s.attrs = append(s.attrs[:0], cu.Attrs...)
	}
	x := exchange{s: s}
	if err := x.authenticate(ctx, cu.User, cu.Plugin, cu.Auth); err != nil {
		return err
	}
	s.state.schema = cu.Schema
	s.answered()
	return s.first(ctx, x.seq+1)
}

func (s *session) collationOf(cu *wire.ChangeUser) {
	if cu.Collation != 0 {
		s.collation = byte(cu.Collation)
	}
}
