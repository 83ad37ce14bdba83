// Package router decides where a statement goes: to the leader or to a
// follower, and says why.
//
// It is pure. It starts no goroutine, reads no clock, opens nothing and logs
// nothing. Bytes go in, decisions come out:
//
//	Classify(sql, Mode, *Catalog)              -> Statement   what is it?
//	Policy.Route(session, statement, snapshot) -> Decision    where does it go, and why?
//
// Neither allocates, but for statements that carry a hint.
//
// # What is a read
//
// Classify does not parse SQL. It splits the text into tokens as the server's
// lexer would, for the client's character set and sql_mode, and calls a
// statement a read only when it begins like one and no token in it can make it
// anything else: no word that writes or locks, no variable, no function that is
// not on the list of functions known to be harmless on every supported version,
// no construct that two servers could read in different ways. Whatever is not
// provably a plain read belongs to the leader: a mistake in that direction costs
// some load on the leader, a mistake in the other one costs correctness. Behind
// this stands the second line (promise P2): follower sessions are read-only, so
// a refusal there sends the statement to the leader, and its digest is
// remembered in Learned.
//
// # Who owns what
//
// Catalog, Policy and Mode are immutable and may be shared. Learned is safe for
// concurrent use. A Statement borrows nothing from the text that it was made
// of; offsets in it are valid for that text only. A TempTables belongs to one
// session.
package router
