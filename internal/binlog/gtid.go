package binlog

import (
	"encoding/hex"
	"strconv"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// GTID is the identifier of one transaction, of either flavour. It is comparable.
type GTID struct {
	Flavor gtid.Flavor

	SID [16]byte // MySQL: the UUID of the server that committed it first
	Tag string   // MySQL 8.3 and later; lower case, empty for most
	GNO int64    // MySQL: number of the transaction

	Domain uint32 // MariaDB
	Server uint32
	Seq    uint64
}

// String returns the servers' own form: uuid:number, uuid:tag:number, or
// domain-server-sequence.
func (g GTID) String() string {
	if g.Flavor == gtid.MariaDB {
		b := strconv.AppendUint(nil, uint64(g.Domain), 10)
		b = strconv.AppendUint(append(b, '-'), uint64(g.Server), 10)
		return string(strconv.AppendUint(append(b, '-'), g.Seq, 10))
	}
	b := make([]byte, 0, 64)
	for i, n := range [5]int{4, 2, 2, 2, 6} {
		if i > 0 {
			b = append(b, '-')
		}
		at := [5]int{0, 4, 6, 8, 10}[i]
		b = hex.AppendEncode(b, g.SID[at:at+n])
	}
	b = append(b, ':')
	if g.Tag != "" {
		b = append(append(b, g.Tag...), ':')
	}
	return string(strconv.AppendInt(b, g.GNO, 10))
}

// Set returns the set of this transaction alone; for MariaDB the position that
// it makes. It is empty for a GTID that no server gives out.
func (g GTID) Set() gtid.Set {
	s, err := gtid.Parse(g.Flavor, g.String())
	if err != nil {
		return gtid.Set{}
	}
	return s
}

// Flags of MariaDB's GTID events.
const (
	FlagStandalone    uint8 = 1   // one event, without a commit
	FlagGroupCommit   uint8 = 2   // CommitID is there
	FlagTransactional uint8 = 4   // can be rolled back
	FlagAllowParallel uint8 = 8   // not forbidden by the session
	FlagWaited        uint8 = 16  // waited for a row lock on the leader
	FlagDDL           uint8 = 32  // holds DDL
	FlagPreparedXA    uint8 = 64  // ends with XA PREPARE
	FlagCompletedXA   uint8 = 128 // is XA COMMIT or XA ROLLBACK
)

// Extra flags of MariaDB's GTID events.
const (
	ExtraMultiEngine   uint8 = 1
	ExtraStartAlter    uint8 = 2 // two-phase ALTER TABLE: it begins
	ExtraCommitAlter   uint8 = 4
	ExtraRollbackAlter uint8 = 8
	ExtraThreadID      uint8 = 16
)

// TxnHeader is a decoded GTID event: what a transaction begins with.
type TxnHeader struct {
	GTID GTID

	// MySQL. LastCommitted and SequenceNumber are the leader's own information for
	// parallel replicas, for comparison within one binlog file.
	MayHaveSBR              bool // may hold statements
	LastCommitted           int64
	SequenceNumber          int64
	ImmediateCommit         uint64 // microseconds of the Unix epoch, at the leader; 0 where the server does not tell
	OriginalCommit          uint64 // where it was committed first
	Length                  uint64 // of the whole transaction in the leader's file
	ImmediateVersion        uint32 // such as 90704; 0 where the server does not tell
	OriginalVersion         uint32
	CommitGroupTicket       uint64
	Anonymous               bool // gtid_mode is OFF there
	UnknownNeededExtensions bool // has fields that must be understood and are not

	// MariaDB.
	Flags      uint8
	FlagsExtra uint8
	CommitID   uint64 // transactions with the same one were committed together; 0 for none
	XA         *XID
	AlterSeq   uint64 // of the START ALTER that this COMMIT or ROLLBACK ALTER ends

	Timestamp uint32 // of the event's header, seconds
	ServerID  uint32 // of the event's header
}

// XID is the identifier of an XA transaction.
type XID struct {
	Format           uint32
	Global, Branch   []byte
	OnePhaseOnCommit bool // only in XA_PREPARE events: XA COMMIT ... ONE PHASE
}

// ParseGTID decodes the GTID event of either flavour, tagged ones included.
func ParseGTID(e Event) (*TxnHeader, error) {
	h := &TxnHeader{Timestamp: e.Timestamp, ServerID: e.ServerID}
	var err error
	switch e.Type {
	case TypeGTID, TypeAnonymousGTID:
		err = h.parseMySQL(e.Body())
		h.Anonymous = e.Type == TypeAnonymousGTID
	case TypeGTIDTagged:
		err = h.parseTagged(e.Body())
	case TypeMariadbGTID:
		err = h.parseMariaDB(e.Body())
	default:
		err = malformed("%s is not a GTID event", e.Type)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

const logicalTimestamps = 2 // LOGICAL_TIMESTAMP_TYPECODE

func (h *TxnHeader) parseMySQL(b []byte) error {
	c := cursor{b: b}
	h.GTID.Flavor = gtid.MySQL
	h.MayHaveSBR = c.u8()&1 != 0
	copy(h.GTID.SID[:], c.take(16))
	h.GTID.GNO = int64(c.u64())
	if len(c.b) < 17 || c.b[0] != logicalTimestamps { // MySQL 5.6, 5.7.4
		return c.err("GTID event")
	}
	c.u8()
	h.LastCommitted, h.SequenceNumber = int64(c.u64()), int64(c.u64())
	if len(c.b) < 7 {
		return c.err("GTID event")
	}
	h.ImmediateCommit = c.uint(7)
	h.OriginalCommit = h.ImmediateCommit
	if differs := uint64(1) << 55; h.ImmediateCommit&differs != 0 {
		h.ImmediateCommit &^= differs
		h.OriginalCommit = c.uint(7)
	}
	if len(c.b) == 0 {
		return c.err("GTID event")
	}
	h.Length = c.lenenc()
	if len(c.b) < 4 {
		return c.err("GTID event")
	}
	h.ImmediateVersion = c.u32()
	h.OriginalVersion = h.ImmediateVersion
	if differs := uint32(1) << 31; h.ImmediateVersion&differs != 0 {
		h.ImmediateVersion &^= differs
		h.OriginalVersion = c.u32()
	}
	if len(c.b) >= 8 {
		h.CommitGroupTicket = c.u64()
	}
	return c.err("GTID event")
}

// gtidHeaderSize is what MariaDB pads a GTID event's body to.
const gtidHeaderSize = 19

func (h *TxnHeader) parseMariaDB(b []byte) error {
	if len(b) < gtidHeaderSize {
		return malformed("GTID event with a body of %d bytes", len(b))
	}
	c := cursor{b: b}
	h.GTID.Flavor = gtid.MariaDB
	h.GTID.Seq, h.GTID.Domain, h.GTID.Server = c.u64(), c.u32(), h.ServerID
	h.Flags = c.u8()
	if h.Flags&FlagGroupCommit != 0 {
		h.CommitID = c.u64()
	}
	if h.Flags&(FlagPreparedXA|FlagCompletedXA) != 0 {
		x := &XID{Format: c.u32()}
		g, q := int(c.u8()), int(c.u8())
		x.Global, x.Branch = c.take(g), c.take(q)
		h.XA = x
	}
	if len(c.b) > 0 {
		h.FlagsExtra = c.u8()
		if h.FlagsExtra&ExtraMultiEngine != 0 {
			c.u8()
		}
		if h.FlagsExtra&(ExtraCommitAlter|ExtraRollbackAlter) != 0 {
			h.AlterSeq = c.u64()
		}
		h.UnknownNeededExtensions = h.FlagsExtra&^(ExtraMultiEngine|ExtraStartAlter|ExtraCommitAlter|ExtraRollbackAlter|ExtraThreadID) != 0
	}
	return c.err("GTID event")
}
