package router

import (
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Mode is what decides how a server splits the text of a statement.
type Mode struct {
	Flavor             gtid.Flavor
	ANSIQuotes         bool // sql_mode ANSI_QUOTES: ".." is an identifier
	NoBackslashEscapes bool // sql_mode NO_BACKSLASH_ESCAPES: \ in a string is a plain byte
	IgnoreSpace        bool // sql_mode IGNORE_SPACE: COUNT (*) is the built-in; false is the careful choice
	Charset            Charset
}

// WithSQLMode returns the mode with what a value of @@sql_mode says of it.
func (m Mode) WithSQLMode(value string) Mode {
	m.ANSIQuotes, m.NoBackslashEscapes, m.IgnoreSpace = false, false, false
	for value != "" {
		var name string
		name, value, _ = strings.Cut(value, ",")
		switch strings.ToUpper(strings.TrimSpace(name)) {
		case "ANSI_QUOTES":
			m.ANSIQuotes = true
		case "NO_BACKSLASH_ESCAPES":
			m.NoBackslashEscapes = true
		case "IGNORE_SPACE":
			m.IgnoreSpace = true
		case "ANSI", "ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL": // the server writes out what these stand for
			m.ANSIQuotes, m.IgnoreSpace = true, true
		}
	}
	return m
}

// Charset is what matters of character_set_client: which bytes can be the tail
// of a character, and whether bytes over 0x7f can be space.
type Charset uint8

// Character sets.
const (
	CharsetUTF8    Charset = iota // ascii, utf8mb3, utf8mb4: no byte of a longer character looks like ASCII
	CharsetSafe                   // single-byte sets: bytes over 0x7f can be space
	CharsetEUC                    // ujis, eucjpms, euckr, gb2312: no tail is a quote or a backslash
	CharsetGBK                    // gbk
	CharsetGB18030                // gb18030
	CharsetSJIS                   // sjis, cp932
	CharsetBig5                   // big5
	CharsetUnknown                // anything else: no text in it is a read
)

// CharsetByName returns the Charset of a character set's or a collation's name,
// such as "gbk" or "utf8mb4_general_ci".
func CharsetByName(name string) Charset {
	for i := 0; i < len(name); i++ {
		if name[i] == '_' {
			name = name[:i]
			break
		}
	}
	switch lower(name) {
	case "utf8", "utf8mb3", "utf8mb4", "ascii":
		return CharsetUTF8
	case "gbk":
		return CharsetGBK
	case "gb18030":
		return CharsetGB18030
	case "sjis", "cp932":
		return CharsetSJIS
	case "big5":
		return CharsetBig5
	case "latin1", "latin2", "latin5", "latin7", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256", "cp1257",
		"koi8r", "koi8u", "greek", "hebrew", "dec8", "hp8", "macce", "macroman", "keybcs2", "armscii8",
		"geostd8", "tis620", "binary":
		return CharsetSafe
	case "ujis", "eucjpms", "euckr", "gb2312":
		return CharsetEUC
	}
	// swe7 (ASCII punctuation is letters there) and what clients may not use
	// (ucs2, utf16, utf32) end here, with what is not known.
	return CharsetUnknown
}

// lower folds ASCII letters; it allocates only where there are some to fold.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for j := range b {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

// CharsetByCollation returns the Charset of a collation id, as handshake
// packets carry it. MySQL and MariaDB share the ids below 255; above, MySQL has
// its utf8mb4_0900 family, and MariaDB its NO PAD ones (an old id and 1024) and
// UCA 14.0.0 (256 ids for each character set from 2048 on).
func CharsetByCollation(id uint16) Charset {
	if id > 1024 && id <= 1024+safeCollationMax {
		id -= 1024
	}
	switch {
	case id == 28 || id == 87:
		return CharsetGBK
	case id >= 248 && id <= 250:
		return CharsetGB18030
	case id == 13 || id == 88 || id == 95 || id == 96:
		return CharsetSJIS
	case id == 1 || id == 84:
		return CharsetBig5
	case id == 12 || id == 91 || id == 97 || id == 98 || id == 19 || id == 85 || id == 24 || id == 86:
		return CharsetEUC
	case id == 11 || id == 65 || id == 33 || id == 45 || id == 46 || id == 83 || id == 76:
		return CharsetUTF8
	case id >= 192 && id <= 247, id >= 255 && id <= 323, id >= 576 && id <= 610, id >= 2048 && id <= 2559,
		id == 1216, id == 1238, id == 1248, id == 1270:
		return CharsetUTF8
	case id <= safeCollationMax && safeCollations[id>>3]&(1<<(id&7)) != 0:
		return CharsetSafe
	}
	return CharsetUnknown
}

// safeCollationMax is the highest of the old ids.
const safeCollationMax = 99

// safeCollations has a bit for each collation id of a single-byte set.
var safeCollations = func() (set [13]byte) {
	for _, id := range []uint16{
		2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 18, 20, 21, 22, 23, 25, 26, 27, 29, 30, 31, 32,
		34, 36, 37, 38, 39, 40, 41, 42, 43, 44, 47, 48, 49, 50, 51, 52, 53, 57, 58, 59,
		63, 64, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 77, 78, 79, 80, 81, 89,
		92, 93, 94, 99,
	} {
		set[id>>3] |= 1 << (id & 7)
	}
	return set
}()

// charLen returns how many bytes the character at the front of b has: 1 where
// the bytes are no character. b is not empty. As my_ismbchar of the servers.
func charLen(cs Charset, b []byte) int {
	if len(b) < 2 {
		return 1
	}
	c, d := b[0], b[1]
	switch cs {
	case CharsetEUC:
		if c == 0x8f && d >= 0xa1 && len(b) >= 3 && b[2] >= 0xa1 {
			return 3
		}
		if c >= 0x8e && d >= 0xa1 {
			return 2
		}
	case CharsetGBK, CharsetGB18030:
		if c < 0x81 || c > 0xfe {
			return 1
		}
		if d >= 0x40 && d <= 0xfe && d != 0x7f {
			return 2
		}
		if cs == CharsetGB18030 && isDigit(d) && len(b) >= 4 && b[2] >= 0x81 && b[2] <= 0xfe && isDigit(b[3]) {
			return 4
		}
	case CharsetSJIS:
		if (c >= 0x81 && c <= 0x9f || c >= 0xe0 && c <= 0xfc) && d >= 0x40 && d <= 0xfc && d != 0x7f {
			return 2
		}
	case CharsetBig5:
		if c >= 0xa1 && c <= 0xf9 && (d >= 0x40 && d <= 0x7e || d >= 0xa1 && d <= 0xfe) {
			return 2
		}
	}
	return 1
}

// isSingle says whether a byte over 0x7f is a character of its own.
func isSingle(cs Charset, c byte) bool { return cs == CharsetSJIS && c >= 0xa1 && c <= 0xdf }

// isSpecialTail says whether a byte means something to the lexer in a string.
func isSpecialTail(c byte) bool { return c == '\'' || c == '"' || c == '`' || c == '\\' }

// announced returns the length that a first byte of a character announces, in
// UTF-8; single-byte sets have no longer ones.
func announced(cs Charset, c byte) int {
	switch {
	case cs == CharsetUTF8 && c >= 0xf0:
		return 4
	case cs == CharsetUTF8 && c >= 0xe0:
		return 3
	case cs == CharsetUTF8 && c >= 0xc2:
		return 2
	}
	return 1
}
