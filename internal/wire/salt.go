package wire

import "crypto/rand"

// NewSalt makes a challenge. Like the servers' it has no NUL, which ends it on
// the wire, and no '$', which separates the fields of stored hashes; and it is
// of 7-bit characters.
func NewSalt() [SaltLen]byte {
	var salt [SaltLen]byte
	var pool [2 * SaltLen]byte
	for n := 0; n < SaltLen; {
		// crypto/rand.Read never fails: it ends the program instead.
		_, _ = rand.Read(pool[:])
		for _, b := range pool {
			if b &= 0x7f; b != 0 && b != '$' && n < SaltLen {
				salt[n] = b
				n++
			}
		}
	}
	return salt
}
