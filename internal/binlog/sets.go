package binlog

import (
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// ParsePreviousGTIDs returns what MySQL had executed before a binlog file began.
func ParsePreviousGTIDs(e Event) (gtid.Set, error) {
	if e.Type != TypePreviousGTIDs {
		return gtid.Set{}, malformed("%s is not a set of previous GTIDs", e.Type)
	}
	c := cursor{b: e.Body()}
	head := c.u64()
	tagged := head>>56 == 1
	n := head
	if tagged {
		n = head << 8 >> 16 // the format stands at both ends
	}
	if n > uint64(len(c.b))/24 {
		return gtid.Set{}, malformed("previous GTIDs of %d sources", n)
	}
	var text strings.Builder
	for range n {
		g := GTID{Flavor: gtid.MySQL, GNO: 1}
		copy(g.SID[:], c.take(16))
		if tagged {
			g.Tag = string(c.take(int(min(c.varUint(), 1<<20))))
		}
		ivs := c.u64()
		if c.bad || ivs > uint64(len(c.b))/16 {
			return gtid.Set{}, malformed("previous GTIDs are truncated")
		}
		for range ivs {
			first, end := int64(c.u64()), int64(c.u64())
			g.GNO = first
			text.WriteString(g.String())
			g.GNO = end - 1
			text.WriteByte('-')
			text.WriteString(g.String()[strings.LastIndexByte(g.String(), ':')+1:])
			text.WriteByte(',')
		}
	}
	if err := c.err("previous GTIDs"); err != nil {
		return gtid.Set{}, err
	}
	s, err := gtid.Parse(gtid.MySQL, text.String())
	if err != nil {
		return s, malformed("previous GTIDs: %v", err)
	}
	return s, nil
}

// GTIDList is MariaDB's position at the start of a binlog file, one GTID for
// each domain and server, the last of a domain being the newest.
type GTIDList struct {
	Flags uint8
	GTIDs []GTID
}

// ParseGTIDList decodes a GTID_LIST event.
func ParseGTIDList(e Event) (GTIDList, error) {
	if e.Type != TypeMariadbGTIDList {
		return GTIDList{}, malformed("%s is not a list of GTIDs", e.Type)
	}
	c := cursor{b: e.Body()}
	head := c.u32()
	l := GTIDList{Flags: uint8(head >> 28)}
	n := head & (1<<28 - 1)
	if uint64(n) > uint64(len(c.b))/16 {
		return l, malformed("a list of %d GTIDs in %d bytes", n, len(c.b))
	}
	for range n {
		l.GTIDs = append(l.GTIDs, GTID{Flavor: gtid.MariaDB, Domain: c.u32(), Server: c.u32(), Seq: c.u64()})
	}
	return l, c.err("GTID_LIST event")
}

// Set is the position that the list makes.
func (l GTIDList) Set() gtid.Set {
	var s gtid.Set
	for _, g := range l.GTIDs {
		s = s.Union(g.Set())
	}
	return s
}

// Heartbeat is where the leader's stream stands while it has nothing to send.
type Heartbeat struct {
	File     string
	Position uint64
}

// ParseHeartbeat decodes a heartbeat of either version.
func ParseHeartbeat(e Event) (Heartbeat, error) {
	if e.Type == TypeHeartbeat {
		return Heartbeat{File: string(e.Body()), Position: uint64(e.LogPos)}, nil
	}
	if e.Type != TypeHeartbeatV2 {
		return Heartbeat{}, malformed("%s is not a heartbeat", e.Type)
	}
	var h Heartbeat
	c := cursor{b: e.Body()}
	for len(c.b) > 0 {
		kind := c.lenenc()
		if kind == 0 {
			break
		}
		v := cursor{b: c.take(c.size())}
		switch kind {
		case 1:
			h.File = string(v.b)
		case 2:
			h.Position = v.lenenc()
		}
		if v.bad {
			c.bad = true
		}
	}
	return h, c.err("heartbeat")
}
