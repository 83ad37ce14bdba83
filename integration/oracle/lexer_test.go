package oracle

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/router"
)

// fragments are what text is cut at, and what can be taken for it.
var fragments = []string{
	"'", "'", "\"", "\"", "`", "`", "\\", "\\", "\\'", "''", "\"\"", "``", "/*", "*/", "/*!", "/*!50000 ", "/*!99999 ", "/*M!", "/*M!100000 ", "/*+ ", "-- ", "--", "#", "\n", "\n",
	";", " ", " ", "a", "1", ",", ",", "+", "(", ")", "\x81", "\x95", "\xa1", "\xe9", "\xf0", "\xff", "\x81\\", "\x95\\", "\xa4\\", "\x81'", "\xa4'", "\x81`", "\xa4`", "\xe4`", "\x8f`", "\xf0`",
	"\x81\x30", "\x00", "\xa0", "\x0b", "\x7f", "N'", "_gbk'", "_utf8mb4'", "x'", "AS", ".", "@", ":", "$$", "$a$", "1.", "1e", "0x", " AS ", "*", "/", "{", "}",
}

// target is the call that writes: where a server reaches it, a read-only session
// refuses it.
const target = "f1(1)"

// tricky makes a statement in which it takes an exact lexer to tell whether the
// call is code.
func tricky(r *rand.Rand) string {
	noise := func(most int) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteString(fragments[r.IntN(len(fragments))])
		}
		return b.String()
	}
	quote := []string{"'", "\"", "`", "/* ", "-- ", "# ", ""}[r.IntN(7)]
	end := map[string]string{"/* ": "*/", "-- ": "\n", "# ": "\n"}[quote]
	if end == "" {
		end = quote
	}
	switch r.IntN(4) {
	case 0: // the call behind something quoted
		return "SELECT 1, " + quote + noise(3) + end + "," + target + noise(2)
	case 1: // the call within it
		return "SELECT 1 " + quote + noise(2) + "," + target + noise(2) + end
	case 2: // the same thing twice, so that a wrong turn is undone
		q := noise(2)
		return "SELECT 1 , " + quote + q + end + " , " + target + ", " + quote + q + end
	default:
		return "SELECT 1 " + noise(3) + target + noise(3)
	}
}

// TestLexerAgreesWithServer makes statements of quotes, comments, escapes and
// odd bytes around a call that writes. Where the server runs the call, Classify
// must have seen it, in each sql_mode and character set.
func TestLexerAgreesWithServer(t *testing.T) {
	seed := rand.Uint64()
	if v := os.Getenv("BELLWETHER_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("BELLWETHER_SEED=%d", seed)
	modes := map[string]router.Mode{"": {}, "ANSI_QUOTES": {ANSIQuotes: true}, "NO_BACKSLASH_ESCAPES": {NoBackslashEscapes: true}, "IGNORE_SPACE": {IgnoreSpace: true}}
	charsets := []string{"utf8mb4", "latin1", "gbk", "sjis", "cp932", "big5", "ujis", "euckr", "gb2312", "gb18030", "swe7", "binary", "cp1251"}
	eachServer(t, func(t *testing.T, s *server) {
		for _, q := range prelude() {
			_, _ = s.rw.ExecContext(t.Context(), q)
		}
		s.must(t, s.ro, "USE gen")
		reached, reads := 0, 0
		for sqlMode, m := range modes {
			s.must(t, s.ro, "SET SESSION sql_mode = '"+sqlMode+"'")
			for _, charset := range charsets {
				if _, err := s.ro.ExecContext(t.Context(), "SET NAMES "+charset); err != nil {
					continue // not of this flavour
				}
				m.Flavor, m.Charset = s.flavor, router.CharsetByName(charset)
				r := rand.New(rand.NewPCG(seed, uint64(len(sqlMode))<<8|uint64(len(charset))))
				for range 2500 {
					q := tricky(r)
					st := router.Classify([]byte(q), m, nil)
					if st.Verb == router.VerbSet || st.Verb == router.VerbUse {
						continue
					}
					err := run(t.Context(), s.ro, q)
					if st.IsRead() {
						reads++
					}
					if !refused(err) {
						continue
					}
					if reached++; st.IsRead() {
						t.Errorf("sql_mode %q, character set %s: is called a read, and calls the function: %q", sqlMode, charset, q)
					}
				}
			}
		}
		t.Logf("the function was reached by %d statements; %d were called reads", reached, reads)
		if reached < 1000 {
			t.Errorf("only %d statements reached the function", reached)
		}
	})
}
