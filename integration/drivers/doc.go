// Package drivers runs real clients against a server and through Bellwether, and
// demands the same of both.
//
// The programs under testdata are what an application does with one driver:
// statements in text and binary form, transactions, several results, values over
// 16 MiB, errors, character sets, files of the client, cursors, changes of user,
// kills. Each prints a line per check, "ok name: value", and ends with an error
// where a check fails. A program runs twice, on a schema made anew: directly
// against the leader and through Bellwether; the outputs must be equal to the
// byte, and part of the second run's reads must have been seen by a follower.
//
// Native replication is asynchronous and this package tests the protocol, not
// freshness, so a program waits for the followers before it reads what it wrote:
// it calls the program in BW_SETTLE, which is the test binary itself.
//
// TestGoSQLDriverSuite runs the test suite of github.com/go-sql-driver/mysql,
// read from the module cache, in the same two ways.
//
// scripts/setup-drivers.sh installs the clients. Without one its test is
// skipped, or fails where CI=true.
package drivers
