// Package corpus collects SQL statements for tests: thousands, from the test
// suites of public Go modules, read at test time through the go command and the
// module cache. No text of theirs is in this repository.
//
// Load returns scripts. A script keeps the order of its source: where that has
// set-up and sequences (the engine tests of dolthub/go-mysql-server), statements
// are to be run one after the other on one session, after the set-up and in a
// database of their own. A source of loose statements (the tests of pingcap's
// parser) is one script without set-up for each file, marked Flat. Generated
// statements come from a grammar of this package and a seed.
//
// The package starts the go command, which may use the network, and no goroutine.
package corpus
