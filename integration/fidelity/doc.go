// Package fidelity holds the test that what a client reads through Bellwether is,
// byte for byte, what it reads from the leader.
package fidelity
