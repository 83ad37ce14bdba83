package accounts

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Credential is one way to authenticate.
type Credential struct {
	Plugin     string // e.g. mysql_native_password
	AuthString string // the plugin's form of it, e.g. *94BDCEBE...; may hold bytes that are not text
}

// Account is one user@host of the leader.
type Account struct {
	User string // empty: anybody
	Host string // as in the user table; empty means %

	Plugin     string
	AuthString string
	// Alternatives are the further ways that MariaDB's IDENTIFIED VIA a OR b
	// allows, in the server's order, Plugin not included.
	Alternatives []Credential
	// RetainedAuthString is MySQL's second password (RETAIN CURRENT PASSWORD).
	RetainedAuthString string

	Locked          bool
	PasswordExpired bool
	DefaultRole     string // MariaDB: one role; MySQL: roles joined by ", "
	SSLType         string // "", ANY, X509 or SPECIFIED
	SSLCipher       string // of SPECIFIED
	X509Issuer      string // of SPECIFIED
	X509Subject     string // of SPECIFIED
	MaxConnections  int    // max_user_connections of the account; 0: no limit of its own, below 0: none at all
	IsRole          bool   // roles cannot log in
}

// Name returns user@host, as the servers write it in messages.
func (a *Account) Name() string { return "'" + a.User + "'@'" + a.Host + "'" }

// Table is all accounts, in the order in which the server tries them. It is
// immutable.
type Table struct {
	skipNameResolve bool
	byUser          map[string][]*entry // named accounts, most specific host first
	anonymous       []*entry
	count           int
	version         string
}

type entry struct {
	Account
	host hostPattern
	rank uint64
}

// New builds a Table. flavor chooses the order of hosts; skipNameResolve is the
// server's variable: with it host names never match, and neither does
// "localhost" for clients that come over TCP.
func New(flavor gtid.Flavor, list []Account, skipNameResolve bool) *Table {
	t := &Table{skipNameResolve: skipNameResolve, byUser: map[string][]*entry{}}
	for i := range list {
		if list[i].IsRole {
			continue
		}
		e := &entry{Account: list[i], host: parseHost(flavor, list[i].Host)}
		e.rank = rankOf(flavor, &e.host, list[i].User == "")
		if e.User == "" {
			t.anonymous = append(t.anonymous, e)
		} else {
			t.byUser[e.User] = append(t.byUser[e.User], e)
		}
		t.count++
	}
	for _, es := range t.byUser {
		sortEntries(flavor, es)
	}
	sortEntries(flavor, t.anonymous)
	return t
}

// WithVersion returns the table under the name of a version, which changes with
// anything that a login's rights depend on.
func (t *Table) WithVersion(version string) *Table {
	c := *t
	c.version = version
	return &c
}

// Version is what WithVersion was told.
func (t *Table) Version() string {
	if t == nil {
		return ""
	}
	return t.version
}

// Len returns how many accounts can log in.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.count
}

// Several reports whether user has accounts for more than one host, or could be
// taken for anybody, so that where a connection comes from decides which one it is.
func (t *Table) Several(user string) bool {
	return t != nil && len(t.byUser[user])+len(t.anonymous) > 1
}

// NeedsHostname reports whether the answer of Match for user could depend on the
// client's host name, so that a reverse look-up is worth its time.
func (t *Table) NeedsHostname(user string) bool {
	if t == nil || t.skipNameResolve {
		return false
	}
	for _, es := range [2][]*entry{t.byUser[user], t.anonymous} {
		if slices.ContainsFunc(es, func(e *entry) bool { return e.host.isName() }) {
			return true
		}
	}
	return false
}

// Match returns the account that the server would use for user, who comes from
// addr, or over a unix socket (then addr and hostname are ignored). hostname is
// the client's name by reverse look-up, "" where unknown. The returned Account
// is shared and must not be changed.
func (t *Table) Match(user string, addr netip.Addr, hostname string, unixSocket bool) (*Account, bool) {
	if t == nil {
		return nil, false
	}
	c := t.client(addr, hostname, unixSocket)
	named := first(t.byUser[user], &c)
	anonymous := first(t.anonymous, &c)
	switch {
	case named == nil && anonymous == nil:
		return nil, false
	case named == nil, anonymous != nil && anonymous.rank < named.rank:
		return &anonymous.Account, true
	default:
		return &named.Account, true
	}
}

// HostAllowed reports whether any account at all could match a client from
// there. Where none does, servers refuse the connection before asking who it is
// (error 1130).
func (t *Table) HostAllowed(addr netip.Addr, hostname string, unixSocket bool) bool {
	if t == nil {
		return false
	}
	c := t.client(addr, hostname, unixSocket)
	if first(t.anonymous, &c) != nil {
		return true
	}
	for _, es := range t.byUser {
		if first(es, &c) != nil {
			return true
		}
	}
	return false
}

// client is where someone comes from, in the forms that patterns are compared to.
type client struct {
	name string // "" when unknown
	ip   string // "" on a unix socket
	addr netip.Addr
}

func (t *Table) client(addr netip.Addr, hostname string, unixSocket bool) client {
	if unixSocket {
		return client{name: "localhost"}
	}
	addr = addr.Unmap().WithZone("")
	c := client{addr: addr}
	if addr.IsValid() {
		c.ip = addr.String()
	}
	if t.skipNameResolve {
		return c
	}
	if isLoopback(addr) {
		c.name = "localhost" // servers do not ask the resolver for these
	} else {
		c.name = strings.TrimSuffix(hostname, ".")
	}
	return c
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// isLoopback is the servers' own idea of it: these two addresses, not 127/8.
func isLoopback(a netip.Addr) bool { return a == loopback4 || a == loopback6 }

func first(es []*entry, c *client) *entry {
	for _, e := range es {
		if e.host.matches(c) {
			return e
		}
	}
	return nil
}

// sortEntries puts first what the server tries first. Entries that are equally
// specific are settled by their text: MariaDB takes the greater one, so that
// localhost comes before 127.0.0.1. MySQL takes what comes first in its table
// when it reads that, at start or FLUSH PRIVILEGES, and the older account until
// then, which nobody can see from outside: here it is always the table's order.
func sortEntries(flavor gtid.Flavor, es []*entry) {
	slices.SortStableFunc(es, func(a, b *entry) int {
		if c := cmp.Compare(a.rank, b.rank); c != 0 {
			return c
		}
		if flavor == gtid.MySQL {
			return strings.Compare(strings.ToUpper(a.Host), strings.ToUpper(b.Host)) // the column is ascii_general_ci
		}
		return strings.Compare(b.Host, a.Host)
	})
}
