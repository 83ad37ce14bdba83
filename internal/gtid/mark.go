package gtid

import "slices"

// Source is whose numbers a transaction counts in: a MySQL server's, with a tag, or
// a MariaDB replication domain. It is comparable.
type Source struct {
	uuid   [16]byte
	tag    string
	domain uint32
}

// Mark is one transaction, by which one can tell cheaply that a position may have
// come to hold a set.
type Mark struct {
	Source Source
	Number uint64
}

// Missing returns the last transaction of the first source of which s does not hold
// all that o has. ok is false when s contains o.
func (s Set) Missing(o Set) (m Mark, ok bool) {
	for i, e := range o.uuids {
		if s.flavor == MySQL && containsMySQL(s.uuids, o.uuids[i:i+1]) {
			continue
		}
		left := o.uuids[i : i+1]
		if s.flavor == MySQL {
			left = subtractMySQL(left, s.uuids)
		}
		ivs := left[0].ivs
		return Mark{Source{uuid: e.uuid, tag: e.tag}, uint64(ivs[len(ivs)-1].last)}, true
	}
	for i, d := range o.doms {
		if s.flavor != MariaDB || !containsMariaDB(s.doms, o.doms[i:i+1]) {
			return Mark{Source{domain: d.domain}, d.last}, true
		}
	}
	return Mark{}, false
}

// Highest returns the greatest number of a source in s, 0 where there is none.
func (s Set) Highest(from Source) uint64 {
	if s.flavor == MySQL {
		want := uuidEntry{uuid: from.uuid, tag: from.tag}
		i, found := slices.BinarySearchFunc(s.uuids, want, func(a, b uuidEntry) int { return a.compare(&b) })
		if !found {
			return 0
		}
		ivs := s.uuids[i].ivs
		return uint64(ivs[len(ivs)-1].last)
	}
	for _, d := range s.doms {
		if d.domain == from.domain {
			return d.last
		}
	}
	return 0
}

// Lasts returns the last transaction of each source in a MySQL set; nothing for MariaDB's.
func (s Set) Lasts() []Mark {
	var out []Mark
	for _, e := range s.uuids {
		out = append(out, Mark{Source{uuid: e.uuid, tag: e.tag}, uint64(e.ivs[len(e.ivs)-1].last)})
	}
	return out
}

// Span returns a MySQL source's transactions from first to last, both included. The numbers
// are between 1 and the greatest that MySQL hands out.
func (s Source) Span(first, last uint64) Set {
	if first == 0 || last < first || last > maxGNO {
		return Set{}
	}
	e := uuidEntry{uuid: s.uuid, tag: s.tag, ivs: []interval{{int64(first), int64(last)}}}
	return Set{flavor: MySQL, uuids: []uuidEntry{e}}
}
