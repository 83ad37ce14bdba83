// Package admin is the HTTP side of a proxy: metrics, health, JSON under /v1/,
// and a status page.
//
//	/metrics      Prometheus
//	/healthz      200 as long as the process answers
//	/readyz       200 when the leader is known and clients are accepted, else 503 with the reasons
//	/v1/topology  nodes, roles, states, lag            (TopologyView)
//	/v1/stats     counters of statements               (StatsView)
//	/v1/config    effective configuration without secrets, and what became of the last reload (ConfigView)
//	/v1/sessions  sessions, the oldest first, ?limit=  (SessionsView)
//	/v1/digests   statements by digest, ?limit=        (DigestsView)
//	/v1/version   what is running                      (VersionView)
//	/             the status page, which reads the above
//
// Times are RFC 3339, durations are milliseconds and say so in their names, and
// what is unknown is null, never zero. Fields are added, not renamed.
//
// Everything is read-only: methods other than GET and HEAD are refused. There is
// no login, so the address is to be kept private.
//
// The package asks for what it shows through functions that its user gives
// ([Config]); a part whose function is nil answers 404. [New] starts nothing;
// [Server.Run] serves in the caller's goroutine, with one more for each
// connection, and ends them all before it returns.
package admin
