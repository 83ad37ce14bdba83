package gtid

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxGNO is the greatest transaction number that MySQL hands out.
const maxGNO = 1<<63 - 2

// maxTagLen is the length of a tag in bytes. MySQL 8.3 and later.
const maxTagLen = 32

type uuidEntry struct {
	uuid [16]byte
	tag  string     // lower case; empty for most
	ivs  []interval // sorted, disjoint, not adjacent, never empty
}

type interval struct{ first, last int64 } // both inclusive

func (e *uuidEntry) compare(o *uuidEntry) int {
	if c := bytes.Compare(e.uuid[:], o.uuid[:]); c != 0 {
		return c
	}
	return cmp.Compare(e.tag, o.tag)
}

func parseMySQL(s string) (Set, error) {
	var es []uuidEntry
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue // the server tolerates empty items
		}
		var err error
		if es, err = parseUUIDItem(es, item); err != nil {
			return Set{}, err
		}
	}
	slices.SortStableFunc(es, func(a, b uuidEntry) int { return a.compare(&b) })
	out := es[:0]
	for _, e := range es {
		if n := len(out); n > 0 && out[n-1].compare(&e) == 0 {
			out[n-1].ivs = append(out[n-1].ivs, e.ivs...)
		} else {
			out = append(out, e)
		}
	}
	for i := range out {
		out[i].ivs = normalise(out[i].ivs)
	}
	return Set{flavor: MySQL, uuids: slices.Clip(out)}, nil
}

// parseUUIDItem reads uuid:interval[:interval...][:tag:interval...]...
func parseUUIDItem(es []uuidEntry, item string) ([]uuidEntry, error) {
	head, rest, ok := strings.Cut(item, ":")
	uuid, valid := parseUUID(strings.TrimSpace(head))
	if !ok || !valid {
		return nil, fmt.Errorf("%w: %.80q does not begin with a UUID and a colon", ErrSyntax, item)
	}
	e := uuidEntry{uuid: uuid}
	for part := range strings.SplitSeq(rest, ":") {
		part = strings.TrimSpace(part)
		if tag, ok := parseTag(part); ok {
			if len(e.ivs) == 0 && e.tag != "" {
				return nil, fmt.Errorf("%w: tag %q has no interval", ErrSyntax, e.tag)
			}
			if len(e.ivs) > 0 {
				es = append(es, e)
			}
			e = uuidEntry{uuid: uuid, tag: tag}
			continue
		}
		iv, ok := parseInterval(part)
		if !ok {
			return nil, fmt.Errorf("%w: bad interval %.80q", ErrSyntax, part)
		}
		e.ivs = append(e.ivs, iv)
	}
	if len(e.ivs) == 0 {
		return nil, fmt.Errorf("%w: %.80q has no interval", ErrSyntax, item)
	}
	return append(es, e), nil
}

func parseUUID(s string) (u [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	var digits [32]byte
	copy(digits[:], s[:8])
	copy(digits[8:], s[9:13])
	copy(digits[12:], s[14:18])
	copy(digits[16:], s[19:23])
	copy(digits[20:], s[24:])
	_, err := hex.Decode(u[:], digits[:])
	return u, err == nil
}

func parseTag(s string) (string, bool) {
	if s == "" || len(s) > maxTagLen {
		return "", false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z' || s[i] == '_'
		if !letter && (i == 0 || s[i] < '0' || s[i] > '9') {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

func parseInterval(s string) (interval, bool) {
	a, b, ranged := strings.Cut(s, "-")
	first, ok := parseGNO(a)
	if !ok {
		return interval{}, false
	}
	last := first
	if ranged {
		if last, ok = parseGNO(b); !ok || last < first {
			return interval{}, false
		}
	}
	return interval{first, last}, true
}

func parseGNO(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 1 && n <= maxGNO
}

// normalise sorts and merges in place.
func normalise(ivs []interval) []interval {
	slices.SortFunc(ivs, func(a, b interval) int { return cmp.Compare(a.first, b.first) })
	out := ivs[:0]
	for _, iv := range ivs {
		if n := len(out); n > 0 && iv.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, iv.last)
		} else {
			out = append(out, iv)
		}
	}
	return slices.Clip(out)
}

func appendMySQL(dst []byte, es []uuidEntry) []byte {
	for i := range es {
		e := &es[i]
		if i == 0 || es[i-1].uuid != e.uuid {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendUUID(dst, e.uuid)
		}
		if e.tag != "" {
			dst = append(append(dst, ':'), e.tag...)
		}
		for _, iv := range e.ivs {
			dst = strconv.AppendInt(append(dst, ':'), iv.first, 10)
			if iv.last > iv.first {
				dst = strconv.AppendInt(append(dst, '-'), iv.last, 10)
			}
		}
	}
	return dst
}

func appendUUID(dst []byte, u [16]byte) []byte {
	for i, n := range [5]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		at := [5]int{0, 4, 6, 8, 10}[i]
		dst = hex.AppendEncode(dst, u[at:at+n])
	}
	return dst
}

func containsMySQL(a, b []uuidEntry) bool {
	i := 0
	for j := range b {
		for i < len(a) && a[i].compare(&b[j]) < 0 {
			i++
		}
		if i == len(a) || a[i].compare(&b[j]) != 0 || !containsIntervals(a[i].ivs, b[j].ivs) {
			return false
		}
	}
	return true
}

func containsIntervals(a, b []interval) bool {
	i := 0
	for _, iv := range b {
		for i < len(a) && a[i].last < iv.first {
			i++
		}
		if i == len(a) || a[i].first > iv.first || a[i].last < iv.last {
			return false
		}
	}
	return true
}

func unionMySQL(a, b []uuidEntry) []uuidEntry {
	out := make([]uuidEntry, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].compare(&b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			e := a[0]
			e.ivs = normalise(slices.Concat(a[0].ivs, b[0].ivs))
			out, a, b = append(out, e), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func subtractMySQL(a, b []uuidEntry) []uuidEntry {
	var out []uuidEntry
	for _, e := range a {
		for len(b) > 0 && b[0].compare(&e) < 0 {
			b = b[1:]
		}
		if len(b) > 0 && b[0].compare(&e) == 0 {
			e.ivs = subtractIntervals(e.ivs, b[0].ivs)
		}
		if len(e.ivs) > 0 {
			out = append(out, e)
		}
	}
	return out
}

func subtractIntervals(a, b []interval) []interval {
	var out []interval
	for _, iv := range a {
		for len(b) > 0 && b[0].last < iv.first {
			b = b[1:]
		}
		// b[0] may reach into the next of a as well, so it is not consumed here.
		for _, cut := range b {
			if cut.first > iv.last {
				break
			}
			if cut.first > iv.first {
				out = append(out, interval{iv.first, cut.first - 1})
			}
			iv.first = cut.last + 1
			if iv.first > iv.last {
				break
			}
		}
		if iv.first <= iv.last {
			out = append(out, iv)
		}
	}
	return out
}
