package gtid

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// domainEntry is the sequence numbers first to last of one domain, the last one
// written by server. In a position first is 1.
type domainEntry struct {
	domain uint32
	server uint32
	first  uint64
	last   uint64
}

func parseMariaDB(s string) (Set, error) {
	var ds []domainEntry
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		d, ok := parseDomain(item)
		if !ok {
			return Set{}, fmt.Errorf("%w: %.80q is not domain-server-sequence", ErrSyntax, item)
		}
		if d.last > 0 { // 0 stands for nothing
			ds = append(ds, d)
		}
	}
	slices.SortStableFunc(ds, func(a, b domainEntry) int { return cmp.Compare(a.domain, b.domain) })
	out := ds[:0]
	for _, d := range ds {
		if n := len(out); n > 0 && out[n-1].domain == d.domain {
			out[n-1] = joinDomain(out[n-1], d)
		} else {
			out = append(out, d)
		}
	}
	return Set{flavor: MariaDB, doms: slices.Clip(out)}, nil
}

func parseDomain(item string) (domainEntry, bool) {
	domain, rest, ok1 := strings.Cut(item, "-")
	server, seq, ok2 := strings.Cut(rest, "-")
	from, to, ranged := strings.Cut(seq, "..")
	if !ranged {
		from, to = "1", seq
	}
	dn, ok3 := parseUint(domain, 32)
	sn, ok4 := parseUint(server, 32)
	first, ok5 := parseUint(from, 64)
	last, ok6 := parseUint(to, 64)
	d := domainEntry{domain: uint32(dn), server: uint32(sn), first: first, last: last}
	return d, ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && first >= 1 && (first <= last || !ranged)
}

func parseUint(s string, bits int) (uint64, bool) {
	if s == "" || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

func appendMariaDB(dst []byte, ds []domainEntry) []byte {
	for i, d := range ds {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendUint(dst, uint64(d.domain), 10), '-')
		dst = append(strconv.AppendUint(dst, uint64(d.server), 10), '-')
		if d.first != 1 {
			dst = append(strconv.AppendUint(dst, d.first, 10), '.', '.')
		}
		dst = strconv.AppendUint(dst, d.last, 10)
	}
	return dst
}

func (d *domainEntry) contains(o *domainEntry) bool {
	return d.first <= o.first && (d.last > o.last || d.last == o.last && d.server == o.server)
}

// joinDomain is the smallest range that holds both.
func joinDomain(a, b domainEntry) domainEntry {
	out := a
	if b.last > a.last || b.last == a.last && b.server > a.server {
		out = b
	}
	out.first = min(a.first, b.first)
	return out
}

func containsMariaDB(a, b []domainEntry) bool {
	i := 0
	for j := range b {
		for i < len(a) && a[i].domain < b[j].domain {
			i++
		}
		if i == len(a) || a[i].domain != b[j].domain || !a[i].contains(&b[j]) {
			return false
		}
	}
	return true
}

func unionMariaDB(a, b []domainEntry) []domainEntry {
	out := make([]domainEntry, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].domain < b[0].domain:
			out, a = append(out, a[0]), a[1:]
		case a[0].domain > b[0].domain:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, joinDomain(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func subtractMariaDB(a, b []domainEntry) []domainEntry {
	var out []domainEntry
	for _, d := range a {
		for len(b) > 0 && b[0].domain < d.domain {
			b = b[1:]
		}
		if len(b) > 0 && b[0].domain == d.domain {
			o := &b[0]
			switch {
			case o.contains(&d):
				continue
			case o.last == d.last && o.first <= d.first:
				d.first = d.last // the same number of another server: at least this one differs
			case o.first <= d.first && o.last < d.last:
				d.first = max(d.first, o.last+1)
			}
		}
		out = append(out, d)
	}
	return out
}
