// Package history checks what sessions saw against what was promised to them.
//
// Clients of a real cluster record every operation (Op) with the times at which
// it was asked and answered. Each write adds one to its row's version, and the
// answer tells which version it made; so the order of the writes of a key is
// known, and a read tells exactly how much it saw. Check walks such a history
// once and finds the reads that break a guarantee. Which guarantees a level
// promises, Promised says; reads of other levels are checked and counted too,
// as anomalies that are allowed.
//
// The guarantees are the four of Terry et al., "Session Guarantees for Weakly
// Consistent Replicated Data" (1994): read your writes, monotonic reads,
// monotonic writes, writes follow reads; causal order along tokens that one
// session hands to another; Global, that a read sees every write that was
// acknowledged before it began; and Integrity, that what is read was written.
//
// How: a session's past is kept as vectors, by key the least version that it must
// see from now on, one vector for each reason. A write is stamped with the past
// of its session; whoever sees version v of a key inherits the stamps of all
// versions up to v (Fidge and Mattern's clocks, with keys in place of
// processes). Linearizable hands the history of each single key to Porcupine, for
// the level strong.
//
// The package's own tests plant violations, and compare Check with an oracle that
// searches the graph of operations. The tests over real servers turn faults of
// the followers on and off under thousands of sessions; BELLWETHER_SEED repeats a
// run's choices, BELLWETHER_LONG=1 runs the long form (a million reads).
package history
