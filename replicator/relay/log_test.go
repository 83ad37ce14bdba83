package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is an event as it comes from a leader.
type received struct {
	ev    binlog.Event
	whole []byte
}

// recording is what a server wrote.
func recording(t testing.TB, name string) (gtid.Flavor, []received) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "binlog", "testdata", name+".binlog"))
	must(t, err)
	flavor := gtid.MySQL
	if name[:2] == "ma" {
		flavor = gtid.MariaDB
	}
	var d decoder
	var out []received
	for len(b) > 0 {
		if rest, ok := bytes.CutPrefix(b, []byte("\xfebin")); ok { // another file
			b = rest
			continue
		}
		n := binary.LittleEndian.Uint32(b[9:])
		ev, _, err := d.event(b[:n])
		must(t, err)
		out = append(out, received{ev, b[:n]})
		b = b[n:]
	}
	return flavor, out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eachRecording(t *testing.T, f func(t *testing.T, flavor gtid.Flavor, events []received)) {
	for _, name := range []string{"mariadb-10.11", "mysql-9.7"} {
		t.Run(name, func(t *testing.T) {
			flavor, events := recording(t, name)
			f(t, flavor, events)
		})
	}
}

// txn is what a transaction is, as far as tests compare it.
type txn struct {
	gtid   string
	set    gtid.Set
	format string
	events []string
}

func collect(parts []*binlog.Part) (out []txn) {
	for _, p := range parts {
		if p.First {
			out = append(out, txn{gtid: p.Txn.GTID.String(), set: p.Txn.GTID.Set(), format: p.Format.ServerVersion})
		}
		last := &out[len(out)-1]
		for _, e := range p.Events {
			last.events = append(last.events, string(e.Raw))
		}
	}
	return out
}

// direct is what comes without a relay log.
func direct(t testing.TB, events []received) []txn {
	t.Helper()
	asm := binlog.NewAssembler(0)
	var parts []*binlog.Part
	for _, r := range events {
		if r.ev.Type == binlog.TypeFormatDescription {
			f, err := binlog.ParseFormatDescription(r.whole)
			must(t, err)
			asm.Format(f)
			continue
		}
		must(t, asm.Add(r.ev, func(p *binlog.Part) error { parts = append(parts, p); return nil }))
	}
	return collect(parts)
}

func equal(a, b []txn) bool {
	return slices.EqualFunc(a, b, func(x, y txn) bool {
		return x.gtid == y.gtid && x.format == y.format && slices.Equal(x.events, y.events)
	})
}

func add(t testing.TB, l *Log, events []received) {
	t.Helper()
	for _, r := range events {
		must(t, l.Add(r.ev, r.whole))
		must(t, l.Flush())
	}
}

// lacking are the events of what pos lacks, with those outside of transactions.
func lacking(t testing.TB, events []received, pos gtid.Set) (out []received) {
	t.Helper()
	var group binlog.Group
	leave := false
	for _, r := range events {
		place, err := group.Step(r.ev)
		must(t, err)
		if place == binlog.Begin {
			leave = pos.Contains(group.Txn().GTID.Set())
		}
		if !leave || place == binlog.Outside {
			out = append(out, r)
		}
	}
	return out
}

func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

var errOver = errors.New("the leader has gone")

// drain reads until the leader is known to be gone.
func drain(t testing.TB, c *Cursor) []txn {
	t.Helper()
	defer c.Close()
	var parts []*binlog.Part
	for {
		p, err := c.Next(t.Context())
		if errors.Is(err, errOver) {
			return collect(parts)
		}
		must(t, err)
		parts = append(parts, p)
	}
}

// TestSameAsDirect: what comes out behind any position is what the leader would have sent,
// however small the segments are.
func TestSameAsDirect(t *testing.T) {
	eachRecording(t, func(t *testing.T, flavor gtid.Flavor, events []received) {
		want := direct(t, events)
		for _, size := range []int64{1, 1500, 1 << 20} {
			l := open(t, Options{Dir: t.TempDir(), Flavor: flavor, SegmentSize: size})
			must(t, l.Begin(gtid.Set{}, Origin{Server: "one"}))
			cursors := []*Cursor{}
			half := len(events) / 2
			add(t, l, events[:half])
			_, now := l.Span()
			tail, err := l.Cursor(now, 0) // at the end
			must(t, err)
			add(t, l, events[half:])
			var pos gtid.Set
			for _, w := range want {
				c, err := l.Cursor(pos, 100)
				must(t, err)
				cursors = append(cursors, c)
				pos = pos.Union(w.set)
			}
			if _, end := l.Span(); !end.Equal(pos) {
				t.Fatalf("it ends at %s, not at %s", end, pos)
			}
			l.Suspend(errOver)
			for i, c := range cursors {
				if got := drain(t, c); !equal(got, want[i:]) {
					t.Fatalf("segments of %d: behind %d transactions: %d come, %d are there", size, i, len(got), len(want)-i)
				}
			}
			if got := drain(t, tail); !equal(got, want[len(want)-len(got):]) || len(got) == 0 || now.Contains(got[0].set) {
				t.Fatalf("segments of %d: behind %s came %d transactions", size, now, len(got))
			}
			if _, err := l.Cursor(pos, 0); !errors.Is(err, ErrNotHere) {
				t.Errorf("a cursor of a log that is not written to: %v", err)
			}
		}
	})
}

// TestCutAnywhere: wherever the last segment ends after a crash, the log goes on from the last
// whole transaction.
func TestCutAnywhere(t *testing.T) {
	eachRecording(t, func(t *testing.T, flavor gtid.Flavor, events []received) {
		want := direct(t, events)
		from := t.TempDir()
		l, err := Open(Options{Dir: from, Flavor: flavor, SegmentSize: 6000})
		must(t, err)
		must(t, l.Begin(gtid.Set{}, Origin{Server: "one", Started: 10}))
		add(t, l, events)
		must(t, l.Close())
		names, err := filepath.Glob(filepath.Join(from, "*"+suffix))
		must(t, err)
		if len(names) < 2 {
			t.Fatalf("segments: %q", names)
		}
		last, err := os.ReadFile(names[len(names)-1])
		must(t, err)
		ends := map[string]bool{}
		for cut := 0; cut < len(last); cut += 1 + cut%47 {
			dir := t.TempDir()
			for _, name := range names[:len(names)-1] {
				b, err := os.ReadFile(name)
				must(t, err)
				must(t, os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600))
			}
			torn := slices.Clone(last[:cut])
			if cut%2 == 1 && cut > 9 {
				torn[cut-9] ^= 4 // not short, but wrong
			}
			must(t, os.WriteFile(filepath.Join(dir, filepath.Base(names[len(names)-1])), torn, 0o600))
			l := open(t, Options{Dir: dir, Flavor: flavor, SegmentSize: 6000})
			of, ok := l.Origin()
			if begin, _ := l.Span(); !ok || !of.Same(Origin{Server: "one", Started: 11}) || !begin.IsEmpty() {
				t.Fatalf("cut at %d: of %v, from %s", cut, of, begin)
			}
			_, end := l.Span()
			ends[end.String()] = true
			l.Resume()
			c, err := l.Cursor(gtid.Set{}, 0)
			must(t, err)
			add(t, l, lacking(t, events, end))
			l.Suspend(errOver)
			if got := drain(t, c); !equal(got, want) {
				t.Fatalf("cut at %d, gone on from %s: %d transactions of %d", cut, end, len(got), len(want))
			}
			must(t, l.Close())
		}
		if len(ends) < 3 {
			t.Errorf("it always went on from the same: %v", ends)
		}
	})
}

// TestNeverEnds: a transaction that is cut off by the loss of the stream, or by the death of the
// leader, is not seen; what comes instead is.
func TestNeverEnds(t *testing.T) {
	eachRecording(t, func(t *testing.T, flavor gtid.Flavor, events []received) {
		want := direct(t, events)
		l := open(t, Options{Dir: t.TempDir(), Flavor: flavor})
		must(t, l.Begin(gtid.Set{}, Origin{}))
		c, err := l.Cursor(gtid.Set{}, 0)
		must(t, err)
		for n := range events {
			_, end := l.Span()
			rest := lacking(t, events, end)
			must(t, l.Add(events[0].ev, events[0].whole))
			for i, r := range rest[1:min(len(rest), 2+n%5)] {
				must(t, l.Add(r.ev, r.whole))
				if i%2 == 1 {
					must(t, l.Flush())
				}
			}
			if n%2 == 0 {
				l.Suspend(errOver)
				l.Resume()
			} else {
				must(t, l.Add(events[0].ev, events[0].whole)) // another file begins
				must(t, l.Flush())
			}
		}
		_, end := l.Span()
		add(t, l, lacking(t, events, end))
		l.Suspend(errOver)
		if got := drain(t, c); !equal(got, want) {
			t.Fatalf("%d transactions of %d", len(got), len(want))
		}
	})
}

// TestBound: the oldest segments go, and who needs them is told so.
func TestBound(t *testing.T) {
	flavor, events := recording(t, "mariadb-10.11")
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, Flavor: flavor, MaxSize: 9000, SegmentSize: 2000})
	must(t, l.Begin(gtid.Set{}, Origin{}))
	slow, err := l.Cursor(gtid.Set{}, 0)
	must(t, err)
	defer slow.Close()
	add(t, l, events)
	begin, end := l.Span()
	if begin.IsEmpty() || !end.Contains(begin) {
		t.Fatalf("from %s to %s", begin, end)
	}
	var size int64
	names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	for _, name := range names {
		st, err := os.Stat(name)
		must(t, err)
		size += st.Size()
	}
	if size > 9000+4000 { // the largest transaction there is smaller
		t.Errorf("%d bytes in %d segments", size, len(names))
	}
	if _, err := l.Cursor(gtid.Set{}, 0); !errors.Is(err, ErrNotHere) {
		t.Errorf("from before the log: %v", err)
	}
	for {
		if _, err = slow.Next(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNotHere) {
		t.Errorf("a cursor that was overtaken: %v", err)
	}
	if c, err := l.Cursor(begin, 0); err != nil {
		t.Error(err)
	} else {
		must(t, l.Begin(end, Origin{}))
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrNotHere) {
			t.Errorf("a cursor of what was given up: %v", err)
		}
		c.Close()
	}
	if _, err := Open(Options{Dir: dir, Flavor: flavor}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
}

// TestDiskFault: what the disk does not give is not taken for torn, and stays.
func TestDiskFault(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "00000000000000000001"+suffix)
	must(t, os.Mkdir(name, 0o700)) // reading it is an error
	if l, err := Open(Options{Dir: dir, Flavor: gtid.MySQL}); err == nil {
		_ = l.Close()
		t.Error("it was opened all the same")
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

// TestManyReaders: all see the same while it is written.
func TestManyReaders(t *testing.T) {
	flavor, events := recording(t, "mysql-9.7")
	want := direct(t, events)
	l := open(t, Options{Dir: t.TempDir(), Flavor: flavor, SegmentSize: 3000})
	must(t, l.Begin(gtid.Set{}, Origin{}))
	var wg sync.WaitGroup
	for i := range 4 {
		c, err := l.Cursor(gtid.Set{}, 50*i)
		must(t, err)
		wg.Go(func() {
			if got := drain(t, c); !equal(got, want) {
				t.Errorf("reader %d: %d transactions of %d", i, len(got), len(want))
			}
		})
	}
	add(t, l, events)
	l.Suspend(errOver)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	l.Resume()
	_, end := l.Span()
	c, err := l.Cursor(end, 0)
	must(t, err)
	defer c.Close()
	cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzSegment: of any bytes that stand where a segment should be, what is taken for whole can be read.
func FuzzSegment(f *testing.F) {
	for _, name := range []string{"mariadb-10.11", "mysql-9.7"} {
		flavor, events := recording(f, name)
		dir := f.TempDir()
		l, err := Open(Options{Dir: dir, Flavor: flavor})
		must(f, err)
		must(f, l.Begin(gtid.Set{}, Origin{Server: "s"}))
		add(f, l, events[:min(len(events), 40)])
		must(f, l.Close())
		names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		b, err := os.ReadFile(names[0])
		must(f, err)
		f.Add(b, flavor == gtid.MySQL)
		f.Add(b[:len(b)/2], flavor == gtid.MySQL)
	}
	f.Add([]byte(magic), true)
	f.Fuzz(func(t *testing.T, b []byte, mysql bool) {
		flavor := gtid.MariaDB
		if mysql {
			flavor = gtid.MySQL
		}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "00000000000000000007"+suffix), b, 0o600))
		l, err := Open(Options{Dir: dir, Flavor: flavor})
		must(t, err)
		defer func() { _ = l.Close() }()
		if _, ok := l.Origin(); !ok {
			return
		}
		begin, _ := l.Span()
		l.Resume()
		c, err := l.Cursor(begin, 0)
		must(t, err)
		l.Suspend(errOver)
		defer c.Close()
		for {
			if _, err := c.Next(t.Context()); err != nil {
				if !errors.Is(err, errOver) && !errors.Is(err, binlog.ErrMalformed) { // what a transaction holds is checked when it is unpacked
					t.Fatal(err)
				}
				return
			}
		}
	})
}
