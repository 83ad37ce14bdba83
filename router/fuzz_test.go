package router

import (
	"bytes"
	"testing"
)

// modeOf makes a mode of a number, so that fuzzing tries all.
func modeOf(n byte) Mode {
	return Mode{ANSIQuotes: n&1 != 0, NoBackslashEscapes: n&2 != 0, IgnoreSpace: n&4 != 0, Charset: Charset(n >> 3 & 7)}
}

func seed(f *testing.F) {
	for i, q := range reads {
		f.Add([]byte(q), byte(i))
	}
	for _, list := range leaders {
		for i, q := range list {
			f.Add([]byte(q), byte(i))
		}
	}
	f.Add([]byte("/* bellwether: target=follower */ SELECT '\x81\x5c' , `\x81\x60`"), byte(16))
}

// FuzzClassify: no text makes it panic; spans are within the text; and what is
// put before or behind a text that is no read does not make a read of it.
func FuzzClassify(f *testing.F) {
	seed(f)
	cat := NewCatalog([]Routine{function("f", "NO SQL", "RETURN 1")}, []View{{"db", "v", "select x()"}})
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		m := modeOf(n)
		st := Classify(b, m, cat)
		for _, s := range []Span{st.KillSpan, st.Arg} {
			if s.Off < 0 || s.Off > s.End || s.End > len(b) {
				t.Fatalf("span %+v of %d bytes", s, len(b))
			}
		}
		if st.IsRead() != (st.Reason == ReasonRead) {
			t.Fatalf("class %v, reason %v", st.Class, st.Reason)
		}
		if st.IsRead() && (st.Multi || st.UserVars || st.AcquiresLock || st.CreatesTempTable) {
			t.Fatalf("a read with %+v", st)
		}
		if none := Classify(b, m, nil); none.IsRead() && !st.IsRead() && st.Reason != ReasonUnsafeView {
			t.Fatalf("knowing nothing makes it a read, knowing more does not: %v", st.Reason)
		}
		if st.IsRead() {
			for _, tail := range []string{" FOR UPDATE", " INTO OUTFILE 'x'", "; DELETE FROM t", " LOCK IN SHARE MODE", " PROCEDURE ANALYSE()"} {
				// A line comment at the end, or an open quote, would swallow it.
				dirty := append(bytes.Clone(b), "\n"+tail...)
				if d := Classify(dirty, m, cat); d.IsRead() {
					t.Fatalf("%q is called a read", dirty)
				}
			}
		}
	})
}

// FuzzLexer: tokens are in order and within the text, and the last one is the end.
func FuzzLexer(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		l := lexer{b: b, m: modeOf(n)}
		at := int32(0)
		for {
			tok := l.next()
			if tok.start < at || tok.end < tok.start || int(tok.end) > len(b) {
				t.Fatalf("token %+v after %d, of %d bytes", tok, at, len(b))
			}
			if tok.kind == tokEOF {
				break
			}
			if tok.end == tok.start {
				t.Fatalf("an empty token %+v", tok)
			}
			at = tok.end
		}
	})
}

// FuzzDigest: literals do not count, and the hash is that of the text.
func FuzzDigest(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		m := modeOf(n)
		text := DigestText(b, m)
		h := uint64(digestBasis)
		for _, c := range []byte(text) {
			h = (h ^ uint64(c)) * digestPrime
		}
		if Digest64(b, m) != mix(h) {
			t.Fatalf("the digest of %q is not the hash of %q", b, text)
		}
		if len(text) > 3*len(b) {
			t.Fatalf("%d bytes make %d of normalised text", len(b), len(text))
		}
	})
}

// FuzzHint: no hint makes the parser panic, and one that is not understood has no effect.
func FuzzHint(f *testing.F) {
	for _, s := range []string{"target=leader", " node=a, max_lag=1s", "=", "target", "max_lag=9999999999999h", ",,,"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := ParseHint(b)
		if !h.Present || h.Err != "" && h != (Hint{Present: true, Err: h.Err}) || h.MaxLag < 0 {
			t.Fatalf("%+v", h)
		}
	})
}
