package binlog

// ParseXid returns the number of the storage engines' transaction that commits.
func ParseXid(e Event) (uint64, error) {
	c := cursor{b: e.Body()}
	xid := c.u64()
	return xid, c.err("XID event")
}

// Kinds of Intvar.
const (
	IntvarLastInsertID uint8 = 1
	IntvarInsertID     uint8 = 2
)

// Intvar sets LAST_INSERT_ID or INSERT_ID for the statement behind it.
type Intvar struct {
	Kind  uint8
	Value uint64
}

// ParseIntvar decodes an INTVAR event.
func ParseIntvar(e Event) (Intvar, error) {
	c := cursor{b: e.Body()}
	v := Intvar{Kind: c.u8(), Value: c.u64()}
	return v, c.err("INTVAR event")
}

// Rand sets RAND_SEED1 and RAND_SEED2 for the statement behind it.
type Rand struct{ Seed1, Seed2 uint64 }

// ParseRand decodes a RAND event.
func ParseRand(e Event) (Rand, error) {
	c := cursor{b: e.Body()}
	v := Rand{Seed1: c.u64(), Seed2: c.u64()}
	return v, c.err("RAND event")
}

// Kinds of UserVar values: Item_result of the servers.
const (
	UserVarString  uint8 = 0
	UserVarReal    uint8 = 1
	UserVarInt     uint8 = 2
	UserVarDecimal uint8 = 4
)

// UserVar sets a user variable for the statement behind it.
type UserVar struct {
	Name      []byte
	Null      bool
	Kind      uint8
	Collation uint32
	Value     []byte // as the server keeps it: a string, a double, an int64, or precision, scale and packed decimal
	Unsigned  bool
}

// ParseUserVar decodes a USER_VAR event.
func ParseUserVar(e Event) (UserVar, error) {
	c := cursor{b: e.Body()}
	v := UserVar{Name: c.take(int(min(c.u32(), 1<<30))), Null: c.u8() != 0}
	if v.Null {
		return v, c.err("USER_VAR event")
	}
	v.Kind, v.Collation = c.u8(), c.u32()
	v.Value = c.take(int(min(c.u32(), 1<<30)))
	if len(c.b) > 0 {
		v.Unsigned = c.u8()&1 != 0
	}
	return v, c.err("USER_VAR event")
}

// Incident says that the leader's binlog lacks something.
type Incident struct {
	Number  uint16
	Message string
}

// ParseIncident decodes an INCIDENT event.
func ParseIncident(e Event) (Incident, error) {
	c := cursor{b: e.Body()}
	v := Incident{Number: c.u16()}
	v.Message = string(c.take(int(c.u8())))
	return v, c.err("INCIDENT event")
}

// Rotate says that the binlog goes on in another file.
type Rotate struct {
	Position uint64
	File     string
}

// ParseRotate decodes a ROTATE event. An artificial one tells where a stream begins.
func ParseRotate(e Event) (Rotate, error) {
	c := cursor{b: e.Body()}
	v := Rotate{Position: c.u64()}
	v.File = string(c.b)
	return v, c.err("ROTATE event")
}

// ParseRowsQuery returns the statement behind row events, from ROWS_QUERY (MySQL)
// or ANNOTATE_ROWS (MariaDB).
func ParseRowsQuery(e Event) ([]byte, error) {
	c := cursor{b: e.Body()}
	if e.Type == TypeRowsQuery {
		c.u8() // the length, modulo 256
	}
	return c.b, c.err("ROWS_QUERY event")
}

// ParseXAPrepare decodes the event that ends the first half of an XA transaction.
func ParseXAPrepare(e Event) (*XID, error) {
	c := cursor{b: e.Body()}
	x := &XID{OnePhaseOnCommit: c.u8() != 0, Format: c.u32()}
	g, q := c.u32(), c.u32()
	if g > 64 || q > 64 {
		return nil, malformed("an XID of %d and %d bytes", g, q)
	}
	x.Global, x.Branch = c.take(int(g)), c.take(int(q))
	return x, c.err("XA_PREPARE event")
}
