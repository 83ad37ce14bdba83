package proxy

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"time"
)

// maxSecrets bounds the cache of passwords that clients have proved.
const maxSecrets = 10000

// secrets is the cache of caching_sha2_password: what a user proved by sending
// the password once, so that the next logins need not. A key holds the account's
// stored hash: with a changed password, nothing is found.
type secrets struct {
	mu    sync.Mutex
	byKey map[string]string // guarded by mu
}

func newSecrets() *secrets { return &secrets{byKey: make(map[string]string)} }

func (c *secrets) find(key string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	password, ok := c.byKey[key]
	return password, ok
}

func (c *secrets) keep(key, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[key]; !ok && len(c.byKey) >= maxSecrets {
		for other := range c.byKey { // any: it costs its owner one full authentication
			delete(c.byKey, other)
			break
		}
	}
	c.byKey[key] = password
}

// rightsSeen is the version of the leader's accounts and rights that a login met,
// and when it was first met; the zero time where it is the first one.
type rightsSeen struct {
	version string
	since   time.Time
}

// rightsSettle is for how long after a change connections to followers are not kept
// for later logins: the rights are fixed when a connection is made, and the
// follower may have had the old ones then.
const rightsSettle = 10 * time.Second

func (srv *Server) sawRights(version string, now time.Time) {
	switch old := srv.rights.Load(); {
	case old == nil:
		srv.rights.CompareAndSwap(nil, &rightsSeen{version: version})
	case old.version != version:
		srv.rights.CompareAndSwap(old, &rightsSeen{version, now})
	}
}

// unsettled says whether a follower's connection may have rights of before a change.
func (srv *Server) unsettled(b *backend) bool {
	r := srv.rights.Load()
	return b.follower && r != nil && !r.since.IsZero() && b.born.Before(r.since.Add(rightsSettle))
}

// userCounts counts the sessions of each user.
type userCounts struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func newUserCounts() *userCounts { return &userCounts{n: make(map[string]int)} }

// enter counts a session, unless the user has as many as limit already; 0 is no limit.
func (c *userCounts) enter(user string, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > 0 && c.n[user] >= limit {
		return false
	}
	c.n[user]++
	return true
}

func (c *userCounts) leave(user string) {
	if user == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n[user]--; c.n[user] <= 0 {
		delete(c.n, user)
	}
}

// throttle allows something once in a while.
type throttle struct {
	mu   sync.Mutex
	last time.Time // guarded by mu
}

func (t *throttle) allow(now time.Time, every time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) < every {
		return false
	}
	t.last = now
	return true
}

// rsaKey is the proxy's own key, by which clients send passwords over
// connections that are not encrypted.
type rsaKey struct {
	key *rsa.PrivateKey
	pem []byte
}

func newRSAKey() (*rsaKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &rsaKey{key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, nil
}
