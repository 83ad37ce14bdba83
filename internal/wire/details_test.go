package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestLenenc(t *testing.T) {
	for _, v := range []uint64{0, 1, 250, 251, 252, 255, 1<<16 - 1, 1 << 16, 1<<24 - 1, 1 << 24, math.MaxUint32, math.MaxUint64} {
		b := AppendLenencInt(nil, v)
		if got, n := LenencInt(b); got != v || n != len(b) || n != LenencIntSize(v) {
			t.Errorf("%d: %x: %d, %d bytes, size %d", v, b, got, n, LenencIntSize(v))
		}
		for i := range b {
			if _, n := LenencInt(b[:i]); n != 0 {
				t.Errorf("%d: %x: %d bytes", v, b[:i], n)
			}
		}
	}
	for _, b := range []string{"\xfb", "\xff", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "\x05abcd", ""} {
		if s, n := LenencString([]byte(b)); n != 0 || s != nil {
			t.Errorf("%x: %q", b, s)
		}
	}
}

func TestHeader(t *testing.T) {
	var b [HeaderLen]byte
	PutHeader(b[:], 0x123456, 0xfe)
	if n, seq := Header(b[:]); n != 0x123456 || seq != 0xfe || b != [4]byte{0x56, 0x34, 0x12, 0xfe} {
		t.Errorf("%x: %x, %x", b, n, seq)
	}
}

func TestCapabilityNames(t *testing.T) {
	if s := (ClientMySQL | ClientSSL | MariaDBClientBulkUnitResults).String(); s != "LONG_PASSWORD|SSL|BULK_UNIT_RESULTS" {
		t.Error(s)
	}
	for caps, name := range map[Capability]string{
		ClientDeprecateEOF: "DEPRECATE_EOF", ClientQueryAttributes: "QUERY_ATTRIBUTES",
		ClientRememberOptions: "REMEMBER_OPTIONS", MariaDBClientProgress: "PROGRESS",
		ClientSSLVerifyServerCert: "SSL_VERIFY_SERVER_CERT", MariaDBClientCacheMetadata: "CACHE_METADATA",
	} {
		if caps.String() != name {
			t.Errorf("%x: %s, want %s", uint64(caps), caps, name)
		}
	}
}

func TestErrForms(t *testing.T) {
	e := NewErr(ErConCount, "Too many connections")
	if got := string(AppendErr(nil, 0, e, 0)); got != "\x17\x00\x00\x00\xff\x10\x04Too many connections" {
		t.Errorf("before the handshake: %q", got)
	}
	if got := string(AppendErr(nil, 2, e, ClientProtocol41)); got != "\x1d\x00\x00\x02\xff\x10\x04#08004Too many connections" {
		t.Errorf("after it: %q", got)
	}
	var g Greeting
	err := DecodeGreeting([]byte("\xff\x10\x04Too many connections"), &g)
	var refused *Err
	if !errors.As(err, &refused) || refused.Code != ErConCount || refused.Message != "Too many connections" {
		t.Errorf("instead of a greeting: %v", err)
	}
	if ErrCode([]byte("\xff\x10\x04x")) != ErConCount || ErrCode([]byte{0, 1, 2}) != 0 || ErrCode(nil) != 0 {
		t.Error("ErrCode")
	}
}

// TestOKInfoWithoutTracking: the pages say string<EOF>, the servers (the
// recordings too) send a length.
func TestOKInfoWithoutTracking(t *testing.T) {
	for _, p := range []string{"\x00\x00\x00\x02\x00\x00\x00\x03abc", "\x00\x00\x00\x02\x00\x00\x00abc"} {
		var ok OK
		if err := DecodeOK([]byte(p), ClientProtocol41, &ok); err != nil || string(ok.Info) != "abc" {
			t.Errorf("%q: %q, %v", p, ok.Info, err)
		}
	}
	ok := &OK{Info: []byte("abc"), State: []byte("\x01\x02\x01t"), Status: StatusSessionStateChange | StatusAutocommit}
	if got := string(AppendOK(nil, 1, ok, ClientProtocol41)); got != "\x0b\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03abc" {
		t.Errorf("%q", got)
	}
}

func TestOKRecorded(t *testing.T) {
	// MariaDB 10.11: SET autocommit=0, @u=1, sql_mode='', character_set_client=latin1
	p, _ := hex.DecodeString("0000000040000000" + "3e001c146368617261637465725f7365745f636c69656e74066c6174696e31000f0a6175746f636f6d6d6974034f4646000a0873716c5f6d6f646500020131")
	var ok OK
	if err := DecodeOK(p, ClientSessionTrack, &ok); err != nil {
		t.Fatal(err)
	}
	var got []string
	var e StateEntry
	r := NewStateReader(ok.State)
	for r.Next(&e) {
		got = append(got, string(e.Name)+"="+string(e.Value))
	}
	if r.Err() != nil || strings.Join(got, " ") != "character_set_client=latin1 autocommit=OFF sql_mode= =1" {
		t.Errorf("%q, %v", got, r.Err())
	}
	only := FilterState(nil, ok.State, func(k StateKind, name []byte) bool { return string(name) == "autocommit" })
	if string(only) != "\x00\x0f\x0aautocommit\x03OFF" {
		t.Errorf("%q", only)
	}
}

func TestStateOfSeveralVariables(t *testing.T) {
	r := NewStateReader([]byte("\x00\x08\x01a\x01b\x01c\x01d\x01\x02\x01s\x4d\x02xy\x00\x05\x01a"))
	var e StateEntry
	var got []string
	for r.Next(&e) {
		got = append(got, string(e.Name)+"="+string(e.Value))
	}
	if strings.Join(got, " ") != "a=b c=d =s =xy" || r.Err() == nil {
		t.Errorf("%q, %v", got, r.Err())
	}
}

func TestGreetingForms(t *testing.T) {
	g := testGreeting()
	var got Greeting
	if err := DecodeGreeting(AppendGreeting(nil, 0, g)[HeaderLen:], &got); err != nil || got != *g {
		t.Errorf("%+v, %v", got, err)
	}
	if !got.IsMariaDB() || (&Greeting{Version: "9.7.0"}).IsMariaDB() || !(&Greeting{Version: "11.8.2-MariaDB"}).IsMariaDB() {
		t.Error("IsMariaDB")
	}
	// A MySQL greeting has no extended capabilities, whatever is in those bytes.
	g.Caps |= ClientMySQL
	if err := DecodeGreeting(AppendGreeting(nil, 0, g)[HeaderLen:], &got); err != nil || got.Caps&MariaDBExtended != 0 {
		t.Errorf("%s, %v", got.Caps, err)
	}
}

func TestHandshakeResponseForms(t *testing.T) {
	server := allCaps
	for _, c := range []struct {
		name   string
		change func(h *HandshakeResponse)
		want   func(h *HandshakeResponse) bool
	}{
		{
			"mariadb", func(h *HandshakeResponse) { h.Caps &^= ClientMySQL },
			func(h *HandshakeResponse) bool { return h.Caps.Has(MariaDBClientProgress) },
		},
		{
			"mysql", func(h *HandshakeResponse) {},
			func(h *HandshakeResponse) bool { return h.Caps&MariaDBExtended == 0 },
		},
		{
			"no schema", func(h *HandshakeResponse) { h.Caps &^= ClientConnectWithDB },
			func(h *HandshakeResponse) bool { return h.Schema == "" && h.Plugin == PluginNative },
		},
		{
			"long auth", func(h *HandshakeResponse) { h.Auth = make([]byte, 300) },
			func(h *HandshakeResponse) bool { return len(h.Auth) == 300 },
		},
		{"old auth", func(h *HandshakeResponse) {
			h.Caps &^= ClientPluginAuthLenencClientData | ClientSecureConnection
			h.Auth = []byte("x")
		}, func(h *HandshakeResponse) bool { return string(h.Auth) == "x" }},
		{
			"attributes and zstd", func(h *HandshakeResponse) {},
			func(h *HandshakeResponse) bool { return string(h.Attrs) == "\x03_os\x05Linux" && h.ZstdLevel == 3 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := testResponse(allCaps)
			c.change(h)
			p := AppendHandshakeResponse(nil, 1, h)[HeaderLen:]
			var got HandshakeResponse
			if err := DecodeHandshakeResponse(p, server, &got); err != nil || !c.want(&got) || got.User != "user" {
				t.Errorf("%+v, %v", got, err)
			}
			for i := range p[:37] {
				if err := DecodeHandshakeResponse(p[:i], server, &got); err == nil {
					t.Errorf("%d bytes decode", i)
				}
			}
		})
	}
	var got HandshakeResponse
	if err := DecodeHandshakeResponse(make([]byte, 40), server, &got); !errors.Is(err, ErrOldProtocol) {
		t.Error(err)
	}
	// What the server did not offer does not count, and is not parsed.
	h := testResponse(allCaps)
	h.Caps &^= ClientConnectAttrs
	p := AppendHandshakeResponse(nil, 1, h)[HeaderLen:]
	if err := DecodeHandshakeResponse(p, allCaps&^ClientSSL, &got); err != nil || got.Caps.Has(ClientSSL) {
		t.Errorf("%s, %v", got.Caps, err)
	}
}

func TestSSLRequestIsToldFromResponse(t *testing.T) {
	ssl := AppendSSLRequest(nil, 1, &SSLRequest{Caps: ClientProtocol41})[HeaderLen:]
	if !IsSSLRequest(ssl) || IsSSLRequest(AppendHandshakeResponse(nil, 1, testResponse(allCaps))[HeaderLen:]) ||
		IsSSLRequest(make([]byte, 32)) {
		t.Error("wrong")
	}
}

func TestQueryText(t *testing.T) {
	for _, attrs := range [][]Attribute{nil, {{"a", "b"}}, slices.Repeat([]Attribute{{"name", "value"}}, 20)} {
		p := AppendQuery(nil, "SELECT 1", attrs, allCaps)[HeaderLen:]
		at, err := QueryText(p, allCaps)
		if err != nil || string(p[at:]) != "SELECT 1" {
			t.Errorf("%d attributes: %q, %v", len(attrs), p[at:], err)
		}
		for i := range at {
			if _, err := QueryText(p[:i], allCaps); err == nil {
				t.Errorf("%d attributes: %d bytes decode", len(attrs), i)
			}
		}
	}
	// Each type of value, one NULL among them.
	types := []struct {
		t    byte
		size int
	}{
		{TypeTiny, 1},
		{TypeShort, 2},
		{TypeLong, 4},
		{TypeLongLong, 8},
		{TypeFloat, 4},
		{TypeDouble, 8},
		{TypeNull, 0},
		{TypeYear, 2},
		{TypeInt24, 4},
	}
	p := []byte{byte(ComQuery), byte(len(types) + 3), 1, 0x01, 0, 1}
	for _, ty := range types {
		p = append(p, ty.t, 0, 0)
	}
	p = append(p, TypeDatetime, 0, 1, 'd', TypeTime, 0, 0, TypeBlob, 0, 0)
	for _, ty := range types[1:] { // the first is NULL
		p = append(p, make([]byte, ty.size)...)
	}
	p = append(append(append(p, 4, 1, 2, 3, 4), 0), AppendLenencString(nil, "blob")...)
	p = append(p, "DO 1"...)
	if at, err := QueryText(p, allCaps); err != nil || string(p[at:]) != "DO 1" {
		t.Errorf("%d: %q, %v", at, p[max(at, 0):], err)
	}
}

func TestStmtIDs(t *testing.T) {
	p := AppendStmtClose(nil, 0x01020304)[HeaderLen:]
	if id, ok := StmtID(p); !ok || id != 0x01020304 || p[0] != byte(ComStmtClose) {
		t.Errorf("%x", p)
	}
	if !PutStmtID(p, LastStmtID) || PutStmtID(p[:4], 1) {
		t.Error("PutStmtID")
	}
	if id, _ := StmtID(p); id != LastStmtID {
		t.Errorf("%x", p)
	}
	if _, ok := StmtID(p[:4]); ok {
		t.Error("short")
	}
}

func TestTextResultScans(t *testing.T) {
	for _, caps := range []Capability{
		ClientProtocol41, ClientProtocol41 | ClientDeprecateEOF,
		ClientProtocol41 | ClientDeprecateEOF | MariaDBClientCacheMetadata | MariaDBClientExtendedMetadata,
		ClientProtocol41 | ClientOptionalResultsetMetadata,
	} {
		b := AppendTextResult(nil, 1, []string{"a", "b"}, [][]string{{"1", ""}, {strings.Repeat("x", 300), "2"}}, StatusAutocommit, caps)
		got := scanChunks(t, ComQuery, caps, b, func() int { return 10 })
		if !got.done || got.rows != 2 || got.pos != len(b) {
			t.Errorf("%s: %+v", caps, got)
		}
		seq := byte(1)
		for r := bytes.NewReader(b); r.Len() > 0; seq++ {
			if _, s, err := ReadPacket(r, nil, 1<<20); err != nil || s != seq {
				t.Fatalf("packet %d: %d, %v", seq, s, err)
			}
		}
	}
}

func TestColumnExtended(t *testing.T) {
	c := textColumn("j", 10)
	c.Extended = []byte("\x01\x04json")
	var got Column
	caps := MariaDBClientExtendedMetadata
	if err := DecodeColumn(AppendColumn(nil, 1, c, caps)[HeaderLen:], caps, &got); err != nil ||
		string(got.Extended) != "\x01\x04json" || string(got.Name) != "j" || got.Type != TypeVarString {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRecordedDefinitionsDecode decodes what follows each column count.
func TestRecordedDefinitionsDecode(t *testing.T) {
	n := 0
	for _, rec := range recordings(t) {
		if rec.cmd != ComFieldList {
			continue
		}
		for r := bytes.NewReader(rec.response); r.Len() > 0; {
			p, _, err := ReadPacket(r, nil, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if p[0] >= HeaderEOF {
				continue
			}
			var c Column
			if err := DecodeColumn(p, rec.caps, &c); err != nil || !c.HasDefault || string(c.Catalog) != "def" {
				t.Errorf("%s: %+v, %v", rec.name, c, err)
			}
			if again := AppendColumn(nil, 0, &c, rec.caps)[HeaderLen:]; !bytes.Equal(again, p) {
				t.Errorf("%s: %x, encoded %x", rec.name, p, again)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("none")
	}
}

// TestRecordedStates: what the servers send decodes whole, and an entry encodes
// as they encode it.
func TestRecordedStates(t *testing.T) {
	kinds := map[StateKind]int{}
	for _, rec := range recordings(t) {
		got := scanChunks(t, rec.cmd, rec.caps, rec.response, func() int { return 1 << 20 })
		for _, e := range got.events {
			if e.ev != EvOK {
				continue
			}
			packet := rec.response[e.start : e.start+e.size]
			var ok OK
			if err := DecodeOK(packet[HeaderLen:], rec.caps, &ok); err != nil {
				t.Fatalf("%s: %v", rec.name, err)
			}
			if again := AppendOK(nil, packet[3], &ok, rec.caps); !bytes.Equal(again, packet) {
				t.Errorf("%s: %x, encoded %x", rec.name, packet, again)
			}
			var entry StateEntry
			r := NewStateReader(ok.State)
			for r.Next(&entry) {
				kinds[entry.Kind]++
			}
			all := FilterState(nil, ok.State, func(StateKind, []byte) bool { return true })
			if r.Err() != nil || !bytes.Equal(all, ok.State) {
				t.Errorf("%s: %v: %x, encoded %x", rec.name, r.Err(), ok.State, all)
			}
		}
	}
	for _, k := range []StateKind{StateSysVar, StateSchema, StateChanged, StateTxCharacteristics, StateTxState} {
		if kinds[k] == 0 {
			t.Errorf("none of kind %d in the recordings", k)
		}
	}
}
