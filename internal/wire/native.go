package wire

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// mysql_native_password: the server keeps stage2 = SHA1(SHA1(password)); the
// client sends SHA1(password) XOR SHA1(salt + stage2), and nothing at all for
// an empty password. Who knows stage2 learns stage1 = SHA1(password) from one
// reply, and with stage1 can log in elsewhere.

// NativeStage1 is SHA1(password), what NativeScrambleFromStage1 needs.
func NativeStage1(password string) [sha1.Size]byte { return sha1.Sum([]byte(password)) }

// NativeScramble is the client's reply; it is empty for an empty password.
func NativeScramble(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	return NativeScrambleFromStage1(NativeStage1(password), salt)
}

// NativeScrambleFromStage1 is the client's reply by SHA1(password).
func NativeScrambleFromStage1(stage1 [sha1.Size]byte, salt []byte) []byte {
	stage2 := sha1.Sum(stage1[:])
	mask := nativeMask(salt, stage2)
	subtle.XORBytes(mask[:], mask[:], stage1[:])
	return mask[:]
}

// NativeStage1FromScramble checks a client's reply against the stored
// stage2, and recovers SHA1(password) from it. The comparison takes the same
// time for every reply.
func NativeStage1FromScramble(reply, salt []byte, stage2 [sha1.Size]byte) (stage1 [sha1.Size]byte, ok bool) {
	if len(reply) != sha1.Size {
		return stage1, false
	}
	mask := nativeMask(salt, stage2)
	subtle.XORBytes(stage1[:], reply, mask[:])
	sum := sha1.Sum(stage1[:])
	if subtle.ConstantTimeCompare(sum[:], stage2[:]) != 1 {
		return [sha1.Size]byte{}, false
	}
	return stage1, true
}

func nativeMask(salt []byte, stage2 [sha1.Size]byte) [sha1.Size]byte {
	h := sha1.New()
	h.Write(salt)
	h.Write(stage2[:])
	return [sha1.Size]byte(h.Sum(nil))
}

// ParseNativeHash reads a stored hash, "*" and 40 hexadecimal digits.
func ParseNativeHash(s string) (stage2 [sha1.Size]byte, ok bool) {
	digits, star := strings.CutPrefix(s, "*")
	if !star || len(digits) != 2*sha1.Size {
		return stage2, false
	}
	if _, err := hex.Decode(stage2[:], []byte(digits)); err != nil {
		return [sha1.Size]byte{}, false
	}
	return stage2, true
}

// NativeHash is the stored form of a password's hash.
func NativeHash(password string) string {
	if password == "" {
		return ""
	}
	stage1 := NativeStage1(password)
	stage2 := sha1.Sum(stage1[:])
	return "*" + strings.ToUpper(hex.EncodeToString(stage2[:]))
}
