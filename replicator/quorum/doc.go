// Package quorum decides which of a leader's transactions may be acknowledged to
// it, and which followers are in sync. It is pure: positions and times in,
// decisions out.
//
// A [Window] holds the transactions that the leader wrote and that are not yet
// acknowledged, in the leader's order, and for each follower how many of them it
// has committed. [Decide] says up to which of them the [Policy] is satisfied:
// acknowledgements are cumulative, so one number is all there is to say.
//
// The in-sync set is what Kafka calls ISR (https://kafka.apache.org/documentation/#replication):
// a follower leaves it when it has been further behind than [Policy.MaxLag], and
// comes back when it has been well below that for a while. Membership bounds who
// is waited for under [All], and how many there must be ([Policy.MinInSync]); a
// commit counts whoever made it.
package quorum
