package wire

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scanned is what a scanner said of a stream.
type scanned struct {
	events []seen
	pos    int
	rows   uint64
	bad    bool
	done   bool
}

// scanChunks feeds stream to a scanner as a connection would: chunk says how
// many further bytes arrive each time.
func scanChunks(t testing.TB, cmd Command, caps Capability, stream []byte, chunk func() int) scanned {
	t.Helper()
	var s Scanner
	s.Begin(cmd, caps)
	var out scanned
	arrived, start := 0, 0
	for !s.Done() {
		forward, ev := s.Scan(stream[start:arrived])
		if forward < 0 || start+forward > arrived {
			t.Fatalf("forward %d of %d bytes", forward, arrived-start)
		}
		start += forward
		if ev == EvMalformed {
			out.bad = true
			break
		}
		if ev != EvMore {
			if start+s.Size() > arrived {
				t.Fatalf("%s: a packet of %d bytes, %d are there", ev, s.Size(), arrived-start)
			}
			out.events = append(out.events, seen{ev, start, s.Size(), s.More(), s.Done()})
			start += s.Size()
			if ev == EvLocalInfile {
				s.ResumeInfile()
			}
			continue
		}
		if s.Size() != 0 {
			t.Fatalf("size %d without an event", s.Size())
		}
		if need := s.Need(); need != 0 && need <= arrived-start {
			t.Fatalf("needs %d bytes and has %d", need, arrived-start)
		}
		if arrived == len(stream) {
			break
		}
		arrived = min(len(stream), arrived+max(1, chunk()))
	}
	out.pos, out.rows, out.done = start, s.Rows(), s.Done()
	return out
}

// compareOracle checks a scan against the oracle.
func compareOracle(t testing.TB, cmd Command, caps Capability, stream []byte, got scanned) {
	t.Helper()
	o, whole, bad := runOracle(cmd, caps, stream)
	if bad && !got.bad || whole && got.bad {
		t.Fatalf("malformed: scanner %t, oracle %t", got.bad, bad)
	}
	// The scanner sees that a packet is malformed before it is complete.
	if !slices.Equal(got.events, o.events) {
		t.Fatalf("events\n%v, oracle\n%v", got.events, o.events)
	}
	if got.done != whole {
		t.Fatalf("done: scanner %t, oracle %t", got.done, whole)
	}
	if whole && got.pos != o.pos {
		t.Fatalf("response of %d bytes, oracle %d", got.pos, o.pos)
	}
	if whole && got.rows != o.rows {
		t.Fatalf("%d rows, oracle %d", got.rows, o.rows)
	}
}

// replay scans a recording in chunks of at most size bytes.
func replay(t *testing.T, rec recording, size int) {
	t.Helper()
	got := scanChunks(t, rec.cmd, rec.caps, rec.response, func() int { return size })
	compareOracle(t, rec.cmd, rec.caps, rec.response, got)
	if !got.done || got.pos != len(rec.response) {
		t.Errorf("%s: done %t after %d of %d bytes\n%v\n%x", rec.name, got.done, got.pos,
			len(rec.response), got.events, rec.response)
	}
}

func recordings(t testing.TB) (recs []recording) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "responses", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		some, err := parseRecordings(text)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for i := range some {
			some[i].name = strings.TrimSuffix(filepath.Base(f), ".txt") + ": " + some[i].name
		}
		recs = append(recs, some...)
	}
	return recs
}

func TestScannerReplaysRecordings(t *testing.T) {
	for _, rec := range recordings(t) {
		t.Run(rec.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 4, 5, 7, 16, len(rec.response) + 1} {
				replay(t, rec, size)
			}
		})
	}
}

// TestScannerEverySplit gives each recording in two pieces, at every position,
// and at random ones.
func TestScannerEverySplit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, rec := range recordings(t) {
		whole := scanChunks(t, rec.cmd, rec.caps, rec.response, func() int { return len(rec.response) })
		check := func(chunk func() int) {
			got := scanChunks(t, rec.cmd, rec.caps, rec.response, chunk)
			if !slices.Equal(got.events, whole.events) || got.pos != whole.pos || got.rows != whole.rows || !got.done {
				t.Fatalf("%s: %v, whole %v", rec.name, got, whole)
			}
		}
		if len(rec.response) < 2000 {
			for at := 1; at < len(rec.response); at++ {
				next := at
				check(func() int { n := next; next = len(rec.response); return n })
			}
		}
		for range 20 {
			check(func() int { return 1 + rnd.IntN(40) })
		}
	}
}

func FuzzScanner(f *testing.F) {
	for i, rec := range recordings(f) {
		if i%7 == 0 {
			f.Add(byte(rec.cmd), uint64(rec.caps), rec.response, uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, cmd byte, caps uint64, stream []byte, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		got := scanChunks(t, Command(cmd), Capability(caps), stream, func() int { return 1 + rnd.IntN(30) })
		if o, _, bad := runOracle(Command(cmd), Capability(caps), stream); got.bad && !bad {
			// The scanner saw earlier what the oracle would see with the
			// rest of the packet; before it they agree.
			if !slices.Equal(got.events, o.events) {
				t.Fatalf("events %v, oracle %v", got.events, o.events)
			}
			return
		}
		compareOracle(t, Command(cmd), Capability(caps), stream, got)
	})
}

// stream builds responses.
type stream struct {
	b    []byte
	seq  byte
	caps Capability
}

func (s *stream) packet(payload []byte) {
	s.seq++
	s.b, s.seq = appendPacket(s.b, s.seq, payload)
	s.seq--
}

func (s *stream) columns(n int) {
	s.b = AppendColumnCount(s.b, s.seq+1, n, s.caps)
	s.seq++
	for range n {
		s.b = AppendColumn(s.b, s.seq+1, textColumn("c", 10), s.caps)
		s.seq++
	}
	if !s.caps.Has(ClientDeprecateEOF) {
		s.eof(0)
	}
}

func (s *stream) eof(status Status) {
	s.b = AppendEOF(s.b, s.seq+1, status, 0)
	s.seq++
}

func (s *stream) end(status Status) {
	if !s.caps.Has(ClientDeprecateEOF) {
		s.eof(status)
		return
	}
	s.b = AppendOK(s.b, s.seq+1, &OK{EOF: true, Status: status}, s.caps)
	s.seq++
}

func eachEOFMode(t *testing.T, f func(t *testing.T, caps Capability)) {
	t.Run("eof", func(t *testing.T) { f(t, ClientProtocol41) })
	t.Run("deprecate eof", func(t *testing.T) { f(t, ClientProtocol41|ClientDeprecateEOF|ClientSessionTrack) })
}

// TestScannerLargeRows: rows over 16 MiB come in several packets, of which only
// the first has a first byte, and whose last may be empty.
func TestScannerLargeRows(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
	}{
		{"just below", MaxPayload - 1},
		{"exactly one packet", MaxPayload},
		{"one more byte", MaxPayload + 1},
		{"exactly two packets", 2 * MaxPayload},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachEOFMode(t, func(t *testing.T, caps Capability) {
				// Every continuation starts with what would be ERR or EOF.
				for _, first := range []byte{0xfe, 0xfd, 0x00} {
					if first == 0xfe && c.size < MaxPayload {
						continue // no row of 16 MiB starts so
					}
					row := bytes.Repeat([]byte{0xff}, c.size)
					row[0] = first
					s := &stream{caps: caps}
					s.columns(1)
					s.packet([]byte{1, 'a'})
					s.packet(row)
					s.packet([]byte{1, 'b'})
					s.end(StatusAutocommit)
					for _, size := range []int{1000, 65536, 1 << 20, len(s.b)} {
						got := scanChunks(t, ComQuery, caps, s.b, func() int { return size })
						if !got.done || got.pos != len(s.b) || got.rows != 3 || len(got.events) != 1 {
							t.Fatalf("size %d: %+v, want %d bytes", size, got, len(s.b))
						}
					}
					compareOracle(t, ComQuery, caps, s.b, scanChunks(t, ComQuery, caps, s.b, func() int { return 1 << 20 }))
				}
			})
		})
	}
}

func TestScannerDetails(t *testing.T) {
	eof, dep := ClientProtocol41, ClientProtocol41|ClientDeprecateEOF|ClientSessionTrack
	build := func(caps Capability, f func(s *stream)) []byte {
		s := &stream{caps: caps}
		f(s)
		return s.b
	}
	for _, c := range []struct {
		name   string
		cmd    Command
		caps   Capability
		stream []byte
		want   []Event
	}{
		{"no response", ComStmtClose, dep, nil, nil},
		{
			"row starting with NULL is no infile request", ComQuery, eof,
			build(eof, func(s *stream) { s.columns(1); s.packet([]byte{0xfb}); s.end(0) }),
			[]Event{EvEOF},
		},
		{
			"binary row looks like OK", ComStmtExecute, dep,
			build(dep, func(s *stream) { s.columns(1); s.packet([]byte{0, 0, 0, 0, 0, 0, 0}); s.end(0) }),
			[]Event{EvOK},
		},
		{
			"row of nine bytes starting with 0xfe without deprecate eof", ComQuery, eof,
			build(eof, func(s *stream) {
				s.columns(1)
				s.packet([]byte{0xfe, 0, 0, 0, 0, 0, 0, 0, 0})
				s.end(0)
			}),
			[]Event{EvEOF},
		},
		{
			"large session state at the end", ComQuery, dep,
			build(dep, func(s *stream) {
				s.columns(1)
				s.packet([]byte{1, 'a'})
				state := AppendStateEntry(nil, &StateEntry{Kind: StateGTIDs, Value: bytes.Repeat([]byte("g"), 100000)})
				s.b = AppendOK(s.b, s.seq+1, &OK{EOF: true, Status: StatusSessionStateChange, State: state}, dep)
			}),
			[]Event{EvOK},
		},
		{
			"infile after another result", ComQuery, eof,
			build(eof, func(s *stream) {
				s.columns(1)
				s.end(StatusMoreResults)
				s.packet([]byte("\xfbname"))
				s.b = AppendOK(s.b, 9, &OK{}, eof)
			}),
			[]Event{EvEOF, EvLocalInfile, EvOK},
		},
		{
			"progress before, within and after columns", ComQuery, eof | MariaDBClientProgress,
			build(eof, func(s *stream) {
				report := []byte{0xff, 0xff, 0xff, 1, 1, 2, 0, 0, 0, 1, 'x'}
				s.packet(report)
				s.columns(1)
				s.packet(report)
				s.end(0)
			}),
			[]Event{EvEOF},
		},
		{
			"code 65535 without progress", ComQuery, eof,
			build(eof, func(s *stream) { s.packet([]byte{0xff, 0xff, 0xff, 1, 1, 2, 0, 0, 0, 1, 'x'}) }),
			[]Event{EvErr},
		},
		{
			"error among columns", ComQuery, eof,
			build(eof, func(s *stream) { s.packet([]byte{2}); s.b = AppendErr(s.b, 2, NewErr(ErUnknown, "x"), eof) }),
			[]Event{EvErr},
		},
		{
			"column count without its flag", ComQuery, dep | MariaDBClientCacheMetadata,
			build(dep, func(s *stream) { s.columns(2); s.packet([]byte{0xfb, 0xfb}); s.end(0) }),
			[]Event{EvOK},
		},
		{
			"no metadata", ComQuery, dep | ClientOptionalResultsetMetadata,
			build(dep, func(s *stream) { s.packet([]byte{2, 0}); s.packet([]byte{0xfb, 0xfb}); s.end(0) }),
			[]Event{EvOK},
		},
		{
			"no metadata with eof", ComQuery, eof | ClientOptionalResultsetMetadata,
			build(eof, func(s *stream) { s.packet([]byte{2, 0}); s.eof(0); s.packet([]byte{0xfb, 0xfb}); s.end(0) }),
			[]Event{EvEOF},
		},
		{
			"change user with an exchange", ComChangeUser, dep,
			build(dep, func(s *stream) {
				s.packet([]byte("\xfecaching_sha2_password\x00salt\x00"))
				s.packet([]byte{1, 3})
				s.b = AppendOK(s.b, 5, &OK{}, dep)
			}),
			[]Event{EvAuth, EvAuth, EvOK},
		},
		{"empty packet", ComQuery, eof, []byte{0, 0, 0, 1}, nil},
		{"no columns", ComQuery, eof, []byte{3, 0, 0, 1, 0xfc, 0, 0}, nil},
		{"ok cut short", ComQuery, eof, []byte{3, 0, 0, 1, 0, 0, 0}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 3, len(c.stream) + 1} {
				got := scanChunks(t, c.cmd, c.caps, c.stream, func() int { return size })
				compareOracle(t, c.cmd, c.caps, c.stream, got)
				var evs []Event
				for _, e := range got.events {
					evs = append(evs, e.ev)
				}
				if !slices.Equal(evs, c.want) {
					t.Errorf("events %v, want %v", evs, c.want)
				}
			}
		})
	}
}

// TestScannerLeavesTheNextResponse: bytes after the end are not touched.
func TestScannerLeavesTheNextResponse(t *testing.T) {
	eachEOFMode(t, func(t *testing.T, caps Capability) {
		s := &stream{caps: caps}
		s.columns(1)
		s.packet([]byte{1, 'a'})
		s.end(StatusAutocommit)
		end := len(s.b)
		both := append(s.b, s.b...)
		got := scanChunks(t, ComQuery, caps, both, func() int { return len(both) })
		if !got.done || got.pos != end {
			t.Fatalf("done %t at %d, want %d", got.done, got.pos, end)
		}
	})
}

func TestScannerState(t *testing.T) {
	s := &stream{caps: ClientProtocol41}
	s.columns(1)
	s.packet([]byte{1, 'a'})
	s.b = AppendEOF(s.b, 5, StatusAutocommit|StatusNoIndexUsed, 3)
	var sc Scanner
	sc.Begin(ComQuery, s.caps)
	forward, ev := sc.Scan(s.b)
	if ev != EvEOF || forward != len(s.b)-9 || sc.Size() != 9 || !sc.Done() || sc.More() {
		t.Fatalf("%s at %d, size %d, done %t, more %t", ev, forward, sc.Size(), sc.Done(), sc.More())
	}
	if sc.Seq() != 5 || sc.Warnings() != 3 || sc.Rows() != 1 || sc.Status() != StatusAutocommit|StatusNoIndexUsed {
		t.Errorf("seq %d, warnings %d, rows %d, status %x", sc.Seq(), sc.Warnings(), sc.Rows(), sc.Status())
	}
}

// TestScannerHasStatus: an answer without a status says nothing of transactions.
func TestScannerHasStatus(t *testing.T) {
	dep := ClientProtocol41 | ClientDeprecateEOF
	for _, c := range []struct {
		name   string
		cmd    Command
		stream []byte
		want   bool
	}{
		{"prepared", ComStmtPrepare, AppendStmtPrepareOK(nil, 1, &StmtPrepareOK{ID: 1}, dep), false},
		{"statistics", ComStatistics, append([]byte{6, 0, 0, 1}, "Uptime"...), false},
		{"error", ComQuery, AppendErr(nil, 1, &Err{Code: 1064, State: "42000", Message: "no"}, dep), false},
		{"no flag set", ComQuery, AppendOK(nil, 1, &OK{}, dep), true},
	} {
		var sc Scanner
		sc.Begin(c.cmd, dep)
		for !sc.Done() {
			forward, ev := sc.Scan(c.stream)
			if ev == EvMore && forward == 0 || ev == EvMalformed {
				t.Fatalf("%s: %s", c.name, ev)
			}
			c.stream = c.stream[forward+sc.Size():]
		}
		if got := sc.HasStatus(); got != c.want {
			t.Errorf("%s: has a status: %t, want %t", c.name, got, c.want)
		}
	}
}

// TestScannerBeginExecute: the flag of a cursor ends a result only where the
// client asked for one.
func TestScannerBeginExecute(t *testing.T) {
	s := &stream{caps: ClientProtocol41}
	s.columns(1)
	b := s.b[:len(s.b)-9]
	b = AppendEOF(b, 3, StatusCursorExists, 0)
	cut := len(b)
	b = AppendEOF(append(b, 7, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0), 5, 0, 0)
	for flags, end := range map[byte]int{CursorTypeNone: len(b), CursorParameterCount: len(b), CursorTypeReadOnly: cut} {
		var sc Scanner
		sc.BeginExecute(flags, s.caps)
		forward, ev := sc.Scan(b)
		if ev != EvEOF || !sc.Done() || forward+sc.Size() != end {
			t.Errorf("flags %d: %s at %d+%d, want the end at %d", flags, ev, forward, sc.Size(), end)
		}
	}
}

// bigResult is a result of 50,000 rows, about 10 MB.
func bigResult(caps Capability) []byte {
	s := &stream{caps: caps}
	s.columns(4)
	row := bytes.Repeat([]byte("x"), 200)
	row[0] = 199
	for range 50000 {
		s.packet(row)
	}
	s.end(StatusAutocommit)
	return s.b
}

func scanAll(tb testing.TB, s *Scanner, b []byte, step int) {
	for start, arrived := 0, 0; !s.Done(); {
		arrived = min(len(b), arrived+step)
		forward, ev := s.Scan(b[start:arrived])
		start += forward + s.Size()
		if ev == EvMalformed || start == len(b) && !s.Done() {
			tb.Fatal("no end")
		}
	}
}

func TestScannerDoesNotAllocate(t *testing.T) {
	caps := ClientProtocol41 | ClientDeprecateEOF
	b := bigResult(caps)
	var s Scanner
	if n := testing.AllocsPerRun(10, func() {
		s.Begin(ComQuery, caps)
		scanAll(t, &s, b, 32<<10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScanner(b *testing.B) {
	caps := ClientProtocol41 | ClientDeprecateEOF
	run := func(name string, resp []byte, step int) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(resp)))
			b.ReportAllocs()
			var s Scanner
			for b.Loop() {
				s.Begin(ComQuery, caps)
				scanAll(b, &s, resp, step)
			}
		})
	}
	run("rows=50000", bigResult(caps), 32<<10)
	one := AppendTextResult(nil, 1, []string{"id"}, [][]string{{"1"}}, StatusAutocommit, caps)
	run("rows=1", one, len(one))
	ok := AppendOK(nil, 1, &OK{Status: StatusAutocommit}, caps)
	run("ok", ok, len(ok))
}
