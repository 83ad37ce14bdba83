// Command replbench compares Bellwether's replication with the servers' own: how fast a
// follower catches up, what that costs, and how far behind it is under a steady load.
//
// All candidates follow the same leader, each on a server of its own with the same durable
// settings, and are measured in turns, one at a time, so that what else the machine does falls
// on all of them alike. Figures are medians of the rounds; what is to be looked at are ratios.
//
// BENCH_FLAVORS, BENCH_ROUNDS, BENCH_TRANSACTIONS, BENCH_ONLY (a regular expression of
// workloads) and BENCH_SHORT change what is measured; see docs/benchmarks.md.
package main
