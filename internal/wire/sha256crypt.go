package wire

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
)

// The stored form of caching_sha2_password is "$A$005$", a salt of 20 bytes,
// and the 43 characters of a SHA-256 crypt of the password: the algorithm of
// Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", with that salt and
// the number in it, hexadecimal, times 1000 as the number of rounds.
const (
	sha2HashPrefix = "$A$"
	sha2SaltLen    = 20
	sha2DigestLen  = 43
	sha2HashLen    = len(sha2HashPrefix) + 4 + sha2SaltLen + sha2DigestLen
	sha2RoundUnit  = 1000
	// MaxSha2Rounds is the most that a server can be configured to use.
	MaxSha2Rounds = 0xfff * sha2RoundUnit
)

// ErrHashFormat is returned for a stored hash of an unknown form.
var ErrHashFormat = errors.New("unknown form of password hash")

// Sha2Hash is a parsed stored hash of caching_sha2_password.
type Sha2Hash struct {
	Rounds int
	Salt   [sha2SaltLen]byte
	Digest [sha2DigestLen]byte
}

// ParseSha2Hash reads a stored hash of caching_sha2_password.
func ParseSha2Hash(s string) (h Sha2Hash, err error) {
	if len(s) != sha2HashLen || s[:3] != sha2HashPrefix || s[6] != '$' {
		return h, ErrHashFormat
	}
	n, err := strconv.ParseUint(s[3:6], 16, 16)
	if err != nil || n == 0 {
		return h, fmt.Errorf("%w: rounds %q", ErrHashFormat, s[3:6])
	}
	h.Rounds = int(n) * sha2RoundUnit
	copy(h.Salt[:], s[7:])
	copy(h.Digest[:], s[7+sha2SaltLen:])
	return h, nil
}

// Check tells whether the hash is the password's. It takes milliseconds: that
// is the purpose of the rounds. The comparison itself takes constant time.
func (h *Sha2Hash) Check(password string) bool {
	got := sha256Crypt([]byte(password), h.Salt[:], h.Rounds)
	return subtle.ConstantTimeCompare(got[:], h.Digest[:]) == 1
}

// String is the stored form.
func (h *Sha2Hash) String() string {
	return fmt.Sprintf("%s%03X$%s%s", sha2HashPrefix, h.Rounds/sha2RoundUnit, h.Salt[:], h.Digest[:])
}

// CheckSha2Hash tells whether stored, of the form "$A$005$...", is the
// password's hash. An empty stored hash is that of the empty password. A stored
// hash of another form is ErrHashFormat.
func CheckSha2Hash(stored, password string) (bool, error) {
	if stored == "" {
		return password == "", nil
	}
	h, err := ParseSha2Hash(stored)
	if err != nil {
		return false, err
	}
	return h.Check(password), nil
}

// NewSha2Hash hashes a password with rounds that are a multiple of 1000.
func NewSha2Hash(password string, rounds int) Sha2Hash {
	h := Sha2Hash{Rounds: rounds, Salt: NewSalt()}
	h.Digest = sha256Crypt([]byte(password), h.Salt[:], rounds)
	return h
}

// sha256Crypt is SHA-256 crypt, without the cut of the salt to 16 bytes.
// Source: https://www.akkadia.org/drepper/SHA-crypt.txt; the numbers are the
// steps' there.
func sha256Crypt(key, salt []byte, rounds int) [sha2DigestLen]byte {
	// 4-8: digest B
	h := sha256.New()
	h.Write(key)
	h.Write(salt)
	h.Write(key)
	b := h.Sum(nil)
	// 1-3, 9-12: digest A
	h.Reset()
	h.Write(key)
	h.Write(salt)
	writeRepeated(h.Write, b, len(key))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			h.Write(b)
		} else {
			h.Write(key)
		}
	}
	a := h.Sum(nil)
	// 13-16: sequence P
	h.Reset()
	for range key {
		h.Write(key)
	}
	p := repeatTo(h.Sum(nil), len(key))
	// 17-20: sequence S
	h.Reset()
	for range 16 + int(a[0]) {
		h.Write(salt)
	}
	s := repeatTo(h.Sum(nil), len(salt))
	// 21
	for i := range rounds {
		h.Reset()
		if i&1 != 0 {
			h.Write(p)
		} else {
			h.Write(a)
		}
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		if i&1 != 0 {
			h.Write(a)
		} else {
			h.Write(p)
		}
		a = h.Sum(a[:0])
	}
	return cryptBase64([sha256.Size]byte(a))
}

// repeatTo is digest repeated up to n bytes.
func repeatTo(digest []byte, n int) []byte {
	out := make([]byte, 0, n)
	writeRepeated(func(b []byte) (int, error) {
		out = append(out, b...)
		return len(b), nil
	}, digest, n)
	return out
}

func writeRepeated(write func([]byte) (int, error), digest []byte, n int) {
	for ; n > len(digest); n -= len(digest) {
		_, _ = write(digest)
	}
	_, _ = write(digest[:n])
}

// cryptBase64 is step 22: groups of three bytes in a rotating order, in
// crypt's own alphabet.
func cryptBase64(d [sha256.Size]byte) (out [sha2DigestLen]byte) {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	at := 0
	put := func(v uint32, n int) {
		for range n {
			out[at] = alphabet[v&0x3f]
			v >>= 6
			at++
		}
	}
	i, j, k := 0, 10, 20
	for range 10 {
		put(uint32(d[i])<<16|uint32(d[j])<<8|uint32(d[k]), 4)
		i, j, k = k+1, i+1, j+1
	}
	put(uint32(d[31])<<8|uint32(d[30]), 3)
	return out
}
