// Package disk is what several parts need of a local file system: one process at a time in
// a place, and names that are durable. It starts no goroutines.
package disk
