// Package failover tests changes of the leader on real servers, through the real
// program. Numbers in the tests' comments are of the list of fault scenarios.
package failover
