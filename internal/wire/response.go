package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrOldProtocol is returned for a client that does not speak protocol 4.1.
var ErrOldProtocol = errors.New("client speaks a protocol before 4.1")

// HandshakeResponse is the client's answer to the greeting.
type HandshakeResponse struct {
	// Caps holds MariaDB's extended capabilities when ClientMySQL is unset.
	Caps      Capability
	MaxPacket uint32
	Collation byte
	User      string
	// Auth is the first answer of the authentication plugin.
	Auth []byte
	// Schema is sent with ClientConnectWithDB.
	Schema string
	// Plugin is sent with ClientPluginAuth.
	Plugin string
	// Attrs are the connection attributes, as they are on the wire without
	// their total length; read them with AttrReader. With ClientConnectAttrs.
	Attrs []byte
	// ZstdLevel is sent with ClientZstdCompression.
	ZstdLevel byte
}

// responseFixed is the size of the part before the user name, which is all
// that an SSLRequest has.
const responseFixed = 32

func decodeResponseFixed(r *reader) (caps Capability, maxPacket uint32, collation byte) {
	caps = Capability(r.u32())
	maxPacket = r.u32()
	collation = r.u8()
	r.take(19)
	extended := r.u32()
	if !caps.Has(ClientMySQL) {
		caps |= Capability(extended) << 32
	}
	return caps, maxPacket, collation
}

func appendResponseFixed(dst []byte, caps Capability, maxPacket uint32, collation byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(caps))
	dst = binary.LittleEndian.AppendUint32(dst, maxPacket)
	dst = append(dst, collation)
	dst = append(dst, make([]byte, 19)...)
	return binary.LittleEndian.AppendUint32(dst, extendedCaps(caps))
}

// DecodeHandshakeResponse decodes the client's answer. serverCaps are those
// that the greeting offered: a flag outside them does not count, as at the
// servers. Caps has what both share. Auth and Attrs borrow from payload.
func DecodeHandshakeResponse(payload []byte, serverCaps Capability, h *HandshakeResponse) error {
	if len(payload) < 2 {
		return fmt.Errorf("handshake response: %w", ErrMalformed)
	}
	if Capability(binary.LittleEndian.Uint16(payload))&ClientProtocol41 == 0 {
		return ErrOldProtocol
	}
	r := reader{b: payload}
	*h = HandshakeResponse{}
	h.Caps, h.MaxPacket, h.Collation = decodeResponseFixed(&r)
	h.Caps = commonCaps(h.Caps, serverCaps)
	h.User = string(r.nulString())
	switch {
	case h.Caps.Has(ClientPluginAuthLenencClientData):
		h.Auth = r.lenencString()
	case h.Caps.Has(ClientSecureConnection):
		h.Auth = r.take(int(r.u8()))
	default:
		h.Auth = r.nulString()
	}
	if h.Caps.Has(ClientConnectWithDB) && r.rest() > 0 {
		h.Schema = nulOrRest(&r)
	}
	if h.Caps.Has(ClientPluginAuth) && r.rest() > 0 {
		h.Plugin = nulOrRest(&r)
	}
	if h.Caps.Has(ClientConnectAttrs) && r.rest() > 0 {
		h.Attrs = r.lenencString()
	}
	if h.Caps.Has(ClientZstdCompression) && r.rest() > 0 {
		h.ZstdLevel = r.u8()
	}
	if r.bad {
		return fmt.Errorf("handshake response: %w", ErrMalformed)
	}
	return nil
}

// commonCaps is what both sides have. ClientMySQL is the client's own: a MySQL
// client of a MariaDB server sets it, a MariaDB client of a MySQL server too.
func commonCaps(client, server Capability) Capability {
	return client & (server | ClientMySQL)
}

// AppendHandshakeResponse appends a client's answer; h.Caps says which fields
// are sent.
func AppendHandshakeResponse(dst []byte, seq byte, h *HandshakeResponse) []byte {
	dst, start := beginPacket(dst)
	dst = appendResponseFixed(dst, h.Caps, h.MaxPacket, h.Collation)
	dst = append(append(dst, h.User...), 0)
	switch {
	case h.Caps.Has(ClientPluginAuthLenencClientData):
		dst = AppendLenencString(dst, h.Auth)
	case h.Caps.Has(ClientSecureConnection):
		auth := h.Auth[:min(len(h.Auth), 255)]
		dst = append(append(dst, byte(len(auth))), auth...)
	default:
		dst = append(append(dst, h.Auth...), 0)
	}
	if h.Caps.Has(ClientConnectWithDB) {
		dst = append(append(dst, h.Schema...), 0)
	}
	if h.Caps.Has(ClientPluginAuth) {
		dst = append(append(dst, h.Plugin...), 0)
	}
	if h.Caps.Has(ClientConnectAttrs) {
		dst = AppendLenencString(dst, h.Attrs)
	}
	if h.Caps.Has(ClientZstdCompression) {
		dst = append(dst, h.ZstdLevel)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// AttrReader iterates over connection attributes.
type AttrReader struct{ r reader }

// NewAttrReader reads the attributes of a HandshakeResponse or ChangeUser.
func NewAttrReader(attrs []byte) AttrReader { return AttrReader{reader{b: attrs}} }

// Next gives the next attribute, which borrows; ok is false at the end, and
// where the rest is malformed.
func (a *AttrReader) Next() (key, value []byte, ok bool) {
	if a.r.rest() == 0 {
		return nil, nil, false
	}
	key, value = a.r.lenencString(), a.r.lenencString()
	return key, value, !a.r.bad
}

// AppendAttr appends one attribute to attrs.
func AppendAttr(attrs []byte, key, value string) []byte {
	return AppendLenencString(AppendLenencString(attrs, key), value)
}
