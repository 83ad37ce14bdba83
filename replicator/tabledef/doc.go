// Package tabledef describes tables and builds the SQL that reads them exactly:
// the expressions by which each column's value survives the way as text, ranges
// of the primary key, and checksums of ranges.
//
// Reading a description is its only I/O; the rest is pure. It starts no goroutine.
package tabledef
