// Package archtest holds the tests of the architecture, and nothing else: which
// package may import which, that the pure packages are pure, that every package
// explains itself in a doc.go, that files stay readable, and that no file names
// a machine or a mirror that only its author has.
//
// docs/ARCHITECTURE.md says why the directions are as they are. A new package
// is free until it gets a line in the table of imports; no listed package can
// import it before it is listed there.
package archtest
