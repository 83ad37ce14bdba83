package gtid

import (
	"fmt"
	"strings"
)

// ParseOwned reads MySQL's @@global.gtid_owned: the transactions that have their
// GTID and are not in gtid_executed yet, each with the threads that own it, as in
// "uuid:23#48". Between two UUIDs the server writes nothing (seen on 9.7), so that
// the thread's number runs into the second. Errors wrap ErrSyntax.
func ParseOwned(s string) (Set, error) {
	const uuidLen = 36
	var plain strings.Builder
	plain.Grow(len(s) + 1)
	owner := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i+uuidLen <= len(s) && s[i+8] == '-' {
			if _, ok := parseUUID(s[i : i+uuidLen]); ok {
				plain.WriteByte(',')
				plain.WriteString(s[i : i+uuidLen])
				i += uuidLen - 1
				owner = false
				continue
			}
		}
		switch {
		case c == '#':
			owner = true
		case owner && c >= '0' && c <= '9':
		default:
			owner = false
			plain.WriteByte(c)
		}
	}
	return Parse(MySQL, plain.String())
}

// Domains returns how many replication domains a MariaDB position has; 0 for the
// empty set and for MySQL's.
func (s Set) Domains() int { return len(s.doms) }

// BeforeLast is a MariaDB position without the last transaction of each domain, as far as the
// numbers tell: a number may be left out, and then the one before is another. MySQL's sets
// are returned as they are.
func (s Set) BeforeLast() Set {
	out := Set{flavor: s.flavor, uuids: s.uuids}
	for _, d := range s.doms {
		if d.last > 1 {
			d.last--
			out.doms = append(out.doms, d)
		}
	}
	return out
}

// Writer is a server as it numbers its transactions in one replication domain of MariaDB.
type Writer struct{ Domain, Server uint32 }

// String is "domain-server".
func (w Writer) String() string { return fmt.Sprintf("%d-%d", w.Domain, w.Server) }

// BinlogState is MariaDB's @@global.gtid_binlog_state: the last number of each writer.
// A position shows only the last writer of a domain.
type BinlogState map[Writer]uint64

// ParseBinlogState reads a gtid_binlog_state, or several, separated by commas. Errors
// wrap ErrSyntax.
func ParseBinlogState(text string) (BinlogState, error) {
	out := BinlogState{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		d, ok := parseDomain(item)
		if !ok || strings.Contains(item, "..") {
			return nil, fmt.Errorf("%w: %.80q is not domain-server-sequence", ErrSyntax, item)
		}
		w := Writer{d.domain, d.server}
		out[w] = max(out[w], d.last)
	}
	return out, nil
}

// PastHolds says whether each transaction that ends a domain of a MariaDB position
// was seen by a server, whose past is given as in @@global.gtid_binlog_state. Errors
// wrap ErrSyntax.
func PastHolds(past string, position Set) (bool, error) {
	last, err := ParseBinlogState(past)
	if err != nil {
		return false, err
	}
	for _, d := range position.doms {
		if last[Writer{d.domain, d.server}] < d.last {
			return false, nil
		}
	}
	return true, nil
}
