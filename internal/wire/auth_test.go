package wire

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNativeHash(t *testing.T) {
	// SELECT PASSWORD('password')
	if h := NativeHash("password"); h != "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19" {
		t.Error(h)
	}
	if NativeHash("") != "" {
		t.Error("empty password")
	}
	for _, bad := range []string{"", "*", "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E1", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1EXX"} {
		if _, ok := ParseNativeHash(bad); ok {
			t.Errorf("%q", bad)
		}
	}
}

func TestNativeLogin(t *testing.T) {
	stage2, ok := ParseNativeHash(strings.ToLower(NativeHash("secret")))
	if !ok {
		t.Fatal("hash")
	}
	salt := NewSalt()
	reply := NativeScramble("secret", salt[:])
	stage1, ok := NativeStage1FromScramble(reply, salt[:], stage2)
	if !ok || stage1 != NativeStage1("secret") {
		t.Fatalf("%x, %t", stage1, ok)
	}
	other := NewSalt()
	again := NativeScrambleFromStage1(stage1, other[:])
	if !bytes.Equal(again, NativeScramble("secret", other[:])) {
		t.Error("the recovered stage 1 does not log in")
	}
	for name, bad := range map[string][]byte{
		"wrong password": NativeScramble("Secret", salt[:]), "wrong salt": again,
		"short": reply[:19], "empty": nil, "long": append(reply, 0),
	} {
		if stage1, ok := NativeStage1FromScramble(bad, salt[:], stage2); ok || stage1 != [20]byte{} {
			t.Errorf("%s: %x, %t", name, stage1, ok)
		}
	}
	if NativeScramble("", salt[:]) != nil || Sha2Scramble("", salt[:]) != nil {
		t.Error("an empty password has a reply")
	}
}

func TestNativeScrambleKnown(t *testing.T) {
	// From the tests of go-sql-driver/mysql.
	salt := []byte{70, 114, 92, 94, 1, 38, 11, 116, 63, 114, 23, 101, 126, 103, 26, 95, 81, 17, 24, 21}
	want := []byte{53, 177, 140, 159, 251, 189, 127, 53, 109, 252, 172, 50, 211, 192, 240, 164, 26, 48, 207, 45}
	if got := NativeScramble("secret", salt); !bytes.Equal(got, want) {
		t.Errorf("%d", got)
	}
}

func TestSha2ScrambleKnown(t *testing.T) {
	// From the tests of go-sql-driver/mysql.
	salt := []byte{10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 2, 23, 21}
	for pw, want := range map[string]string{
		"secret":  "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c",
		"secret2": "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6",
	} {
		if got := Sha2Scramble(pw, salt); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: %x", pw, got)
		}
	}
}

func TestSha2Login(t *testing.T) {
	salt := NewSalt()
	reply := Sha2Scramble("secret", salt[:])
	stage1, ok := VerifySha2Fast(reply, salt[:], Sha2Stage2("secret"))
	if !ok || stage1 != sha256.Sum256([]byte("secret")) {
		t.Fatalf("%x, %t", stage1, ok)
	}
	if !bytes.Equal(Sha2ScrambleFromStage1(stage1, salt[:]), reply) {
		t.Error("stage 1 gives another reply")
	}
	for name, bad := range map[string][]byte{
		"wrong password": Sha2Scramble("x", salt[:]), "short": reply[:31], "empty": nil,
	} {
		if _, ok := VerifySha2Fast(bad, salt[:], Sha2Stage2("secret")); ok {
			t.Error(name)
		}
	}
}

// TestSha256Crypt: the specification's vectors (those whose salt is not cut),
// and some of glibc's crypt(3) for other lengths.
func TestSha256Crypt(t *testing.T) {
	for _, c := range []struct {
		salt   string
		rounds int
		key    string
		want   string
	}{
		{"saltstring", 5000, "Hello world!", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"saltstringsaltst", 10000, "Hello world!", "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"},
		{"toolongsaltstrin", 5000, "This is just a test", "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"},
		{"anotherlongsalts", 1400, "a very much longer text to encrypt.  This one even stretches over morethan one line.", "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"},
		{"short", 77777, "we have a short salt string but not a short password", "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/"},
		{"asaltof16chars..", 123456, "a short string", "gP3VQ/6X7UUEW3HkBn2w1/Ptq2jxPyzV/cZKmF/wJvD"},
		{"roundstoolow", 1000, "the minimum number is still observed", "yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC"},
		{"abc", 5000, "", "bBHLwRRW2Li0XKaX13kz/g2fkDil4Jx46aNvd.48MS8"},
		{"abc", 2000, strings.Repeat("x", 70), "in3nE.GFMaPioDy4l93qK29FjIKSSwda0TtIWWwgUv."},
	} {
		if got := sha256Crypt([]byte(c.key), []byte(c.salt), c.rounds); string(got[:]) != c.want {
			t.Errorf("%s: %s, want %s", c.salt, got, c.want)
		}
	}
}

// TestCheckSha2HashOfMySQL: a hash that MySQL 8 made of "foobar", with a salt of
// control characters. From the tests of pingcap's parser.
func TestCheckSha2HashOfMySQL(t *testing.T) {
	stored := string(unhex(t, "24412430303524031A69251C34295C4B35167C7F1E5A7B6309134950"+
		"3974624D34504B5A424679354856336868686F52485A736E4A733368786E427575516C73446469496537"))
	for pw, want := range map[string]bool{"foobar": true, "foobaz": false, "": false} {
		if ok, err := CheckSha2Hash(stored, pw); ok != want || err != nil {
			t.Errorf("%q: %t, %v", pw, ok, err)
		}
	}
	h, err := ParseSha2Hash(stored)
	if err != nil || h.Rounds != 5000 || h.String() != stored {
		t.Errorf("%d rounds, %q, %v", h.Rounds, h.String(), err)
	}
	if h, err := ParseSha2Hash(strings.Replace(stored, "005", "FFF", 1)); err != nil || h.Rounds != MaxSha2Rounds {
		t.Errorf("%d rounds, %v", h.Rounds, err)
	}
	for _, bad := range []string{
		"$A$005$", stored[1:], stored + "x", strings.Replace(stored, "$A$", "$B$", 1),
		strings.Replace(stored, "005", "0x5", 1), strings.Replace(stored, "005", "000", 1),
		strings.Replace(stored, "005$", "0055", 1), "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
	} {
		if _, err := CheckSha2Hash(bad, "foobar"); err == nil {
			t.Errorf("%q", bad)
		}
	}
	if ok, err := CheckSha2Hash("", ""); !ok || err != nil {
		t.Error("the empty password")
	}
	if ok, _ := CheckSha2Hash("", "x"); ok {
		t.Error("a password for an account without one")
	}
	mine := NewSha2Hash("pässword", 5000)
	if ok, err := CheckSha2Hash(mine.String(), "pässword"); !ok || err != nil {
		t.Errorf("own hash: %t, %v", ok, err)
	}
}

func FuzzStoredHashes(f *testing.F) {
	f.Add("$A$005$" + strings.Repeat("x", sha2SaltLen+sha2DigestLen))
	f.Add(NativeHash("x"))
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := ParseSha2Hash(s); err == nil {
			again, err := ParseSha2Hash(h.String())
			if err != nil || again != h {
				t.Fatalf("%q: %v", s, err)
			}
		}
		_, _ = ParseNativeHash(s)
		_ = Ed25519Verify(s, nil, []byte(s))
		_, _ = ParsePublicKey([]byte(s))
	})
}

func TestRSAPassword(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := PublicKeyPEM(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParsePublicKey(append(text, 0))
	if err != nil || !pub.Equal(&key.PublicKey) {
		t.Fatal(err)
	}
	salt := NewSalt()
	for _, pw := range []string{"", "secret", strings.Repeat("long", 40)} {
		enc, err := EncryptPassword(pub, pw, salt[:])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecryptPassword(key, enc, salt[:]); err != nil || got != pw {
			t.Errorf("%q, %v", got, err)
		}
		other := NewSalt()
		if got, err := DecryptPassword(key, enc, other[:]); err == nil && got == pw && pw != "" {
			t.Error("another salt decrypts")
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 256), make([]byte, 3)} {
		if _, err := DecryptPassword(key, bad, salt[:]); !errors.Is(err, ErrPassword) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if _, err := EncryptPassword(pub, strings.Repeat("x", 300), salt[:]); err == nil {
		t.Error("a password that does not fit")
	}
	for _, bad := range []string{"", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, err := ParsePublicKey([]byte(bad)); err == nil {
			t.Errorf("%q", bad)
		}
	}
}

func TestEd25519(t *testing.T) {
	// SELECT ed25519_password('secret') of MariaDB's page on the plugin.
	hash, err := Ed25519Hash("secret")
	if err != nil || hash != "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY" {
		t.Errorf("%s, %v", hash, err)
	}
	nonce := bytes.Repeat([]byte{7}, Ed25519NonceLen)
	reply, err := Ed25519Sign("secret", nonce)
	if err != nil || len(reply) != 64 || !Ed25519Verify(hash, nonce, reply) {
		t.Errorf("%x, %v", reply, err)
	}
	reply[0] ^= 1
	if Ed25519Verify(hash, nonce, reply) || Ed25519Verify(hash, nonce, nil) || Ed25519Verify("", nonce, reply) {
		t.Error("wrong replies verify")
	}
	wrong, err := Ed25519Sign("Secret", nonce)
	if err != nil || Ed25519Verify(hash, nonce, wrong) {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestLoginToServer logs in to a real server with each user of
// BELLWETHER_TEST_USERS, "user:password,user:password".
func TestLoginToServer(t *testing.T) {
	users := os.Getenv("BELLWETHER_TEST_USERS")
	if users == "" {
		t.Skip("BELLWETHER_TEST_USERS is not set")
	}
	for u := range strings.SplitSeq(users, ",") {
		user, password, _ := strings.Cut(u, ":")
		t.Run(user, func(t *testing.T) {
			t.Setenv("BELLWETHER_TEST_USER", user)
			t.Setenv("BELLWETHER_TEST_PASSWORD", password)
			dialTest(t, baseCaps&^ClientConnectWithDB)
		})
	}
}

func TestNewSalt(t *testing.T) {
	seen := map[[SaltLen]byte]bool{}
	for range 1000 {
		s := NewSalt()
		if bytes.ContainsAny(s[:], "\x00$") || seen[s] {
			t.Fatalf("%q", s)
		}
		for _, b := range s {
			if b > 0x7f {
				t.Fatalf("%q", s)
			}
		}
		seen[s] = true
	}
}
