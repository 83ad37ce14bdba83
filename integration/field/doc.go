// Package field has a test for every complaint about systems of this kind that
// users brought before their trackers again and again, so far as it concerns the
// protocol, routing, accounts or limits. A test is named for the complaint:
//
//	01 autocommit=0 and the first SELECT     10 prepared statements pile up
//	02 a stale read after a write            11 digest memory grows
//	03 reads jump between replicas           12 cursors
//	04 a user variable locks the session     13 LOAD DATA LOCAL
//	05 SET pins the session, or is lost      14 KILL and connection ids
//	06 a multi-line FOR UPDATE               15 LAST_INSERT_ID
//	08 caching_sha2_password                 16 lag kills running queries
//	09 copies of passwords                   20 the client's address is hidden
//
// Complaints 7 and 17 to 19 are about a change of leader.
//
// Where a statement ran is seen by the table shop.whoami: its row is another one
// on every node, because the followers' was changed behind the binlog's back.
package field
