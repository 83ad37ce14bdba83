// Package operations tests Bellwether as it is operated: real servers fail, lag
// and return, the configuration changes under load, the process is ended, and
// clients must notice none of it, or be told clearly.
package operations
