// Package gtid represents sets of global transaction identifiers of both
// flavours behind one type.
//
// Containment of sets is a partial order: two sets can each hold what the other
// lacks. Compare therefore has four answers, and nothing here can be used as a
// sort key. Values are immutable and safe for concurrent use.
package gtid
