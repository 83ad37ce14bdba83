package wire

import "fmt"

// SSLRequest is what a client sends before its HandshakeResponse when it wants
// TLS: the response's first fields, and nothing else.
type SSLRequest struct {
	Caps      Capability
	MaxPacket uint32
	Collation byte
}

// IsSSLRequest tells whether the client's first payload is an SSLRequest.
func IsSSLRequest(payload []byte) bool {
	return len(payload) == responseFixed && Capability(payload[1])<<8&ClientSSL != 0
}

// DecodeSSLRequest decodes an SSLRequest.
func DecodeSSLRequest(payload []byte, s *SSLRequest) error {
	if !IsSSLRequest(payload) {
		return fmt.Errorf("ssl request: %w", ErrMalformed)
	}
	r := reader{b: payload}
	s.Caps, s.MaxPacket, s.Collation = decodeResponseFixed(&r)
	return nil
}

// AppendSSLRequest appends an SSLRequest; ClientSSL is added to its flags.
func AppendSSLRequest(dst []byte, seq byte, s *SSLRequest) []byte {
	dst, start := beginPacket(dst)
	dst = appendResponseFixed(dst, s.Caps|ClientSSL, s.MaxPacket, s.Collation)
	dst, _ = endPacket(dst, start, seq)
	return dst
}
