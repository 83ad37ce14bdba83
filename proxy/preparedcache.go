package proxy

import (
	"encoding/binary"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// stmtKey names a prepared statement on a backend connection. On one that is shared it
// is the text and all that gives the text its meaning, so that sessions find what
// others have prepared. Else, and while rows or parts of parameters wait in it, it is
// the client's own id: what is in use like that is nobody else's.
type stmtKey struct {
	id                  uint32
	text, schema, print string
}

// preparedHere is a prepared statement as one backend connection knows it.
type preparedHere struct {
	id    uint32 // the server's
	types string // the parameter types that the server was told last
	used  uint64 // the cache's clock then
}

// preparedCache is the prepared statements of one backend connection.
type preparedCache struct {
	by    map[stmtKey]*preparedHere
	clock uint64
	own   int // those of one session alone
}

func (c *preparedCache) forget() { c.by, c.own = nil, 0 }

// find returns a statement, nil where it is not prepared.
func (c *preparedCache) find(key *stmtKey) *preparedHere {
	h := c.by[*key]
	if h != nil {
		c.clock++
		h.used = c.clock
	}
	return h
}

// add notes that a statement is prepared. It returns the one that it replaces.
func (c *preparedCache) add(key *stmtKey, id uint32) (old *preparedHere) {
	if c.by == nil {
		c.by = make(map[stmtKey]*preparedHere)
	}
	old = c.by[*key]
	if old == nil && key.id != 0 {
		c.own++
	}
	c.clock++
	c.by[*key] = &preparedHere{id: id, used: c.clock}
	return old
}

// remove forgets a statement and returns it, nil where it is not prepared.
func (c *preparedCache) remove(key *stmtKey) *preparedHere {
	h := c.by[*key]
	if h != nil && key.id != 0 {
		c.own--
	}
	delete(c.by, *key)
	return h
}

// trim takes out what is one session's own, and what was used longest ago beyond limit.
func (c *preparedCache) trim(limit int) (out []*preparedHere) {
	if c.own > 0 {
		for key, h := range c.by {
			if key.id != 0 {
				delete(c.by, key)
				out = append(out, h)
			}
		}
		c.own = 0
	}
	for len(c.by) > limit {
		var oldest stmtKey
		var found *preparedHere
		for key, h := range c.by {
			if found == nil || h.used < found.used {
				oldest, found = key, h
			}
		}
		delete(c.by, oldest)
		out = append(out, found)
	}
	return out
}

// closeStatements closes statements on the server; there is no answer.
func (b *backend) closeStatements(list ...*preparedHere) {
	var pkts []byte
	for _, h := range list {
		if h != nil {
			pkts = append(pkts, 5, 0, 0, 0, byte(wire.ComStmtClose))
			pkts = binary.LittleEndian.AppendUint32(pkts, h.id)
		}
	}
	if len(pkts) == 0 || b.conn == nil {
		return
	}
	if _, err := b.conn.Write(pkts); err != nil {
		b.broken = true
	}
}
