package gtid

import (
	"errors"
	"fmt"
)

// Flavor is the kind of server that a set belongs to.
type Flavor uint8

// Flavours.
const (
	FlavorUnknown Flavor = iota
	MariaDB
	MySQL
)

func (f Flavor) String() string {
	switch f {
	case MariaDB:
		return "mariadb"
	case MySQL:
		return "mysql"
	default:
		return "unknown"
	}
}

// Order is how two sets stand to each other.
type Order uint8

// Answers of Compare.
const (
	Equal      Order = iota
	Before           // the first is a proper part of the second
	After            // the second is a proper part of the first
	Concurrent       // each holds something that the other lacks
)

func (o Order) String() string {
	switch o {
	case Equal:
		return "equal"
	case Before:
		return "before"
	case After:
		return "after"
	default:
		return "concurrent"
	}
}

// Set is a set of GTIDs (MySQL) or a replication position (MariaDB). It is
// immutable. The zero value is empty and goes with both flavours.
type Set struct {
	flavor Flavor
	uuids  []uuidEntry   // MySQL: sorted, none empty
	doms   []domainEntry // MariaDB: sorted by domain, none empty
}

// ErrSyntax is what Parse's errors wrap.
var ErrSyntax = errors.New("malformed GTID set")

// Parse reads what a server shows of itself: @@gtid_executed and kin for MySQL,
// @@gtid_slave_pos and kin for MariaDB. Where a MariaDB text names a domain more
// than once, as gtid_binlog_state does, the highest sequence number counts. The
// differences that Subtract makes are read back too. Errors wrap ErrSyntax.
func Parse(f Flavor, s string) (Set, error) {
	var out Set
	var err error
	switch f {
	case MySQL:
		out, err = parseMySQL(s)
	case MariaDB:
		out, err = parseMariaDB(s)
	default:
		return Set{}, fmt.Errorf("%w: the flavour is not known", ErrSyntax)
	}
	if err != nil {
		return Set{}, err
	}
	return out, nil
}

// Flavor returns the kind of server; FlavorUnknown for the zero Set.
func (s Set) Flavor() Flavor { return s.flavor }

// IsEmpty reports whether there is nothing in s.
func (s Set) IsEmpty() bool { return len(s.uuids) == 0 && len(s.doms) == 0 }

// String returns the server's own form, in a canonical order. A difference of
// MariaDB positions is written as ranges: 0-1-96..100.
func (s Set) String() string { return string(s.AppendText(nil)) }

// AppendText appends what String returns.
func (s Set) AppendText(dst []byte) []byte {
	if s.flavor == MySQL {
		return appendMySQL(dst, s.uuids)
	}
	return appendMariaDB(dst, s.doms)
}

// Contains reports whether everything in o is in s. Every set contains the empty
// one; a set never contains anything of the other flavour.
func (s Set) Contains(o Set) bool {
	switch {
	case o.IsEmpty():
		return true
	case s.flavor != o.flavor:
		return false
	case s.flavor == MySQL:
		return containsMySQL(s.uuids, o.uuids)
	default:
		return containsMariaDB(s.doms, o.doms)
	}
}

// Equal reports whether both hold the same.
func (s Set) Equal(o Set) bool { return s.Contains(o) && o.Contains(s) }

// Union returns the least set that contains both. Of two concurrent GTIDs of one
// MariaDB domain, which no position can hold together, it keeps the one of the
// greater server id. For sets of different flavours, which have no union, it
// returns s.
func (s Set) Union(o Set) Set {
	switch {
	case o.IsEmpty():
		return s
	case s.IsEmpty():
		return o
	case s.flavor != o.flavor:
		return s
	case s.flavor == MySQL:
		return Set{flavor: MySQL, uuids: unionMySQL(s.uuids, o.uuids)}
	default:
		return Set{flavor: MariaDB, doms: unionMariaDB(s.doms, o.doms)}
	}
}

// Subtract returns what is in s and not in o. For MariaDB that is, for each
// domain, the sequence numbers above o's; it is empty exactly when o contains s.
func (s Set) Subtract(o Set) Set {
	switch {
	case s.IsEmpty(), o.IsEmpty(), s.flavor != o.flavor:
		return s
	case s.flavor == MySQL:
		return Set{flavor: MySQL, uuids: subtractMySQL(s.uuids, o.uuids)}
	default:
		return Set{flavor: MariaDB, doms: subtractMariaDB(s.doms, o.doms)}
	}
}

// Count returns the number of transactions, at most the greatest uint64. For
// MariaDB it is the sum over domains of sequence numbers, so that the Count of a
// difference is the distance; numbers that were never used count too.
func (s Set) Count() uint64 {
	var n uint64
	for _, e := range s.uuids {
		for _, iv := range e.ivs {
			n = addSaturated(n, uint64(iv.last-iv.first)+1)
		}
	}
	for _, d := range s.doms {
		n = addSaturated(n, d.last-d.first+1)
	}
	return n
}

// Compare tells how a stands to b.
func Compare(a, b Set) Order {
	ab, ba := a.Contains(b), b.Contains(a)
	switch {
	case ab && ba:
		return Equal
	case ba:
		return Before
	case ab:
		return After
	default:
		return Concurrent
	}
}

func addSaturated(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// OfSource returns the transactions of s that were first committed by the MySQL
// server of that UUID, under whatever tag. It is empty for MariaDB, whose
// positions do not tell.
func (s Set) OfSource(uuid string) Set {
	u, ok := parseUUID(uuid)
	if !ok {
		return Set{flavor: s.flavor}
	}
	out := Set{flavor: s.flavor}
	for _, e := range s.uuids {
		if e.uuid == u {
			out.uuids = append(out.uuids, e)
		}
	}
	return out
}
