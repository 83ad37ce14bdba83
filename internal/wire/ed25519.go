package wire

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"

	"filippo.io/edwards25519"
)

// MariaDB's ed25519 plugin signs a challenge of 32 bytes. It is Ed25519 but
// that the secret is the password itself, of any length, where RFC 8032 has a
// seed of 32 bytes. The server keeps the public key in base64 without padding.

// Ed25519NonceLen is the size in bytes of the challenge.
const Ed25519NonceLen = 32

// Ed25519Sign is the client's reply to a challenge.
func Ed25519Sign(password string, nonce []byte) ([]byte, error) {
	secret, public, prefix, err := ed25519Keys(password)
	if err != nil {
		return nil, err
	}
	r, err := hashScalar(prefix, nonce)
	if err != nil {
		return nil, err
	}
	point := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k, err := hashScalar(point, public, nonce)
	if err != nil {
		return nil, err
	}
	s := edwards25519.NewScalar().MultiplyAdd(k, secret, r)
	return append(point, s.Bytes()...), nil
}

// Ed25519Hash is the stored form of a password.
func Ed25519Hash(password string) (string, error) {
	_, public, _, err := ed25519Keys(password)
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(public), nil
}

// Ed25519Verify checks a client's reply against the stored form.
func Ed25519Verify(stored string, nonce, reply []byte) bool {
	public, err := base64.RawStdEncoding.DecodeString(stored)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	return ed25519.Verify(public, nonce, reply)
}

func ed25519Keys(password string) (secret *edwards25519.Scalar, public, prefix []byte, err error) {
	h := sha512.Sum512([]byte(password))
	secret, err = edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		return nil, nil, nil, err
	}
	public = new(edwards25519.Point).ScalarBaseMult(secret).Bytes()
	return secret, public, h[32:], nil
}

func hashScalar(parts ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
}
