// Package app makes the running program out of a configuration: it builds the
// proxy, the lag monitor, the catalogue and the admin side, connects them through
// the topology store, and applies a changed configuration to all of them.
//
// Run owns every goroutine of the program; they all end with its context.
package app
