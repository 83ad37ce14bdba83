package wire

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const allCaps = ^Capability(0)

// payloadOf joins the packets that an encoder wrote.
func payloadOf(t testing.TB, packets []byte) []byte {
	t.Helper()
	r := bytes.NewReader(packets)
	p, _, err := ReadPacket(r, nil, 1<<30)
	if err != nil || r.Len() != 0 {
		t.Fatalf("encoder wrote %x: %v, %d bytes left", packets, err, r.Len())
	}
	return p
}

// roundTrip checks that decode, encode and decode again give the same.
func roundTrip[T any](t testing.TB, payload []byte, decode func([]byte, *T) error, encode func(*T) []byte) {
	t.Helper()
	var a, b T
	if err := decode(payload, &a); err != nil {
		return
	}
	again := payloadOf(t, encode(&a))
	if err := decode(again, &b); err != nil {
		t.Fatalf("encoded %+v as %x: %v", a, again, err)
	}
	if d := cmp.Diff(a, b, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%x\nencoded as %x\n%s", payload, again, d)
	}
}

func FuzzOK(f *testing.F) {
	f.Add([]byte{0, 1, 2, 2, 0, 0, 0}, uint64(0))
	f.Add([]byte{0, 1, 2, 2, 0, 0, 0, 3, 'a', 'b', 'c'}, uint64(allCaps))
	f.Add([]byte{0xfe, 0, 0, 0, 0x40, 0, 0, 0, 4, 1, 2, 1, 't'}, uint64(allCaps))
	f.Add([]byte{0, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0xfe, 255, 255, 255, 255, 255, 255, 255, 127}, uint64(allCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		c := Capability(caps)
		roundTrip(t, p, func(b []byte, ok *OK) error {
			err := DecodeOK(b, c, ok)
			if !c.Has(ClientSessionTrack) {
				ok.Status &^= StatusSessionStateChange
			}
			return err
		}, func(ok *OK) []byte { return AppendOK(nil, 1, ok, c) })
	})
}

func FuzzErr(f *testing.F) {
	f.Add([]byte("\xff\x10\x04#08004Too many connections"))
	f.Add([]byte("\xff\x10\x04Too many connections"))
	f.Add([]byte("\xff\x10\x04#080"))
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeErr, func(e *Err) []byte {
			if e.State == "" {
				return AppendErr(nil, 1, e, 0)
			}
			return AppendErr(nil, 1, e, ClientProtocol41)
		})
	})
}

func FuzzEOF(f *testing.F) {
	f.Add([]byte{0xfe, 1, 0, 2, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeEOF, func(e *EOF) []byte { return AppendEOF(nil, 1, e.Status, e.Warnings) })
	})
}

func testGreeting() *Greeting {
	return &Greeting{
		Version: MariaDBVersionPrefix + "10.11.6-MariaDB", ThreadID: 0xdeadbeef,
		Salt: [SaltLen]byte([]byte("abcdefghijklmnopqrst")), Caps: allCaps &^ ClientMySQL,
		Collation: 45, Status: StatusAutocommit, AuthPlugin: PluginNative,
	}
}

func FuzzGreeting(f *testing.F) {
	f.Add(AppendGreeting(nil, 0, testGreeting())[HeaderLen:])
	g := testGreeting()
	g.Caps, g.Version = ClientMySQL|ClientProtocol41, "9.7.0"
	f.Add(AppendGreeting(nil, 0, g)[HeaderLen:])
	f.Add([]byte("\xff\x10\x04Too many connections"))
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeGreeting, func(g *Greeting) []byte { return AppendGreeting(nil, 0, g) })
	})
}

func testResponse(caps Capability) *HandshakeResponse {
	return &HandshakeResponse{
		Caps: caps | ClientProtocol41, MaxPacket: 1 << 24, Collation: 255, User: "user",
		Auth: []byte("12345678901234567890"), Schema: "db", Plugin: PluginNative,
		Attrs: AppendAttr(nil, "_os", "Linux"), ZstdLevel: 3,
	}
}

func FuzzHandshakeResponse(f *testing.F) {
	for _, caps := range []Capability{0, allCaps, allCaps &^ ClientMySQL, ClientSecureConnection | ClientPluginAuth} {
		f.Add(AppendHandshakeResponse(nil, 1, testResponse(caps))[HeaderLen:], uint64(allCaps))
	}
	f.Fuzz(func(t *testing.T, p []byte, server uint64) {
		roundTrip(t, p, func(b []byte, h *HandshakeResponse) error {
			return DecodeHandshakeResponse(b, Capability(server)|ClientProtocol41, h)
		}, func(h *HandshakeResponse) []byte { return AppendHandshakeResponse(nil, 1, h) })
	})
}

func FuzzAttrs(f *testing.F) {
	f.Add(AppendAttr(AppendAttr(nil, "_os", "Linux"), "", ""))
	f.Fuzz(func(t *testing.T, p []byte) {
		n := 0
		for r := NewAttrReader(p); ; {
			k, v, ok := r.Next()
			if !ok {
				break
			}
			n += len(k) + len(v) + 2
		}
		if n > len(p) {
			t.Fatalf("%d bytes of %d", n, len(p))
		}
	})
}

func FuzzSSLRequest(f *testing.F) {
	f.Add(AppendSSLRequest(nil, 1, &SSLRequest{Caps: allCaps &^ ClientMySQL, MaxPacket: 1, Collation: 8})[HeaderLen:])
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeSSLRequest, func(s *SSLRequest) []byte { return AppendSSLRequest(nil, 1, s) })
	})
}

func FuzzAuthSwitchRequest(f *testing.F) {
	f.Add([]byte("\xfemysql_native_password\x0012345678901234567890\x00"))
	f.Add([]byte{0xfe})
	f.Add([]byte("\xfeno_nul"))
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeAuthSwitchRequest, func(a *AuthSwitchRequest) []byte {
			_ = a.Salt()
			return AppendAuthSwitchRequest(nil, 1, a)
		})
	})
}

func FuzzAuthNextFactor(f *testing.F) {
	f.Add([]byte("\x02plugin\x00data"))
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeAuthNextFactor, func(a *AuthNextFactor) []byte { return AppendAuthNextFactor(nil, 1, a) })
	})
}

func FuzzAuthMoreData(f *testing.F) {
	f.Add([]byte("\x01\x04"))
	f.Fuzz(func(t *testing.T, p []byte) {
		roundTrip(t, p, DecodeAuthMoreData, func(a *AuthMoreData) []byte { return AppendAuthMoreData(nil, 1, a) })
	})
}

func FuzzChangeUser(f *testing.F) {
	c := &ChangeUser{
		User: "u", Auth: []byte("12345678901234567890"), Schema: "s", Collation: 255,
		HasCollation: true, Plugin: PluginNative, Attrs: AppendAttr(nil, "k", "v"),
	}
	for _, caps := range []Capability{0, allCaps, ClientSecureConnection | ClientPluginAuth} {
		f.Add(AppendChangeUser(nil, 0, c, caps)[HeaderLen:], uint64(caps))
	}
	f.Add([]byte("\x11u\x00\x00s\x00"), uint64(allCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		roundTrip(t, p, func(b []byte, c *ChangeUser) error { return DecodeChangeUser(b, Capability(caps), c) },
			func(c *ChangeUser) []byte { return AppendChangeUser(nil, 0, c, Capability(caps)) })
	})
}

func FuzzStmtPrepareOK(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0}, uint64(0))
	f.Add([]byte{0, 1, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0}, uint64(allCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		c := Capability(caps)
		roundTrip(t, p, func(b []byte, ok *StmtPrepareOK) error { return DecodeStmtPrepareOK(b, c, ok) },
			func(ok *StmtPrepareOK) []byte { return AppendStmtPrepareOK(nil, 1, ok, c) })
		_, _ = StmtID(p)
		_, _ = StmtExecuteFlags(p)
		_ = PutStmtID(p, 7)
	})
}

func FuzzColumn(f *testing.F) {
	f.Add(AppendColumn(nil, 1, textColumn("name", 3), 0)[HeaderLen:], uint64(0))
	c := textColumn("name", 3)
	c.Extended, c.HasDefault, c.Default = []byte("\x00\x04json"), true, []byte("x")
	f.Add(AppendColumn(nil, 1, c, allCaps)[HeaderLen:], uint64(allCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		roundTrip(t, p, func(b []byte, c *Column) error { return DecodeColumn(b, Capability(caps), c) },
			func(c *Column) []byte { return AppendColumn(nil, 1, c, Capability(caps)) })
	})
}

func FuzzTextRow(f *testing.F) {
	f.Add([]byte("\x01a\xfb\x00"))
	f.Add([]byte("\xfc\x03\x00abc"))
	f.Fuzz(func(t *testing.T, p []byte) {
		decode := func(b []byte, row *[]*string) error {
			values, err := DecodeTextRow(b, nil)
			for _, v := range values {
				if v == nil {
					*row = append(*row, nil)
					continue
				}
				*row = append(*row, new(string(v)))
			}
			if len(b) == 0 {
				return io.EOF
			}
			return err
		}
		roundTrip(t, p, decode, func(row *[]*string) []byte { return AppendTextRow(nil, 1, *row) })
	})
}

func FuzzQueryText(f *testing.F) {
	f.Add([]byte("\x03SELECT 1"), uint64(0))
	attrs := []Attribute{{"k", "v"}, {"", ""}}
	f.Add(AppendQuery(nil, "SELECT 1", attrs, allCaps)[HeaderLen:], uint64(allCaps))
	f.Add(AppendQuery(nil, "", nil, allCaps)[HeaderLen:], uint64(allCaps))
	f.Add([]byte("\x03\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint64(allCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		at, err := QueryText(p, Capability(caps))
		if err == nil && (at < 1 || at > len(p)) {
			t.Fatalf("offset %d of %d", at, len(p))
		}
		_, _ = LocalInfileName(p)
	})
}

func FuzzState(f *testing.F) {
	var b []byte
	for _, e := range []StateEntry{
		{StateSysVar, []byte("autocommit"), []byte("ON")},
		{StateSchema, nil, []byte("t")},
		{StateChanged, nil, []byte("1")},
		{StateGTIDs, nil, []byte("0-1-1")},
		{StateTxCharacteristics, nil, []byte("START TRANSACTION;")},
		{StateTxState, nil, []byte("T_______")},
		{StateKind(77), nil, []byte("anything")},
	} {
		b = AppendStateEntry(b, &e)
	}
	f.Add(b)
	f.Add([]byte("\x00\x08\x01a\x01b\x01c\x01d"))
	f.Add([]byte("\x03\x03\x00\x01x"))
	f.Fuzz(func(t *testing.T, p []byte) {
		keep := func(StateKind, []byte) bool { return true }
		once := FilterState(nil, p, keep)
		if twice := FilterState(nil, once, keep); !bytes.Equal(once, twice) {
			t.Fatalf("%x, again %x", once, twice)
		}
	})
}

func FuzzReadPacket(f *testing.F) {
	f.Add([]byte{3, 0, 0, 1, 'a', 'b', 'c'})
	f.Add([]byte{0xff, 0xff, 0xff, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		p, seq, err := ReadPacket(iotest.OneByteReader(bytes.NewReader(b)), nil, limit)
		if err != nil {
			return
		}
		if n, s := Header(b); n != len(p) || s != seq || !bytes.Equal(p, b[HeaderLen:HeaderLen+n]) {
			t.Fatalf("%x from %x", p, b)
		}
	})
}

func TestReadPacketSizes(t *testing.T) {
	for _, n := range []int{0, 1, 250, readStep, readStep + 1, MaxPayload - 1, MaxPayload, MaxPayload + 1, 2 * MaxPayload} {
		want := bytes.Repeat([]byte{7}, n)
		var buf bytes.Buffer
		next, err := WritePacket(&buf, want, 254)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.Bytes(), AppendPacket(nil, 254, want)) {
			t.Errorf("%d: WritePacket and AppendPacket differ", n)
		}
		wire := bytes.Clone(buf.Bytes())
		got, seq, err := ReadPacket(&buf, nil, n)
		if err != nil || !bytes.Equal(got, want) || seq+1 != next {
			t.Errorf("%d: %d bytes, seq %d, next %d: %v", n, len(got), seq, next, err)
		}
		if n > 0 {
			if _, _, err := ReadPacket(bytes.NewReader(wire), nil, n-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%d: above the limit: %v", n, err)
			}
		}
		if _, _, err := ReadPacket(bytes.NewReader(wire[:len(wire)-1]), nil, n); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d: cut short: %v", n, err)
		}
	}
	if _, _, err := ReadPacket(strings.NewReader(""), nil, 1); !errors.Is(err, io.EOF) {
		t.Errorf("end of stream: %v", err)
	}
	gap := append(AppendPacket(nil, 0, make([]byte, MaxPayload))[:HeaderLen+MaxPayload], 1, 0, 0, 9, 'x')
	if _, _, err := ReadPacket(bytes.NewReader(gap), nil, 1<<30); !errors.Is(err, ErrSequence) {
		t.Errorf("gap: %v", err)
	}
}

// TestReadPacketTrustsNoHeader: a header that claims 16 MiB takes no memory.
func TestReadPacketTrustsNoHeader(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _, _ = ReadPacket(bytes.NewReader([]byte{0xfe, 0xff, 0xff, 0, 'x'}), nil, 1<<30)
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) / 100; used > 4*readStep {
		t.Errorf("%d bytes for a claim", used)
	}
}

func TestReadPacketDoesNotAllocate(t *testing.T) {
	b := AppendPacket(nil, 0, make([]byte, 100))
	r, buf := bytes.NewReader(b), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(b)
		if _, _, err := ReadPacket(r, buf, 1000); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDecodersDoNotAllocate(t *testing.T) {
	ok := AppendOK(nil, 1, &OK{Status: StatusSessionStateChange, Info: []byte("x"), State: []byte("\x01\x02\x01t\x02\x011")}, allCaps)[HeaderLen:]
	eof := AppendEOF(nil, 1, StatusAutocommit, 0)[HeaderLen:]
	prep := AppendStmtPrepareOK(nil, 1, &StmtPrepareOK{ID: 1}, 0)[HeaderLen:]
	query := AppendQuery(nil, "SELECT 1", []Attribute{{"a", "b"}}, allCaps)[HeaderLen:]
	var o OK
	var e EOF
	var p StmtPrepareOK
	var entry StateEntry
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		err := errors.Join(DecodeOK(ok, allCaps, &o), DecodeEOF(eof, &e), DecodeStmtPrepareOK(prep, 0, &p))
		if _, qerr := QueryText(query, allCaps); err != nil || qerr != nil {
			t.Fatal(err, qerr)
		}
		for r := NewStateReader(o.State); r.Next(&entry); {
		}
		_ = AppendOK(buf, 1, &o, allCaps)
		_ = DecodeOK(ok[:3], allCaps, &o)
		_, _ = Header(ok)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecodeOK(b *testing.B) {
	ok := AppendOK(nil, 1, &OK{Status: StatusAutocommit, Info: []byte("Rows matched: 1")}, allCaps)[HeaderLen:]
	b.SetBytes(int64(len(ok)))
	b.ReportAllocs()
	var o OK
	for b.Loop() {
		if err := DecodeOK(ok, allCaps, &o); err != nil {
			b.Fatal(err)
		}
	}
}
