// Package failover decides when the leader must change, who comes after it, and
// in which steps. It does nothing itself: [Machine.Step] takes an event and the
// time, and returns the actions to perform; the executor performs them and hands
// their results back as events.
//
// What observers see of the nodes is a [Sight]. A table of named rules
// ([Rules]) turns all present sights into problems. A problem that calls for a
// failover must hold for its time without a break, and then:
//
//	claim    the record gets a new epoch (compare-and-set); writes are held
//	revoke   N-K+1 acceptors refuse every older epoch; the old leader is fenced where it can be reached
//	choose   the most advanced of the revoked ones, by containment of GTID sets
//	drain    it applies all that it, or the one who holds most, has received
//	publish  the record names it as the leader of the new epoch (compare-and-set)
//	open     it takes writes
//	repoint  the others follow it; the held writes are released
//	finish   the record says that no change is under way
//
// A switchover is the same with the old leader's help, and an undone change is a
// change back to the old leader, in an epoch of its own. Who gains coordination
// finds in the record how far its predecessor came: before publish nobody was
// opened, so it claims an epoch of its own and begins again; after publish it
// finishes the very same epoch.
//
// Safety needs no clock with acks >= 1: an acknowledged write is on K of N
// acceptors, so on one at least of those that were revoked, and after that the
// old leader can collect no K acknowledgements. With acks none it rests on the
// leases of the proxies: the new leader is opened when the old one is fenced for
// sure, or when every lease that was there at the claim has run out.
//
// The package is pure: no goroutine, no clock, no I/O, no log. A Machine is not
// safe for concurrent use; its owner is the executor's loop.
package failover
