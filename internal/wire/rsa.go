package wire

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Over a link without TLS, sha256_password and caching_sha2_password send the
// password and a NUL, XORed with the salt, under the server's RSA key with
// OAEP and SHA-1.

// ErrPassword is returned for an encrypted password that cannot be decrypted.
// It does not say why.
var ErrPassword = errors.New("cannot decrypt password")

// EncryptPassword encrypts a password for the server that sent salt.
func EncryptPassword(key *rsa.PublicKey, password string, salt []byte) ([]byte, error) {
	if len(salt) == 0 {
		return nil, errors.New("encrypt password: no salt")
	}
	plain := append([]byte(password), 0)
	xorSalt(plain, salt)
	out, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plain, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt password: %w", err)
	}
	return out, nil
}

// DecryptPassword decrypts what a client made with EncryptPassword.
func DecryptPassword(key *rsa.PrivateKey, encrypted, salt []byte) (string, error) {
	if len(salt) == 0 || len(encrypted) != key.Size() {
		return "", ErrPassword
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, encrypted, nil)
	if err != nil {
		return "", ErrPassword
	}
	xorSalt(plain, salt)
	n := len(plain) - 1
	if n < 0 || plain[n] != 0 {
		return "", ErrPassword
	}
	return string(plain[:n]), nil
}

func xorSalt(b, salt []byte) {
	for i := range b {
		b[i] ^= salt[i%len(salt)]
	}
}

// ParsePublicKey reads the PEM text that a server sends as its RSA key.
func ParsePublicKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("parse RSA public key: no PEM block")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse RSA public key: %w", err)
	}
	pub, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("parse RSA public key: it is %T", key)
	}
	return pub, nil
}

// PublicKeyPEM is the text that a server sends as its RSA key.
func PublicKeyPEM(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode RSA public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
