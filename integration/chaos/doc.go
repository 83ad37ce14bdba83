// Package chaos lets random faults happen to real servers and proxies under a load, and
// compares what clients were told with what the servers hold.
//
// A round is a plan of faults (plan_test.go), made from the seed alone before anything
// happens; then all is healed as an operator would (world_test.go), the load stands
// still, and everything is checked (check_test.go): no acknowledged write is lost unless
// that was allowed and reported, none is there twice, none whose client was told that it
// is not; money is neither made nor lost; each epoch had one writer, by the servers' own
// binlogs; all followers are equal to the leader.
//
// The seed is printed. BELLWETHER_SEED=n makes the same plans again, BELLWETHER_ROUND=r
// begins with that round; what the machine's load adds to a plan does not come again.
// BELLWETHER_ROUNDS is how many rounds are made of each kind of cluster; `make chaos` is
// the long form.
package chaos
