// Package consistency tests what sessions are promised at each level, against real
// servers: levels, tokens between sessions and proxies, and waiting for followers.
// integration/history checks the same promises over many sessions under faults.
package consistency
