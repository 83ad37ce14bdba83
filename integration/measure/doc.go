// Package measure holds what the benchmarks share: the processor time of processes, and
// the middle and the tail of samples.
package measure
