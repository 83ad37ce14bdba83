// Command bellwether is a proxy for one leader and many followers of MySQL or
// MariaDB: writes go to the leader, reads to followers that are fresh enough.
package main
