// Package nodetest starts pairs of servers for the tests of the copy, the
// verification and the hand-over, and writes to them.
package nodetest
