package wire

import (
	"encoding/binary"
	"fmt"
)

// ChangeUser is a COM_CHANGE_USER.
type ChangeUser struct {
	User   string
	Auth   []byte
	Schema string
	// Collation has two bytes here. Old clients leave it out, and all after
	// it: then HasCollation is false.
	Collation    uint16
	HasCollation bool
	// Plugin is sent with ClientPluginAuth.
	Plugin string
	// Attrs are as in HandshakeResponse, with ClientConnectAttrs.
	Attrs []byte
}

// DecodeChangeUser decodes the payload with its command byte. Auth and Attrs
// borrow from it.
func DecodeChangeUser(payload []byte, caps Capability, c *ChangeUser) error {
	r := reader{b: payload}
	cmd := Command(r.u8())
	*c = ChangeUser{User: string(r.nulString())}
	if caps.Has(ClientSecureConnection) {
		c.Auth = r.take(int(r.u8()))
	} else {
		c.Auth = r.nulString()
	}
	c.Schema = nulOrRest(&r)
	if r.bad || cmd != ComChangeUser {
		return fmt.Errorf("change user: %w", ErrMalformed)
	}
	if r.rest() < 2 {
		return nil
	}
	c.Collation, c.HasCollation = r.u16(), true
	if caps.Has(ClientPluginAuth) && r.rest() > 0 {
		c.Plugin = nulOrRest(&r)
	}
	if caps.Has(ClientConnectAttrs) && r.rest() > 0 {
		c.Attrs = r.lenencString()
	}
	if r.bad {
		return fmt.Errorf("change user: %w", ErrMalformed)
	}
	return nil
}

// AppendChangeUser appends a COM_CHANGE_USER. The length of Auth has one byte
// here whatever the capabilities: what is over 255 bytes is cut.
func AppendChangeUser(dst []byte, seq byte, c *ChangeUser, caps Capability) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, byte(ComChangeUser))
	dst = append(append(dst, c.User...), 0)
	if caps.Has(ClientSecureConnection) {
		auth := c.Auth[:min(len(c.Auth), 255)]
		dst = append(append(dst, byte(len(auth))), auth...)
	} else {
		dst = append(append(dst, c.Auth...), 0)
	}
	dst = append(append(dst, c.Schema...), 0)
	if c.HasCollation {
		dst = binary.LittleEndian.AppendUint16(dst, c.Collation)
		if caps.Has(ClientPluginAuth) {
			dst = append(append(dst, c.Plugin...), 0)
		}
		if caps.Has(ClientConnectAttrs) {
			dst = AppendLenencString(dst, c.Attrs)
		}
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}
