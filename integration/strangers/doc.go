// Package strangers looks for what one client left for another to find: many sessions
// share few connections (pool.mode: transaction), each leaves a state of its own there
// in all ways that the servers know, and looks for the states of the others.
package strangers
