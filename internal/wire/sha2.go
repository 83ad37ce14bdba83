package wire

import (
	"crypto/sha256"
	"crypto/subtle"
)

// caching_sha2_password: the client's first reply is SHA256(password) XOR
// SHA256(SHA256(SHA256(password)) + salt). A server that has the inner hash in
// its cache answers Sha2FastAuthOK; others answer Sha2FullAuth and get the
// password itself, over TLS or under their RSA key.

// Sha2Stage1 is SHA256(password), what Sha2ScrambleFromStage1 needs.
func Sha2Stage1(password string) [sha256.Size]byte { return sha256.Sum256([]byte(password)) }

// Sha2Stage2 is SHA256(SHA256(password)), what VerifySha2Fast needs.
func Sha2Stage2(password string) [sha256.Size]byte {
	stage1 := Sha2Stage1(password)
	return sha256.Sum256(stage1[:])
}

// Sha2Scramble is the client's first reply; it is empty for an empty password.
func Sha2Scramble(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	return Sha2ScrambleFromStage1(Sha2Stage1(password), salt)
}

// Sha2ScrambleFromStage1 is the client's first reply by SHA256(password).
func Sha2ScrambleFromStage1(stage1 [sha256.Size]byte, salt []byte) []byte {
	mask := sha2Mask(sha256.Sum256(stage1[:]), salt)
	subtle.XORBytes(mask[:], mask[:], stage1[:])
	return mask[:]
}

// VerifySha2Fast checks a client's first reply against the cached
// SHA256(SHA256(password)), and gives SHA256(password). The comparison takes
// the same time for every reply.
func VerifySha2Fast(reply, salt []byte, stage2 [sha256.Size]byte) (stage1 [sha256.Size]byte, ok bool) {
	if len(reply) != sha256.Size {
		return stage1, false
	}
	mask := sha2Mask(stage2, salt)
	subtle.XORBytes(stage1[:], reply, mask[:])
	sum := sha256.Sum256(stage1[:])
	if subtle.ConstantTimeCompare(sum[:], stage2[:]) != 1 {
		return [sha256.Size]byte{}, false
	}
	return stage1, true
}

func sha2Mask(stage2 [sha256.Size]byte, salt []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(stage2[:])
	h.Write(salt)
	return [sha256.Size]byte(h.Sum(nil))
}
