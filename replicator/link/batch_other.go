//go:build !linux

package link

// Batch does nothing: answers wake the receiver one by one.
func (c *Conn) Batch(int) error { return nil }
