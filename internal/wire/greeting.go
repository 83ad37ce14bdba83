package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// SaltLen is the size in bytes of the challenge of the password plugins.
const SaltLen = 20

// protocolVersion is the only one that servers have spoken since 3.21.
const protocolVersion = 10

// MariaDBVersionPrefix stands before the real version in the greetings of
// MariaDB 10: replicas of old MySQL versions refused a version like "10.1".
const MariaDBVersionPrefix = "5.5.5-"

// Greeting is the server's first packet, HandshakeV10.
type Greeting struct {
	// Version is the server's, verbatim, with MariaDBVersionPrefix.
	Version  string
	ThreadID uint32
	Salt     [SaltLen]byte
	// Caps holds MariaDB's extended capabilities when ClientMySQL is unset.
	Caps       Capability
	Collation  byte
	Status     Status
	AuthPlugin string
}

// IsMariaDB tells the flavour from the version.
func (g *Greeting) IsMariaDB() bool {
	return strings.HasPrefix(g.Version, MariaDBVersionPrefix) ||
		strings.Contains(strings.ToLower(g.Version), "mariadb")
}

// DecodeGreeting decodes a greeting. A server that refuses the connection sends
// an ERR packet instead: then the error is an *Err.
func DecodeGreeting(payload []byte, g *Greeting) error {
	if len(payload) > 0 && payload[0] == HeaderErr {
		e := new(Err)
		if err := DecodeErr(payload, e); err != nil {
			return err
		}
		return e
	}
	r := reader{b: payload}
	version := r.u8()
	*g = Greeting{Version: string(r.nulString()), ThreadID: r.u32()}
	salt := append(make([]byte, 0, 32), r.take(8)...)
	r.u8() // filler
	caps := uint32(r.u16())
	g.Collation = r.u8()
	g.Status = Status(r.u16())
	caps |= uint32(r.u16()) << 16
	saltLen := int(r.u8())
	r.take(6)
	extended := r.u32()
	if r.bad {
		return fmt.Errorf("greeting: %w", ErrMalformed)
	}
	if version != protocolVersion {
		return fmt.Errorf("greeting: protocol version %d: %w", version, ErrMalformed)
	}
	g.Caps = Capability(caps)
	if !g.Caps.Has(ClientMySQL) {
		g.Caps |= Capability(extended) << 32
	}
	// Not more than the packet has: some servers claim a larger part.
	salt = append(salt, r.take(min(max(13, saltLen-8), r.rest()))...)
	if len(salt) < SaltLen {
		return fmt.Errorf("greeting: salt of %d bytes: %w", len(salt), ErrMalformed)
	}
	copy(g.Salt[:], salt)
	if g.Caps.Has(ClientPluginAuth) {
		g.AuthPlugin = nulOrRest(&r)
	}
	return nil
}

// nulOrRest reads a NUL-terminated string, or all that is left where the peer
// left out the NUL at the packet's end, as some do.
func nulOrRest(r *reader) string {
	if r.bad {
		return ""
	}
	mark := *r
	s := r.nulString()
	if r.bad {
		*r = mark
		s = r.tail()
	}
	return string(s)
}

// AppendGreeting appends a greeting.
func AppendGreeting(dst []byte, seq byte, g *Greeting) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, protocolVersion)
	dst = append(append(dst, g.Version...), 0)
	dst = binary.LittleEndian.AppendUint32(dst, g.ThreadID)
	dst = append(append(dst, g.Salt[:8]...), 0)
	caps, status := uint32(g.Caps), g.Status
	dst = append(dst, byte(caps), byte(caps>>8), g.Collation,
		byte(status), byte(status>>8), byte(caps>>16), byte(caps>>24))
	saltLen := byte(0)
	if g.Caps.Has(ClientPluginAuth) {
		saltLen = SaltLen + 1
	}
	dst = append(dst, saltLen, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, extendedCaps(g.Caps))
	dst = append(append(dst, g.Salt[8:]...), 0)
	if g.Caps.Has(ClientPluginAuth) {
		dst = append(append(dst, g.AuthPlugin...), 0)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// extendedCaps is what goes into the bytes that MySQL leaves zero.
func extendedCaps(c Capability) uint32 {
	if c.Has(ClientMySQL) {
		return 0
	}
	return uint32(c >> 32)
}
