// Package engine tests replication.mode engine end to end: plain servers, of
// which Bellwether makes a cluster, under the faults of the scenarios.
package engine
