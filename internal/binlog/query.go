package binlog

import "bytes"

// Query is a statement: DDL, BEGIN and kin, or DML in statement format.
type Query struct {
	ThreadID    uint32
	ExecSeconds uint32
	ErrorCode   uint16
	Schema      []byte // default schema; empty for none
	Text        []byte // in Vars.Client's character set
	Vars        StatusVars
}

// StatusVars is the session that a statement ran in. Pointers are nil where the
// leader did not tell.
type StatusVars struct {
	Flags2  *uint32 // see OptionNoForeignKeyChecks and kin
	SQLMode *uint64
	Catalog []byte

	AutoIncrement *AutoIncrement
	Charset       *Charset
	TimeZone      []byte
	LCTimeNames   *uint16
	// DatabaseCollation is the id of collation_database.
	DatabaseCollation       *uint16
	TableMapForUpdate       *uint64
	InvokerUser             []byte
	InvokerHost             []byte
	UpdatedSchemas          [][]byte
	TooManySchemas          bool    // UpdatedSchemas is not told
	Microseconds            *uint32 // of NOW(6), MySQL
	CommitTimestamps        bool
	ExplicitDefaultsForTS   *bool
	DDLXID                  *uint64
	DefaultCollationUTF8MB4 *uint16
	RequirePrimaryKey       *bool
	DefaultTableEncryption  *bool
	EnableCascadeTriggers   *bool // MySQL 9.7

	HRNow                 *uint32 // microseconds of NOW(6), MariaDB
	MariaDBXID            *uint64
	GTIDFlags             *uint8 // as TxnHeader.FlagsExtra
	AlterSeq              uint64
	CharacterSetCollation []CollationPair // MariaDB 11.2 and later: character_set_collations

	// Unknown is the code of the first variable that is not known here, 0 for
	// none; those after it are not decoded.
	Unknown uint8
}

// Bits of Flags2, the session options that are written to the binlog.
const (
	OptionAutoIsNull           uint32 = 0x00004000
	OptionNotAutocommit        uint32 = 0x00080000
	OptionNoForeignKeyChecks   uint32 = 0x04000000
	OptionRelaxedUniqueChecks  uint32 = 0x08000000
	OptionIfExists             uint32 = 0x10000000 // MariaDB
	OptionExplicitDefTimestamp uint32 = 0x20000000 // MariaDB
	OptionInsertHistory        uint32 = 0x40000000 // MariaDB
)

// AutoIncrement is auto_increment_increment and auto_increment_offset.
type AutoIncrement struct{ Increment, Offset uint16 }

// Charset holds ids of collations: of the client, the connection, the server.
type Charset struct{ Client, Connection, Server uint16 }

// CollationPair says which collation a character set, named by its default
// collation, has in the session.
type CollationPair struct{ Charset, Collation uint16 }

// ParseQuery decodes a Query event that is not compressed.
func ParseQuery(e Event) (*Query, error) {
	if e.Type != TypeQuery {
		return nil, malformed("%s is not a query event", e.Type)
	}
	c := cursor{b: e.Body()}
	q := &Query{ThreadID: c.u32(), ExecSeconds: c.u32()}
	schema := int(c.u8())
	q.ErrorCode = c.u16()
	vars := c.take(int(c.u16()))
	q.Schema = c.terminated(schema)
	if err := c.err("query event"); err != nil {
		return nil, err
	}
	q.Text = c.b
	return q, q.Vars.parse(vars)
}

// Is reports whether the text is exactly that, whatever the case.
func (q *Query) Is(text string) bool { return bytes.EqualFold(q.Text, []byte(text)) }

func (q *Query) hasPrefix(prefix string) bool {
	return len(q.Text) >= len(prefix) && bytes.EqualFold(q.Text[:len(prefix)], []byte(prefix))
}

func (v *StatusVars) parse(b []byte) error {
	c := cursor{b: b}
	for len(c.b) > 0 {
		code := c.u8()
		if !v.common(code, &c) && !v.mysql(code, &c) && !v.mariadb(code, &c) {
			v.Unknown = code
			return nil
		}
	}
	return c.err("status variables of a query event")
}

// common reads what both flavours have; false for what is not that.
func (v *StatusVars) common(code uint8, c *cursor) bool {
	switch code {
	case 0:
		v.Flags2 = new(c.u32())
	case 1:
		v.SQLMode = new(c.u64())
	case 2:
		v.Catalog = c.terminated(int(c.u8()))
	case 3:
		v.AutoIncrement = &AutoIncrement{Increment: c.u16(), Offset: c.u16()}
	case 4:
		v.Charset = &Charset{Client: c.u16(), Connection: c.u16(), Server: c.u16()}
	case 5:
		v.TimeZone = c.take(int(c.u8()))
	case 6:
		v.Catalog = c.take(int(c.u8()))
	case 7:
		v.LCTimeNames = new(c.u16())
	case 8:
		v.DatabaseCollation = new(c.u16())
	case 9:
		v.TableMapForUpdate = new(c.u64())
	case 10:
		c.u32() // length of the event at the first server, obsolete
	case 11:
		v.InvokerUser = c.take(int(c.u8()))
		v.InvokerHost = c.take(int(c.u8()))
	default:
		return false
	}
	return true
}

func (v *StatusVars) mysql(code uint8, c *cursor) bool {
	switch code {
	case 12:
		n := c.u8()
		v.TooManySchemas = n == 254
		for i := uint8(0); i < n && !v.TooManySchemas && !c.bad; i++ {
			v.UpdatedSchemas = append(v.UpdatedSchemas, c.cstring())
		}
	case 13:
		v.Microseconds = new(uint32(c.uint(3)))
	case 14:
		c.u64()
		v.CommitTimestamps = true
	case 15:
		c.take(16)
		v.CommitTimestamps = true
	case 16:
		v.ExplicitDefaultsForTS = new(c.u8() != 0)
	case 17:
		v.DDLXID = new(c.u64())
	case 18:
		v.DefaultCollationUTF8MB4 = new(c.u16())
	case 19:
		v.RequirePrimaryKey = new(c.u8() != 0)
	case 20:
		v.DefaultTableEncryption = new(c.u8() != 0)
	case 21:
		v.EnableCascadeTriggers = new(c.u8() != 0)
	default:
		return false
	}
	return true
}

func (v *StatusVars) mariadb(code uint8, c *cursor) bool {
	switch code {
	case 128:
		v.HRNow = new(uint32(c.uint(3)))
	case 129:
		v.MariaDBXID = new(c.u64())
	case 130:
		flags := c.u8()
		v.GTIDFlags = &flags
		if flags&(ExtraCommitAlter|ExtraRollbackAlter) != 0 {
			v.AlterSeq = c.u64()
		}
	case 131:
		n := c.u8()
		for i := uint8(0); i < n && !c.bad; i++ {
			v.CharacterSetCollation = append(v.CharacterSetCollation, CollationPair{c.u16(), c.u16()})
		}
	default:
		return false
	}
	return true
}
