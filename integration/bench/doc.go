// Command bench measures what Bellwether costs, beside HAProxy in TCP mode and
// a direct connection: `make bench`.
//
// It starts a leader and two followers (MariaDB, internal/sandbox), HAProxy and
// Bellwether, lays sysbench's table, and runs each workload against each target
// in turn, round after round (A B C A B C), so that a change of the machine's
// load meets all of them. What it prints are medians over the rounds.
//
// CPU per query is what the proxy's process used, from its own accounting
// (/proc/PID/stat), divided by the queries that the client counted. It is the
// figure to look at where servers, clients and proxies share few cores: queries
// per second then say more about all of them together. Nothing is asserted; the
// ratios to HAProxy are printed beside their goals.
//
//	targets.go, haproxy.go, bellwether.go  what is measured
//	workloads.go, sysbench.go, client.go, idle.go  what is run against it
//	proc.go, stats.go  what is read and computed
//	report.go, markdown.go  what is printed
//
// docs/benchmarks.md describes the settings and the environment variables.
//
// Goroutines: the clients of client.go and idle.go, which end with the call that
// started them, and those of internal/sandbox. All processes end with this one.
package main
