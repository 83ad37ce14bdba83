package binlog

import (
	"encoding/binary"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Column types as they stand in table maps; from enum_field_types of the servers.
const (
	ColDecimal           uint8 = 0
	ColTiny              uint8 = 1
	ColShort             uint8 = 2
	ColLong              uint8 = 3
	ColFloat             uint8 = 4
	ColDouble            uint8 = 5
	ColNull              uint8 = 6
	ColTimestamp         uint8 = 7
	ColLongLong          uint8 = 8
	ColInt24             uint8 = 9
	ColDate              uint8 = 10
	ColTime              uint8 = 11
	ColDatetime          uint8 = 12
	ColYear              uint8 = 13
	ColNewDate           uint8 = 14
	ColVarchar           uint8 = 15
	ColBit               uint8 = 16
	ColTimestamp2        uint8 = 17
	ColDatetime2         uint8 = 18
	ColTime2             uint8 = 19
	ColTypedArray        uint8 = 20
	ColBlobCompressed    uint8 = 140 // MariaDB
	ColVarcharCompressed uint8 = 141 // MariaDB
	ColVector            uint8 = 242 // MySQL
	ColJSON              uint8 = 245 // MySQL
	ColNewDecimal        uint8 = 246
	ColEnum              uint8 = 247
	ColSet               uint8 = 248
	ColTinyBlob          uint8 = 249
	ColMediumBlob        uint8 = 250
	ColLongBlob          uint8 = 251
	ColBlob              uint8 = 252
	ColVarString         uint8 = 253
	ColString            uint8 = 254
	ColGeometry          uint8 = 255
)

// Column is one column of a table map.
type Column struct {
	Type uint8 // the real type: enum and set are told as such
	// Meta is the type's metadata: the maximal length in bytes (strings), the
	// number of length bytes (blobs), precision<<8|scale (decimals), digits of the
	// fraction (times), bits (bit), bytes of a value (enum, set).
	Meta     uint16
	Nullable bool

	// From the optional metadata, which MariaDB leaves out by default.
	Unsigned  bool
	Collation uint32 // id; 0 where not told
	Name      string // with binlog_row_metadata=FULL only
	Invisible bool
}

// TableMap says what the columns of the row events behind it are.
type TableMap struct {
	TableID uint64
	Flags   uint16
	Schema  string
	Table   string
	Columns []Column

	HasSignedness bool  // Unsigned of the columns is told
	PrimaryKey    []int // indexes of columns, with binlog_row_metadata=FULL
	KeyPrefix     []int // of each of PrimaryKey: characters, 0 for the whole column
}

// Optional metadata of a table map.
const (
	metaSignedness         = 1
	metaDefaultCharset     = 2
	metaColumnCharset      = 3
	metaColumnName         = 4
	metaSimplePrimaryKey   = 8
	metaPrimaryKeyPrefix   = 9
	metaEnumDefaultCharset = 10
	metaEnumCharset        = 11
	metaVisibility         = 12
)

// ParseTableMap decodes a table map event of a server of flavour f: MariaDB gives
// geometries a collation, and MySQL does not.
func ParseTableMap(e Event, f gtid.Flavor) (*TableMap, error) {
	if e.Type != TypeTableMap {
		return nil, malformed("%s is not a table map", e.Type)
	}
	c := cursor{b: e.Body()}
	t := &TableMap{TableID: c.uint(6), Flags: c.u16()}
	t.Schema = string(c.terminated(int(c.u8())))
	t.Table = string(c.terminated(int(c.u8())))
	n := c.size()
	types := c.take(n)
	meta := cursor{b: c.take(c.size())}
	nulls := c.take((n + 7) / 8)
	if err := c.err("table map"); err != nil {
		return nil, err
	}
	t.Columns = make([]Column, n)
	for i := range t.Columns {
		col := &t.Columns[i]
		col.Type = types[i]
		col.Nullable = bitSet(nulls, i)
		col.readMeta(&meta)
	}
	if err := meta.err("metadata of a table map"); err != nil {
		return nil, err
	}
	return t, t.parseOptional(&c, f)
}

func (col *Column) readMeta(c *cursor) {
	switch col.Type {
	case ColFloat, ColDouble, ColBlob, ColTinyBlob, ColMediumBlob, ColLongBlob, ColGeometry, ColJSON, ColVector,
		ColTimestamp2, ColDatetime2, ColTime2, ColBlobCompressed:
		col.Meta = uint16(c.u8())
	case ColVarchar, ColVarString, ColVarcharCompressed:
		col.Meta = c.u16()
	case ColNewDecimal:
		col.Meta = uint16(c.u8())<<8 | uint16(c.u8())
	case ColBit:
		rest, bytes := c.u8(), c.u8()
		col.Meta = uint16(bytes)*8 + uint16(rest)
	case ColString, ColEnum, ColSet:
		col.readStringMeta(c.u8(), c.u8())
	case ColTypedArray:
		element := Column{Type: c.u8()}
		if element.Type == ColVarchar {
			c.take(3)
		} else {
			element.readMeta(c)
		}
		col.Meta = 4 // stored as JSON is
	}
}

// readStringMeta unfolds what CHAR, ENUM and SET share: the upper two bits of a
// CHAR's length hide, inverted, in the type.
func (col *Column) readStringMeta(kind, length uint8) {
	if kind&0x30 != 0x30 {
		col.Type = kind | 0x30
		col.Meta = uint16(length) | uint16((kind&0x30)^0x30)<<4
		return
	}
	col.Type = kind
	col.Meta = uint16(length)
}

func (t *TableMap) parseOptional(c *cursor, f gtid.Flavor) error {
	isCharacter := func(col Column) bool {
		return col.isCharacter() || f == gtid.MariaDB && col.Type == ColGeometry
	}
	for len(c.b) > 0 {
		kind := c.u8()
		v := cursor{b: c.take(c.size())}
		if c.bad {
			break
		}
		switch kind {
		case metaSignedness:
			t.HasSignedness = true
			t.bits(&v, Column.isNumeric, func(col *Column) { col.Unsigned = true })
		case metaDefaultCharset:
			t.defaultCollations(&v, isCharacter)
		case metaColumnCharset:
			t.each(&v, isCharacter, func(col *Column) { col.Collation = uint32(v.lenenc()) })
		case metaEnumDefaultCharset:
			t.defaultCollations(&v, Column.isEnumOrSet)
		case metaEnumCharset:
			t.each(&v, Column.isEnumOrSet, func(col *Column) { col.Collation = uint32(v.lenenc()) })
		case metaColumnName:
			t.each(&v, func(Column) bool { return true }, func(col *Column) { col.Name = string(v.take(v.size())) })
		case metaSimplePrimaryKey, metaPrimaryKeyPrefix:
			t.primaryKey(&v, kind == metaPrimaryKeyPrefix)
		case metaVisibility:
			for i := range t.Columns {
				t.Columns[i].Invisible = true
			}
			t.bits(&v, func(Column) bool { return true }, func(col *Column) { col.Invisible = false })
		}
		if err := v.err("optional metadata of a table map"); err != nil {
			return err
		}
	}
	return c.err("table map")
}

// each calls f for the columns that match, in order.
func (t *TableMap) each(v *cursor, match func(Column) bool, f func(*Column)) {
	for i := range t.Columns {
		if match(t.Columns[i]) && !v.bad {
			f(&t.Columns[i])
		}
	}
}

// bits reads one bit, the highest first, for each column that matches.
func (t *TableMap) bits(v *cursor, match func(Column) bool, f func(*Column)) {
	n := 0
	t.each(v, match, func(col *Column) {
		if n/8 >= len(v.b) {
			v.bad = true
			return
		}
		if v.b[n/8]&(0x80>>(n%8)) != 0 {
			f(col)
		}
		n++
	})
}

// defaultCollations reads the collation of most, and pairs of the number of a
// column, counted among those that match, and its own collation.
func (t *TableMap) defaultCollations(v *cursor, match func(Column) bool) {
	def := uint32(v.lenenc())
	own := make(map[uint64]uint32)
	for len(v.b) > 0 {
		i := v.lenenc()
		own[i] = uint32(v.lenenc())
	}
	n := uint64(0)
	t.each(v, match, func(col *Column) {
		col.Collation = def
		if id, ok := own[n]; ok {
			col.Collation = id
		}
		n++
	})
}

func (t *TableMap) primaryKey(v *cursor, prefixes bool) {
	for len(v.b) > 0 {
		i, prefix := v.lenenc(), uint64(0)
		if prefixes {
			prefix = v.lenenc()
		}
		if i >= uint64(len(t.Columns)) || prefix > 1<<16 {
			v.bad = true
			return
		}
		t.PrimaryKey = append(t.PrimaryKey, int(i))
		t.KeyPrefix = append(t.KeyPrefix, int(prefix))
	}
}

func (col Column) isNumeric() bool {
	switch col.Type {
	case ColTiny, ColShort, ColInt24, ColLong, ColLongLong, ColNewDecimal, ColFloat, ColDouble, ColDecimal, ColYear:
		return true
	}
	return false
}

func (col Column) isCharacter() bool {
	switch col.Type {
	case ColString, ColVarString, ColVarchar, ColBlob, ColTinyBlob, ColMediumBlob, ColLongBlob, ColBlobCompressed, ColVarcharCompressed:
		return true
	}
	return false
}

func (col Column) isEnumOrSet() bool { return col.Type == ColEnum || col.Type == ColSet }

// size returns how many bytes the value at the start of b takes: the whole, and
// the part of it in front that only says how long it is. ok is false where b is
// too short or the type is not known.
func (col *Column) size(b []byte) (prefix, whole int, ok bool) {
	switch col.Type {
	case ColTiny, ColYear:
		return 0, 1, true
	case ColShort:
		return 0, 2, true
	case ColInt24, ColDate, ColNewDate, ColTime:
		return 0, 3, true
	case ColLong, ColFloat, ColTimestamp:
		return 0, 4, true
	case ColLongLong, ColDouble, ColDatetime:
		return 0, 8, true
	case ColNull:
		return 0, 0, true
	case ColTimestamp2:
		return 0, 4 + int(col.Meta+1)/2, true
	case ColDatetime2:
		return 0, 5 + int(col.Meta+1)/2, true
	case ColTime2:
		return 0, 3 + int(col.Meta+1)/2, true
	case ColNewDecimal:
		return 0, decimalSize(int(col.Meta>>8), int(col.Meta&0xff)), col.Meta>>8 >= col.Meta&0xff
	case ColBit:
		return 0, int(col.Meta+7) / 8, true
	case ColEnum, ColSet:
		return 0, int(col.Meta), col.Meta <= 8
	case ColString, ColVarchar, ColVarString, ColVarcharCompressed:
		prefix = 1
		if col.Meta > 255 {
			prefix = 2
		}
	case ColBlob, ColTinyBlob, ColMediumBlob, ColLongBlob, ColGeometry, ColJSON, ColVector, ColBlobCompressed, ColTypedArray:
		prefix = int(col.Meta)
	default:
		return 0, 0, false
	}
	if prefix < 1 || prefix > 4 || len(b) < prefix {
		return 0, 0, false
	}
	var n [4]byte
	copy(n[:], b[:prefix])
	return prefix, prefix + int(binary.LittleEndian.Uint32(n[:])), true
}

// decimalSize is how many bytes a packed DECIMAL takes: nine digits to four bytes.
func decimalSize(precision, scale int) int {
	rest := [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}
	whole := precision - scale
	return whole/9*4 + rest[max(whole, 0)%9] + scale/9*4 + rest[scale%9]
}

func bitSet(bitmap []byte, i int) bool { return bitmap[i/8]&(1<<(i%8)) != 0 }
