// Package catalog keeps what the proxy needs to know of the leader besides its
// data: accounts, stored routines and views, and server variables.
//
// A [Poller] reads them from the present leader every interval and publishes
// immutable values behind atomic pointers, which the data path loads without a
// lock. What has not changed, by a fingerprint that the leader computes, is not
// read again. After an error the last good values stay, and [Poller.Status]
// tells how old they are.
//
// Goroutines: Run blocks in the caller's goroutine; Refresh reads in a goroutine
// of its own, which ends with its query's deadline. The Poller owns its
// connection to the leader.
package catalog
