package wire

import (
	"encoding/binary"
	"fmt"
)

// Column types. Source: field_types.h of MySQL 9, mysql_com.h of MariaDB 11.
const (
	TypeDecimal    byte = 0x00
	TypeTiny       byte = 0x01
	TypeShort      byte = 0x02
	TypeLong       byte = 0x03
	TypeFloat      byte = 0x04
	TypeDouble     byte = 0x05
	TypeNull       byte = 0x06
	TypeTimestamp  byte = 0x07
	TypeLongLong   byte = 0x08
	TypeInt24      byte = 0x09
	TypeDate       byte = 0x0a
	TypeTime       byte = 0x0b
	TypeDatetime   byte = 0x0c
	TypeYear       byte = 0x0d
	TypeNewDate    byte = 0x0e
	TypeVarchar    byte = 0x0f
	TypeBit        byte = 0x10
	TypeTimestamp2 byte = 0x11
	TypeDatetime2  byte = 0x12
	TypeTime2      byte = 0x13
	TypeTypedArray byte = 0x14 // MySQL
	TypeVector     byte = 0xf2 // MySQL 9
	TypeBool       byte = 0xf4 // MySQL
	TypeJSON       byte = 0xf5 // MySQL
	TypeNewDecimal byte = 0xf6
	TypeEnum       byte = 0xf7
	TypeSet        byte = 0xf8
	TypeTinyBlob   byte = 0xf9
	TypeMediumBlob byte = 0xfa
	TypeLongBlob   byte = 0xfb
	TypeBlob       byte = 0xfc
	TypeVarString  byte = 0xfd
	TypeString     byte = 0xfe
	TypeGeometry   byte = 0xff
)

// Column flags.
const (
	ColumnNotNull       uint16 = 1 << 0
	ColumnPrimaryKey    uint16 = 1 << 1
	ColumnUniqueKey     uint16 = 1 << 2
	ColumnMultipleKey   uint16 = 1 << 3
	ColumnBlob          uint16 = 1 << 4
	ColumnUnsigned      uint16 = 1 << 5
	ColumnZerofill      uint16 = 1 << 6
	ColumnBinary        uint16 = 1 << 7
	ColumnEnum          uint16 = 1 << 8
	ColumnAutoIncrement uint16 = 1 << 9
	ColumnTimestamp     uint16 = 1 << 10
	ColumnSet           uint16 = 1 << 11
	ColumnNoDefault     uint16 = 1 << 12
	ColumnOnUpdateNow   uint16 = 1 << 13
	ColumnNum           uint16 = 1 << 15
)

// Collation ids that the proxy's own answers use.
const (
	CollationUTF8MB4GeneralCI uint16 = 45
	CollationBinary           uint16 = 63
	CollationUTF8MB40900AICI  uint16 = 255
)

// Column is a column definition of protocol 4.1. Its strings borrow from the
// payload that they were decoded from.
type Column struct {
	Catalog, Schema, Table, OrgTable, Name, OrgName []byte
	// Extended is MariaDB's extended metadata, with
	// MariaDBClientExtendedMetadata.
	Extended  []byte
	Collation uint16
	// Length is the largest display length in bytes.
	Length   uint32
	Type     byte
	Flags    uint16
	Decimals byte
	// Default is the default value, in answers to COM_FIELD_LIST only.
	Default    []byte
	HasDefault bool
}

// columnFixed is the size of the fixed part, which its own length precedes.
const columnFixed = 12

// DecodeColumn decodes a column definition.
func DecodeColumn(payload []byte, caps Capability, c *Column) error {
	r := reader{b: payload}
	*c = Column{}
	for _, s := range []*[]byte{&c.Catalog, &c.Schema, &c.Table, &c.OrgTable, &c.Name, &c.OrgName} {
		*s = r.lenencString()
	}
	if caps.Has(MariaDBClientExtendedMetadata) {
		c.Extended = r.lenencString()
	}
	if r.lenenc() != columnFixed {
		r.bad = true
	}
	c.Collation = r.u16()
	c.Length = r.u32()
	c.Type = r.u8()
	c.Flags = r.u16()
	c.Decimals = r.u8()
	r.take(2)
	if r.bad {
		return fmt.Errorf("column definition: %w", ErrMalformed)
	}
	if r.rest() == 0 {
		return nil
	}
	c.HasDefault = true
	if r.b[r.off] == nullValue {
		return nil
	}
	if c.Default = r.lenencString(); r.bad {
		return fmt.Errorf("column definition: default: %w", ErrMalformed)
	}
	return nil
}

// AppendColumn appends a column definition as it is sent to a peer with caps.
func AppendColumn(dst []byte, seq byte, c *Column, caps Capability) []byte {
	dst, start := beginPacket(dst)
	for _, s := range [][]byte{c.Catalog, c.Schema, c.Table, c.OrgTable, c.Name, c.OrgName} {
		dst = AppendLenencString(dst, s)
	}
	if caps.Has(MariaDBClientExtendedMetadata) {
		dst = AppendLenencString(dst, c.Extended)
	}
	dst = append(dst, columnFixed, byte(c.Collation), byte(c.Collation>>8))
	dst = binary.LittleEndian.AppendUint32(dst, c.Length)
	dst = append(dst, c.Type, byte(c.Flags), byte(c.Flags>>8), c.Decimals, 0, 0)
	switch {
	case c.HasDefault && c.Default == nil:
		dst = append(dst, nullValue)
	case c.HasDefault:
		dst = AppendLenencString(dst, c.Default)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// AppendColumnCount appends the packet that starts a result set of n columns,
// whose definitions follow. n must not be 0.
func AppendColumnCount(dst []byte, seq byte, n int, caps Capability) []byte {
	dst, start := beginPacket(dst)
	dst = AppendLenencInt(dst, uint64(n))
	if caps.Any(ClientOptionalResultsetMetadata | MariaDBClientCacheMetadata) {
		dst = append(dst, 1)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}
