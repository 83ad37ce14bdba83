package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/iotest"
	"time"
)

// bytesConn is a net.Conn over a reader and a buffer.
type bytesConn struct {
	net.Conn
	r io.Reader
	w bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)  { return c.r.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error) { return c.w.Write(p) }

func compressed(t testing.TB, conn net.Conn, a Compression, level int) *CompressedConn {
	t.Helper()
	c, err := NewCompressedConn(conn, a, level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func eachCompression(t *testing.T, f func(t *testing.T, a Compression)) {
	for _, a := range []Compression{CompressionZlib, CompressionZstd} {
		t.Run(a.String(), func(t *testing.T) { f(t, a) })
	}
}

// sample is data of n bytes that compresses more or less.
func sample(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	letters := 1 + rnd.IntN(256)
	for i := range b {
		b[i] = byte(rnd.IntN(letters))
	}
	return b
}

func TestCompressedStream(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	eachCompression(t, func(t *testing.T, a Compression) {
		for _, size := range []int{1, minCompress - 1, minCompress, 300, keepBuffer, writeChunk, writeChunk + 1, 3 << 20} {
			for level := range 4 {
				// As packets, so that the numbers in them stay.
				want := AppendPacket(nil, 0, sample(rnd, size))
				size := len(want)
				out := &bytesConn{}
				w := compressed(t, out, a, level)
				if n, err := w.Write(want); n != size || err != nil {
					t.Fatal(n, err)
				}
				for name, r := range map[string]io.Reader{
					"whole": bytes.NewReader(out.w.Bytes()),
					"half":  iotest.HalfReader(bytes.NewReader(out.w.Bytes())),
					"eof":   iotest.DataErrReader(bytes.NewReader(out.w.Bytes())),
				} {
					c := compressed(t, &bytesConn{r: r}, a, 0)
					got, err := io.ReadAll(c)
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%d bytes, level %d, %s: %d bytes, %v", size, level, name, len(got), err)
					}
					if c.unpack != nil || c.packed != nil || c.Buffered() {
						t.Errorf("%d bytes: an idle connection holds something", size)
					}
				}
			}
		}
	})
}

func TestCompressedCutShort(t *testing.T) {
	eachCompression(t, func(t *testing.T, a Compression) {
		out := &bytesConn{}
		if _, err := compressed(t, out, a, 0).Write(bytes.Repeat([]byte("abc"), 100)); err != nil {
			t.Fatal(err)
		}
		b := out.w.Bytes()
		for i := 1; i < len(b); i++ {
			c := compressed(t, &bytesConn{r: bytes.NewReader(b[:i])}, a, 0)
			if _, err := io.ReadAll(c); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes: %v", i, len(b), err)
			}
		}
	})
}

// TestCompressedMalformed: what a peer can say wrongly, each an error.
func TestCompressedMalformed(t *testing.T) {
	eachCompression(t, func(t *testing.T, a Compression) {
		out := &bytesConn{}
		if _, err := compressed(t, out, a, 0).Write(bytes.Repeat([]byte("abc"), 100)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			change func(b []byte) []byte
		}{
			{"plain length one less", func(b []byte) []byte { b[4]--; return b }},
			{"plain length one more", func(b []byte) []byte { b[4]++; return b }},
			{"trailing byte", func(b []byte) []byte { b[0]++; return append(b, 0) }},
			{"no bytes", func(b []byte) []byte { b[0] = 0; return b[:7] }},
			{"garbage", func(b []byte) []byte { copy(b[7:], "garbage"); return b }},
		} {
			conn := compressed(t, &bytesConn{r: bytes.NewReader(c.change(bytes.Clone(out.w.Bytes())))}, a, 0)
			if _, err := io.ReadAll(conn); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v", c.name, err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: reads on", c.name)
			}
		}
		conn := compressed(t, &bytesConn{r: bytes.NewReader([]byte{1, 0, 0, 5, 0, 0, 0, 'x'})}, a, 0)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, ErrSequence) {
			t.Errorf("sequence: %v", err)
		}
	})
	for _, c := range []struct {
		a     Compression
		level int
	}{{0, 0}, {CompressionZlib, 10}, {CompressionZlib, -1}, {CompressionZstd, 23}} {
		if _, err := NewCompressedConn(nil, c.a, c.level); err == nil {
			t.Errorf("%s level %d", c.a, c.level)
		}
	}
}

// TestCompressedSequence: both directions count on, and a command starts anew.
func TestCompressedSequence(t *testing.T) {
	client, server := &bytesConn{}, &bytesConn{}
	client.r, server.r = &server.w, &client.w
	c, s := compressed(t, client, CompressionZlib, 0), compressed(t, server, CompressionZlib, 0)
	buf := make([]byte, 100)
	for range 3 {
		c.ResetSeq()
		s.ResetSeq()
		for want := byte(0); want < 4; want += 2 {
			if _, err := c.Write([]byte("to server")); err != nil || client.w.Bytes()[3] != want {
				t.Fatalf("client sent %d, want %d: %v", client.w.Bytes()[3], want, err)
			}
			if _, err := s.Read(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte("to client")); err != nil || server.w.Bytes()[3] != want+1 {
				t.Fatalf("server sent %d, want %d: %v", server.w.Bytes()[3], want+1, err)
			}
			if _, err := c.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The number wraps.
	for range 300 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompressedReadAfterDeadline: a deadline in the middle of a packet loses
// nothing.
func TestCompressedReadAfterDeadline(t *testing.T) {
	eachCompression(t, func(t *testing.T, a Compression) {
		want := AppendPacket(nil, 0, bytes.Repeat([]byte("hello "), 50))
		out := &bytesConn{}
		if _, err := compressed(t, out, a, 0).Write(want); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := compressed(t, near, a, 0)
		var got []byte
		buf := make([]byte, 1000)
		for _, b := range out.w.Bytes() {
			sent := make(chan struct{})
			go func() {
				_, _ = far.Write([]byte{b})
				close(sent)
			}()
			for done := false; !done; {
				_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
				n, err := c.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				select {
				case <-sent:
					done = true
				default:
				}
			}
		}
		for len(got) < len(want) {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// TestCompressedTrustsNoHeader: claims of 16 MiB take no memory.
func TestCompressedTrustsNoHeader(t *testing.T) {
	eachCompression(t, func(t *testing.T, a Compression) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 50 {
			c := compressed(t, &bytesConn{r: bytes.NewReader([]byte{0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 'x', 'y'})}, a, 0)
			_, _ = c.Read(make([]byte, 10))
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / 50; used > 64<<10 {
			t.Errorf("%d bytes for a claim", used)
		}
	})
}

// TestCompressedNumbersInside: whatever numbers a client gives the packets
// within, they come out as an uncompressed client would number them.
func TestCompressedNumbersInside(t *testing.T) {
	eachCompression(t, func(t *testing.T, a Compression) {
		client, server := &bytesConn{}, &bytesConn{}
		client.r, server.r = &server.w, &client.w
		c, s := compressed(t, client, a, 0), compressed(t, server, a, 0)
		read := func(want ...byte) {
			t.Helper()
			for i, w := range want {
				var h [HeaderLen]byte
				if _, err := io.ReadFull(s, h[:]); err != nil || h[3] != w {
					t.Fatalf("packet %d has number %d, want %d: %v", i, h[3], w, err)
				}
				n, _ := Header(h[:])
				if _, err := io.CopyN(io.Discard, s, int64(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for command := range 2 {
			if command == 0 {
				s.ResetSeq()
			}
			// A command in two packets, and a file after the server's answer.
			c.ResetSeq()
			b := AppendPacket(nil, 0, make([]byte, MaxPayload+5))
			b[HeaderLen+MaxPayload+3] = 77
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			read(0, 1)
			if _, err := s.Write(AppendPacket(nil, 2, []byte("\xfbname"))); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(AppendPacket(AppendPacket(nil, 99, []byte("file")), 101, nil)); err != nil {
				t.Fatal(err)
			}
			read(3, 4)
		}
	})
}

func TestNegotiatedCompression(t *testing.T) {
	for caps, want := range map[Capability]Compression{
		0: 0, ClientCompress: CompressionZlib, ClientZstdCompression: CompressionZstd,
		ClientCompress | ClientZstdCompression: CompressionZlib,
	} {
		if got, ok := NegotiatedCompression(caps); got != want || ok != (want != 0) {
			t.Errorf("%s: %s, %t", caps, got, ok)
		}
	}
}

func FuzzCompressedRead(f *testing.F) {
	for _, a := range []Compression{CompressionZlib, CompressionZstd} {
		out := &bytesConn{}
		c := compressed(f, out, a, 1)
		for _, n := range []int{10, 60, 1000} {
			_, _ = c.Write(bytes.Repeat([]byte("ab"), n))
		}
		f.Add(out.w.Bytes(), a == CompressionZstd)
	}
	f.Fuzz(func(t *testing.T, b []byte, useZstd bool) {
		a := CompressionZlib
		if useZstd {
			a = CompressionZstd
		}
		c := compressed(t, &bytesConn{r: iotest.HalfReader(bytes.NewReader(b))}, a, 0)
		n, err := io.Copy(io.Discard, io.LimitReader(c, 8<<20))
		if err == nil && n > 0 && len(b) < compHeaderLen {
			t.Fatalf("%d bytes from %x", n, b)
		}
		if err != nil && (c.unpack != nil || c.packed != nil) {
			t.Fatal("a broken connection holds something")
		}
	})
}

// TestCompressedServer talks to a real server with the compressed protocol.
func TestCompressedServer(t *testing.T) {
	for _, caps := range []Capability{ClientCompress, ClientZstdCompression} {
		a, _ := NegotiatedCompression(caps)
		t.Run(a.String(), func(t *testing.T) {
			probe := dialTest(t, baseCaps)
			if !probe.greeting.Caps.Has(caps) {
				t.Skipf("the server has no %s", a)
			}
			c := dialTest(t, baseCaps|caps)
			conn := compressed(t, c.Conn, a, 3)
			for _, n := range []int{1, 100, 10000, 5 << 20, 1} {
				conn.ResetSeq()
				sql := fmt.Sprintf("SELECT REPEAT('x', %d), '%s'", n, bytes.Repeat([]byte("y"), n))
				if _, err := conn.Write(AppendQuery(nil, sql, nil, c.caps)); err != nil {
					t.Fatal(err)
				}
				var s Scanner
				s.Begin(ComQuery, c.caps)
				buf := make([]byte, 0, 32<<10)
				for total := 0; !s.Done(); {
					m, err := conn.Read(buf[len(buf):cap(buf)])
					if err != nil {
						t.Fatal(err)
					}
					total += m
					buf = buf[:len(buf)+m]
					forward, ev := s.Scan(buf)
					if ev == EvErr || ev == EvMalformed || s.Done() && total < 2*n {
						t.Fatalf("%s after %d bytes: %q", ev, total, buf[forward:])
					}
					buf = buf[:copy(buf, buf[forward+s.Size():])]
				}
			}
		})
	}
}

func BenchmarkCompressed(b *testing.B) {
	p := bytes.Repeat([]byte("some row of text, 1234\x00"), 700)
	for _, a := range []Compression{CompressionZlib, CompressionZstd} {
		b.Run(a.String(), func(b *testing.B) {
			out := &bytesConn{}
			w := compressed(b, out, a, 0)
			in := bytes.NewReader(nil)
			r := compressed(b, &bytesConn{r: in}, a, 0)
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				out.w.Reset()
				w.ResetSeq()
				if _, err := w.Write(p); err != nil {
					b.Fatal(err)
				}
				in.Reset(out.w.Bytes())
				r.ResetSeq()
				if _, err := io.ReadFull(r, buf[:len(p)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
