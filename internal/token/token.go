package token

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// MaxLen bounds a token, bytes of text.
const MaxLen = 64 << 10

// ErrMalformed is what Decode's errors wrap.
var ErrMalformed = errors.New("malformed token")

// Token is what a text stands for.
type Token struct {
	Epoch uint64 // of the proxy that made it; for people
	Set   gtid.Set
	// Flavor of Set; of an empty set too.
	Flavor gtid.Flavor
}

const version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the text.
func (t Token) Encode() string {
	b := binary.AppendUvarint([]byte{version, byte(t.Flavor)}, t.Epoch)
	b = t.Set.AppendText(b)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Decode reads a text that Encode made. Errors wrap ErrMalformed and say what is
// wrong with it.
func Decode(text string) (Token, error) {
	if len(text) > MaxLen {
		return Token{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxLen)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	const least = 3 + 4
	if err != nil || len(b) < least {
		return Token{}, fmt.Errorf("%w: it is cut short or has been changed", ErrMalformed)
	}
	body, check := b[:len(b)-4], b[len(b)-4:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(check) {
		return Token{}, fmt.Errorf("%w: it is cut short or has been changed", ErrMalformed)
	}
	if body[0] != version {
		return Token{}, fmt.Errorf("%w: its version is %d, and this program knows %d", ErrMalformed, body[0], version)
	}
	t := Token{Flavor: gtid.Flavor(body[1])}
	if t.Flavor != gtid.MariaDB && t.Flavor != gtid.MySQL {
		return Token{}, fmt.Errorf("%w: it is of no known kind of server", ErrMalformed)
	}
	epoch, n := binary.Uvarint(body[2:])
	if n <= 0 {
		return Token{}, fmt.Errorf("%w: no epoch", ErrMalformed)
	}
	t.Epoch = epoch
	if t.Set, err = gtid.Parse(t.Flavor, string(body[2+n:])); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return t, nil
}
