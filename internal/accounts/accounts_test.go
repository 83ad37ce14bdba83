package accounts

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestMatch(t *testing.T) {
	both := []gtid.Flavor{gtid.MariaDB, gtid.MySQL}
	maria, my := both[:1], both[1:]
	type from struct {
		addr, name string
		socket     bool
	}
	for _, c := range []struct {
		name        string
		flavors     []gtid.Flavor
		accounts    string // user@host, separated by spaces
		skipResolve bool
		user        string
		from        from
		want        string // user@host; "" for none
	}{
		{"exact address first", both, "u@% u@10.0.0.5", false, "u", from{addr: "10.0.0.5"}, "u@10.0.0.5"},
		{"pattern before anything", both, "u@% u@10.%", false, "u", from{addr: "10.0.0.5"}, "u@10.%"},
		{"longer prefix first", my, "u@10.% u@10.0.%", false, "u", from{addr: "10.0.0.5"}, "u@10.0.%"},
		{"fewer strings first", maria, "u@10.% u@%.0.0.5", false, "u", from{addr: "10.0.0.5"}, "u@%.0.0.5"},
		{"netmask before pattern", both, "u@10.0.0.% u@10.0.0.0/255.255.255.0", false, "u", from{addr: "10.0.0.5"}, "u@10.0.0.0/255.255.255.0"},
		{"netmask does not match others", both, "u@% u@10.0.0.0/255.255.255.0", false, "u", from{addr: "10.0.1.5"}, "u@%"},
		{"netmask with host bits never matches", both, "u@% u@10.0.0.7/255.255.255.0", false, "u", from{addr: "10.0.0.7"}, "u@%"},
		{"CIDR", my, "u@% u@10.0.0.0/24", false, "u", from{addr: "10.0.0.5"}, "u@10.0.0.0/24"},
		{"no CIDR in MariaDB", maria, "u@% u@10.0.0.0/24", false, "u", from{addr: "10.0.0.5"}, "u@%"},
		{"CIDR before netmask", my, "u@10.0.0.0/255.255.255.0 u@10.0.0.0/8 u@10.0.0.0/24", false, "u", from{addr: "10.0.0.5"}, "u@10.0.0.0/24"},
		{"named before anonymous", both, "@10.% u@10.%", false, "u", from{addr: "10.0.0.5"}, "u@10.%"},
		{"closer anonymous before named", both, "@10.% u@%", false, "u", from{addr: "10.0.0.5"}, "@10.%"},
		{"anonymous for anybody", both, "@%", false, "nobody", from{addr: "10.0.0.5"}, "@%"},
		{"user names are exact", both, "u@% U@10.%", false, "u", from{addr: "10.0.0.5"}, "u@%"},
		{"nobody", both, "u@10.%", false, "u", from{addr: "11.0.0.5"}, ""},
		{"empty host is any", both, "u@", false, "u", from{addr: "11.0.0.5"}, "u@"},
		{"underscore is one", both, "u@10.0.0._", false, "u", from{addr: "10.0.0.55"}, ""},
		{"escaped underscore is itself", both, `u@10\_0%`, false, "u", from{addr: "10.0.0.5"}, ""},
		{"mapped IPv4", both, "u@10.0.0.5", false, "u", from{addr: "::ffff:10.0.0.5"}, "u@10.0.0.5"},
		{"IPv6", both, "u@% u@fd00::2", false, "u", from{addr: "fd00::2"}, "u@fd00::2"},
		{"IPv6 pattern", both, "u@fd00::%", false, "u", from{addr: "fd00::2"}, "u@fd00::%"},
		{"IPv6 of a zone", both, "u@fe80::1", false, "u", from{addr: "fe80::1%eth0"}, "u@fe80::1"},
		{"host name", both, "u@% u@db.example.com", false, "u", from{addr: "10.0.0.5", name: "db.example.com"}, "u@db.example.com"},
		{"host names fold case", both, "u@db.example.com", false, "u", from{addr: "10.0.0.5", name: "DB.Example.COM."}, "u@db.example.com"},
		{"domain", both, "u@%.example.com", false, "u", from{addr: "10.0.0.5", name: "db.example.com"}, "u@%.example.com"},
		{"no names without resolving", both, "u@% u@db.example.com", true, "u", from{addr: "10.0.0.5", name: "db.example.com"}, "u@%"},
		{"name unknown", both, "u@db.example.com", false, "u", from{addr: "10.0.0.5"}, ""},
		{"socket is localhost", both, "u@% u@localhost", false, "u", from{socket: true}, "u@localhost"},
		{"socket without resolving too", both, "u@% u@localhost", true, "u", from{socket: true}, "u@localhost"},
		{"socket has no address", both, "u@127.0.0.1", false, "u", from{socket: true}, ""},
		{"socket is any", both, "u@%", false, "u", from{socket: true}, "u@%"},
		{"loopback is localhost", both, "u@% u@localhost", false, "u", from{addr: "127.0.0.1"}, "u@localhost"},
		{"IPv6 loopback is localhost", both, "u@% u@localhost", false, "u", from{addr: "::1"}, "u@localhost"},
		{"the rest of 127/8 is not", both, "u@% u@localhost", false, "u", from{addr: "127.0.0.2"}, "u@%"},
		{"loopback without resolving", both, "u@% u@localhost", true, "u", from{addr: "127.0.0.1"}, "u@%"},
		{"localhost before 127.0.0.1", maria, "u@127.0.0.1 u@localhost", false, "u", from{addr: "127.0.0.1"}, "u@localhost"},
		{"address before localhost", my, "u@localhost u@127.0.0.1", false, "u", from{addr: "127.0.0.1"}, "u@127.0.0.1"},
		{"quotes and at signs are text", both, "u'@%", false, "u'", from{addr: "10.0.0.5"}, "u'@%"},
	} {
		for _, f := range c.flavors {
			t.Run(c.name+"/"+f.String(), func(t *testing.T) {
				var list []Account
				for s := range strings.FieldsSeq(c.accounts) {
					user, host, _ := strings.Cut(s, "@")
					list = append(list, Account{User: user, Host: host})
				}
				addr, _ := netip.ParseAddr(c.from.addr)
				// In whichever order the table lists them.
				for range list {
					list = append(list[1:], list[0])
					got := ""
					if a, ok := New(f, list, c.skipResolve).Match(c.user, addr, c.from.name, c.from.socket); ok {
						got = a.User + "@" + a.Host
					}
					if got != c.want {
						t.Errorf("got %q, want %q", got, c.want)
					}
				}
			})
		}
	}
}

func TestRolesCannotLogIn(t *testing.T) {
	tab := New(gtid.MariaDB, []Account{{User: "r", Host: "", IsRole: true}}, true)
	if a, ok := tab.Match("r", netip.MustParseAddr("10.0.0.1"), "", false); ok {
		t.Errorf("role %s matched", a.Name())
	}
	if tab.Len() != 0 || tab.HostAllowed(netip.MustParseAddr("10.0.0.1"), "", false) {
		t.Error("a role counts as an account")
	}
}

func TestNilTable(t *testing.T) {
	var tab *Table
	if _, ok := tab.Match("u", netip.Addr{}, "", true); ok || tab.Len() != 0 || tab.HostAllowed(netip.Addr{}, "", true) || tab.NeedsHostname("u") {
		t.Error("a nil table is not empty")
	}
}

func TestNeedsHostname(t *testing.T) {
	for host, want := range map[string]bool{
		"%": false, "10.%": false, "10.0.0.0/255.0.0.0": false, "::1": false, "localhost": false, "": false,
		"db1": true, "%.example.com": true,
	} {
		list := []Account{{User: "u", Host: host}, {User: "other", Host: "db2"}}
		if got := New(gtid.MariaDB, list, false).NeedsHostname("u"); got != want {
			t.Errorf("%q: %v", host, got)
		}
		if New(gtid.MariaDB, list, true).NeedsHostname("u") {
			t.Errorf("%q: a name is needed although the server resolves none", host)
		}
	}
}

// FuzzLike compares the wildcard matcher with a regular expression.
func FuzzLike(f *testing.F) {
	for _, s := range [][2]string{{"10.0.0.5", "10.%"}, {"a_b", `a\_b`}, {"", "%%"}, {"abcabc", "%b_a%c"}, {"x", `\`}, {"aaaaaaaaab", "%a%a%a%c"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, s, pattern string) {
		var re strings.Builder
		re.WriteString("(?s)^")
		for i := 0; i < len(pattern); i++ {
			switch c := pattern[i]; {
			case c >= 0x80:
				return // the expression sees runes
			case c == '%':
				re.WriteString(".*")
			case c == '_':
				re.WriteString(".")
			default:
				if c == '\\' && i+1 < len(pattern) {
					i++
				}
				if pattern[i] >= 0x80 {
					return
				}
				re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		}
		re.WriteString("$")
		if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) >= 0 || len(pattern) > 200 || len(s) > 200 {
			return
		}
		want := regexp.MustCompile(re.String()).MatchString(s)
		if got := like(s, pattern, false); got != want {
			t.Errorf("like(%q, %q) = %v", s, pattern, got)
		}
		_ = parseHost(gtid.MySQL, pattern)
		_ = mariadbBreadth(pattern)
	})
}
