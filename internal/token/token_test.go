package token

import (
	"errors"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func examples(t testing.TB) []Token {
	t.Helper()
	set := func(f gtid.Flavor, s string) gtid.Set {
		out, err := gtid.Parse(f, s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	return []Token{
		{Flavor: gtid.MariaDB, Epoch: 1},
		{Flavor: gtid.MariaDB, Epoch: 3, Set: set(gtid.MariaDB, "0-1-100,7-2-5")},
		{Flavor: gtid.MySQL, Epoch: 1 << 40, Set: set(gtid.MySQL, u+":1-5:7:blue:9")},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, tok := range examples(t) {
		text := tok.Encode()
		got, err := Decode(text)
		if err != nil || got.Epoch != tok.Epoch || got.Flavor != tok.Flavor || !got.Set.Equal(tok.Set) {
			t.Errorf("%+v came back as %+v, %v", tok, got, err)
		}
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q is not safe in a URL, a cookie or a comment", text)
		}
	}
}

// Every change of a single byte, and every shortening, is found.
func TestDamage(t *testing.T) {
	for _, tok := range examples(t) {
		text := tok.Encode()
		for i := range len(text) {
			for _, c := range []byte("AZ0_") {
				if text[i] == c {
					continue
				}
				damaged := text[:i] + string(c) + text[i+1:]
				if _, err := Decode(damaged); !errors.Is(err, ErrMalformed) {
					t.Errorf("%q for %q: %v", damaged, text, err)
				}
			}
			if _, err := Decode(text[:i]); !errors.Is(err, ErrMalformed) {
				t.Errorf("the first %d bytes of %q: %v", i, text, err)
			}
		}
	}
	if _, err := Decode(strings.Repeat("A", MaxLen+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a token that is too long: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	for _, tok := range examples(f) {
		f.Add(tok.Encode())
	}
	f.Add("")
	f.Add("AQEBMC0xLTEwMA")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := Decode(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := Decode(tok.Encode())
		if err != nil || again.Epoch != tok.Epoch || !again.Set.Equal(tok.Set) {
			t.Fatalf("%q: %+v came back as %+v, %v", text, tok, again, err)
		}
	})
}
