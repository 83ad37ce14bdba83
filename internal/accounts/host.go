package accounts

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// hostPattern is the host part of an account.
type hostPattern struct {
	text string

	masked bool // compare by ip and mask; IPv4 only, as in the servers
	ip     uint32
	mask   uint32
	kind   maskKind // for MySQL's order
}

// maskKind is how an address was written; MySQL tries the kinds in this order.
type maskKind uint8

const (
	maskNone   maskKind = iota
	maskExact           // 192.0.2.1
	maskCIDR            // 192.0.2.0/24
	maskSubnet          // 192.0.2.0/255.255.255.0
)

func parseHost(flavor gtid.Flavor, host string) hostPattern {
	h := hostPattern{text: host}
	base, suffix, slash := strings.Cut(host, "/")
	ip, ok := parseIPv4(base)
	switch {
	case !slash:
		// An address is compared as text, here as in the servers. MySQL sorts it
		// among the addresses, even with a wildcard behind it: 127.0.0.1%.
		if flavor == gtid.MySQL && beginsWithIPv4(host) {
			h.kind, h.mask = maskExact, ^uint32(0)
		}
	case !ok:
	default:
		mask, ok := parseIPv4(suffix)
		if ok && mask != 0 && (flavor != gtid.MySQL || contiguous(mask)) {
			h.masked, h.ip, h.mask, h.kind = true, ip, mask, maskSubnet
		} else if n, ok := parsePrefix(suffix); ok && flavor == gtid.MySQL {
			h.masked, h.ip, h.mask, h.kind = true, ip, prefixMask(n), maskCIDR
		}
		if ip == 0 {
			h.kind = maskNone // MySQL does not sort 0.0.0.0/n among the addresses
		}
	}
	return h
}

// beginsWithIPv4 reports whether four numbers with dots between them come first,
// and they are not all 0.
func beginsWithIPv4(s string) bool {
	zero := true
	for i := range 4 {
		if i > 0 {
			if s == "" || s[0] != '.' {
				return false
			}
			s = s[1:]
		}
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		n, err := strconv.ParseUint(s[:digits], 10, 8)
		if err != nil {
			return false
		}
		zero = zero && n == 0
		s = s[digits:]
	}
	return !zero
}

func parseIPv4(s string) (uint32, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, false
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:]), true
}

func parsePrefix(s string) (int, bool) {
	if len(s) == 0 || len(s) > 2 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 32 || n == 0 {
		return 0, false
	}
	return int(n), true
}

// contiguous: MySQL ignores masks that are not all ones and then all zeros.
func contiguous(mask uint32) bool { return ^mask&(^mask+1) == 0 }

func prefixMask(n int) uint32 { return ^uint32(0) << (32 - n) }

// isName reports whether the pattern can only, or also, match host names other
// than localhost.
func (h *hostPattern) isName() bool {
	if h.text == "" || h.text == "localhost" || h.masked {
		return false
	}
	if strings.ContainsAny(h.text, ":/") {
		return false
	}
	// A pattern of digits, dots and wildcards is meant for addresses, but one that
	// is nothing but wildcards matches everything anyway.
	return strings.Trim(h.text, "0123456789.%_") != ""
}

func (h *hostPattern) matches(c *client) bool {
	if h.masked && c.addr.Is4() {
		b := c.addr.As4()
		return binary.BigEndian.Uint32(b[:])&h.mask == h.ip
	}
	if h.text == "" {
		return true
	}
	return c.name != "" && like(c.name, h.text, true) || c.ip != "" && like(c.ip, h.text, false)
}

// like is the servers' wildcard comparison: % is any number of characters, _ is
// one, a backslash takes the next one literally.
func like(s, pattern string, fold bool) bool {
	// The last % seen, and where in s what follows it is being tried: going back
	// to it on a mismatch is enough, so the cost is len(s)*len(pattern) at worst.
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			c := pattern[p]
			switch c {
			case '%':
				star, mark = p, i
				p++
				continue
			case '_':
				p, i = p+1, i+1
				continue
			}
			width := 1
			if c == '\\' && p+1 < len(pattern) {
				c, width = pattern[p+1], 2
			}
			if c == s[i] || fold && lower(c) == lower(s[i]) {
				p, i = p+width, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '%' {
		p++
	}
	return p == len(pattern)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// rankOf is where the server sorts an entry; the lower one is tried first, and a
// named one before an anonymous one.
func rankOf(flavor gtid.Flavor, h *hostPattern, anonymous bool) uint64 {
	r := mariadbBreadth(h.text)
	if flavor == gtid.MySQL {
		r = mysqlRank(h)
	}
	r <<= 1
	if anonymous {
		r |= 1
	}
	return r
}

// mysqlRank: addresses first, by how they are written and then the greatest
// mask; then everything else by the position of the first wildcard.
func mysqlRank(h *hostPattern) uint64 {
	if h.kind != maskNone {
		return uint64(h.kind)<<32 | uint64(^h.mask)
	}
	const after = 1 << 40
	wild, literal := 0, false
	for i := 0; i < len(h.text); i++ {
		c := h.text[i]
		if c == '\\' && i+1 < len(h.text) {
			i++
		} else if c == '%' || c == '_' {
			wild = i + 1
			if h.text != "%" {
				wild++
			}
			break
		}
		literal = true
	}
	sort := 0
	switch {
	case wild > 0:
		sort = min(wild, 127)
	case literal:
		sort = 128
	}
	return after + uint64(128-sort)
}

// mariadbBreadth grows with the number of strings that a pattern can match: 0
// without wildcards. The arithmetic keeps the order that the server has, ties
// broken by the length of the literal prefix, the shorter one first.
func mariadbBreadth(pattern string) uint64 {
	const maxLen = 255 // HOSTNAME_LENGTH
	var literals, ones, manys, prefix uint64
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '%':
			if manys == 0 && ones == 0 {
				prefix = literals
			}
			manys++
			for i+1 < len(pattern) && pattern[i+1] == '%' {
				i++
			}
		case '_':
			if manys == 0 && ones == 0 {
				prefix = literals
			}
			ones++
		default:
			if c == '\\' && i+1 < len(pattern) {
				i++
			}
			literals++
		}
	}
	manys, ones = min(manys, 31), min(ones, 31)
	var free uint64
	if manys > 0 && literals+ones < maxLen {
		free = maxLen - literals - ones
	}
	const d, d1 = maxLen + 1, 32
	if free > ones {
		return (((free*2+1)*d+manys)*d1+ones)*d + prefix
	}
	return ((ones*2*d+free)*d1+manys)*d + prefix
}
