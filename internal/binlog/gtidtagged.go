package binlog

import (
	"math/bits"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Fields of GTID_TAGGED_LOG_EVENT, in mysql::serialization, see
// https://dev.mysql.com/doc/dev/mysql-server/latest/PageLibsMysqlSerialization.html.
const (
	fieldFlags = iota
	fieldUUID
	fieldGNO
	fieldTag
	fieldLastCommitted
	fieldSequenceNumber
	fieldImmediateCommit
	fieldOriginalCommit
	fieldLength
	fieldImmediateVersion
	fieldOriginalVersion
	fieldCommitGroupTicket
)

func (h *TxnHeader) parseTagged(b []byte) error {
	c := cursor{b: b}
	h.GTID.Flavor = gtid.MySQL
	if v := c.varUint(); v > 1 {
		return malformed("tagged GTID event in serialization version %d", v)
	}
	c.varUint() // size of all
	lastNeeded := c.varUint()
	var seen [fieldCommitGroupTicket + 1]bool
	for len(c.b) > 0 {
		id := c.varUint()
		if id > fieldCommitGroupTicket {
			// A field of a later version; what it is cannot be known, and fields come in order.
			h.UnknownNeededExtensions = id <= lastNeeded
			break
		}
		if seen[id] {
			return malformed("tagged GTID event with field %d twice", id)
		}
		seen[id] = true
		if err := h.taggedField(int(id), &c); err != nil {
			return err
		}
	}
	if !seen[fieldUUID] || !seen[fieldGNO] {
		return malformed("tagged GTID event without a GTID")
	}
	if !seen[fieldOriginalCommit] {
		h.OriginalCommit = h.ImmediateCommit
	}
	if !seen[fieldOriginalVersion] {
		h.OriginalVersion = h.ImmediateVersion
	}
	return c.err("tagged GTID event")
}

func (h *TxnHeader) taggedField(id int, c *cursor) error {
	switch id {
	case fieldFlags:
		h.MayHaveSBR = c.varUint()&1 != 0
	case fieldUUID:
		for i := range h.GTID.SID {
			v := c.varUint()
			if v > 255 {
				return malformed("tagged GTID event with a byte of %d in its UUID", v)
			}
			h.GTID.SID[i] = byte(v)
		}
	case fieldGNO:
		h.GTID.GNO = c.varInt()
	case fieldTag:
		tag := c.take(int(min(c.varUint(), uint64(len(c.b)+1))))
		if len(tag) > 32 {
			return malformed("a tag of %d bytes", len(tag))
		}
		h.GTID.Tag = string(tag)
	case fieldLastCommitted:
		h.LastCommitted = c.varInt()
	case fieldSequenceNumber:
		h.SequenceNumber = c.varInt()
	case fieldImmediateCommit:
		h.ImmediateCommit = c.varUint()
	case fieldOriginalCommit:
		h.OriginalCommit = c.varUint()
	case fieldLength:
		h.Length = c.varUint()
	case fieldImmediateVersion:
		h.ImmediateVersion = uint32(c.varUint())
	case fieldOriginalVersion:
		h.OriginalVersion = uint32(c.varUint())
	case fieldCommitGroupTicket:
		h.CommitGroupTicket = c.varUint()
	}
	return c.err("tagged GTID event")
}

// varUint reads an integer whose first byte tells, by the ones at its low end,
// how many bytes follow it.
func (c *cursor) varUint() uint64 {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	n := bits.TrailingZeros8(^c.b[0]) + 1 // 1 to 9
	if n == 9 {
		c.take(1)
		return c.uint(8)
	}
	return c.uint(n) >> n
}

// varInt is varUint with the sign in the lowest bit.
func (c *cursor) varInt() int64 {
	v := c.varUint()
	if v&1 != 0 {
		return -1 - int64(v>>1)
	}
	return int64(v >> 1)
}
