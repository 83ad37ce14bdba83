package wire

import "fmt"

// What caching_sha2_password says in an AuthMoreData, and the client's request
// for the server's RSA key there; sha256_password has a number of its own.
const (
	Sha2FastAuthOK       byte = 3
	Sha2FullAuth         byte = 4
	Sha2RequestPublicKey byte = 2
	Sha256RequestKey     byte = 1
)

// AuthMoreData carries further data of the server's authentication plugin.
type AuthMoreData struct{ Data []byte }

// DecodeAuthMoreData decodes an AuthMoreData. Data borrows from payload.
func DecodeAuthMoreData(payload []byte, a *AuthMoreData) error {
	if len(payload) == 0 || payload[0] != HeaderMoreData {
		return fmt.Errorf("auth more data: %w", ErrMalformed)
	}
	a.Data = payload[1:len(payload):len(payload)]
	return nil
}

// AppendAuthMoreData appends an AuthMoreData.
func AppendAuthMoreData(dst []byte, seq byte, a *AuthMoreData) []byte {
	dst, start := beginPacket(dst)
	dst = append(append(dst, HeaderMoreData), a.Data...)
	dst, _ = endPacket(dst, start, seq)
	return dst
}
