package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

func packet(seq byte, payload []byte) []byte {
	out := make([]byte, wire.HeaderLen, wire.HeaderLen+len(payload))
	wire.PutHeader(out, len(payload), seq)
	return append(out, payload...)
}

func TestInputReadsCommands(t *testing.T) {
	sizes := []int{1, 5, smallBuffer - wire.HeaderLen, smallBuffer, chunkSize - wire.HeaderLen, chunkSize, 100_000}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":     func(r io.Reader) io.Reader { return r },
		"one byte":  iotest.OneByteReader,
		"half":      iotest.HalfReader,
		"data+EOF":  iotest.DataErrReader,
		"pipelined": func(r io.Reader) io.Reader { return r },
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			var stream []byte
			for i, n := range sizes {
				stream = append(stream, packet(0, bytes.Repeat([]byte{byte('a' + i)}, n))...)
			}
			src := wrap(bytes.NewReader(stream))
			var in input
			for i, n := range sizes {
				req, err := in.next(src, 1<<20, 0)
				if err != nil {
					t.Fatalf("command %d: %v", i, err)
				}
				if !req.whole || len(req.payload()) != n || req.payload()[0] != byte('a'+i) || req.payload()[n-1] != byte('a'+i) {
					t.Fatalf("command %d: whole %v, %d bytes, want %d of %c", i, req.whole, len(req.payload()), n, 'a'+i)
				}
				in.consume(len(req.bytes))
			}
			if _, err := in.next(src, 1<<20, 0); !errors.Is(err, io.EOF) {
				t.Fatalf("after the last command: %v, want EOF", err)
			}
			if in.chunk != nil || &in.buf[0] != &in.small[0] {
				t.Error("an idle input holds more than its small buffer")
			}
		})
	}
}

func TestInputRefuses(t *testing.T) {
	tests := []struct {
		name   string
		stream []byte
		want   error
	}{
		{"wrong sequence number", packet(1, []byte("x")), errSequence},
		{"zero-length packet", packet(0, nil), errEmpty},
		{"over the limit", packet(0, make([]byte, 200)), errTooLarge},
		{"cut in the header", []byte{1, 0}, io.EOF},
		{"cut in the payload", packet(0, []byte("abc"))[:5], io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in input
			if _, err := in.next(bytes.NewReader(tt.stream), 1<<20, 100); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestInputStreamsLongCommands checks that a command longer than may be kept is
// passed on byte by byte as it came, and that the next one is found behind it.
func TestInputStreamsLongCommands(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	big := make([]byte, wire.MaxPayload)
	for i := range big {
		big[i] = byte(rnd.Uint32())
	}
	var long []byte
	long = append(long, packet(0, big)...)
	long = append(long, packet(1, big)...)
	long = append(long, packet(2, big[:12345])...)
	exact := append(packet(0, big), packet(1, nil)...)
	for _, tt := range []struct {
		name string
		cmd  []byte
	}{
		{"just over what is kept", packet(0, big[:70_000])},
		{"three packets", long},
		{"ended by an empty packet", exact},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := bytes.NewReader(append(append([]byte(nil), tt.cmd...), packet(0, []byte("next"))...))
			var in input
			req, err := in.next(src, 60_000, 0)
			if err != nil || req.whole {
				t.Fatalf("next: whole %v, %v", req.whole, err)
			}
			var out bytes.Buffer
			out.Write(req.bytes)
			if err := in.passOn(src, &out, &req, 0); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), tt.cmd) {
				t.Errorf("passed on %d bytes, not the %d that came", out.Len(), len(tt.cmd))
			}
			req, err = in.next(src, 60_000, 0)
			if err != nil || string(req.payload()) != "next" {
				t.Errorf("the next command: %q, %v", req.payload(), err)
			}
		})
	}
}

func TestInputLimitsLongCommands(t *testing.T) {
	stream := append(packet(0, make([]byte, wire.MaxPayload)), packet(1, make([]byte, 1000))...)
	src := bytes.NewReader(stream)
	var in input
	req, err := in.next(src, 1000, wire.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.passOn(src, io.Discard, &req, wire.MaxPayload); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want errTooLarge", err)
	}
}

func TestInputDoesNotAllocate(t *testing.T) {
	cmd := packet(0, []byte("\x03SELECT c FROM sbtest1 WHERE id=1"))
	var in input
	src := bytes.NewReader(nil)
	n := testing.AllocsPerRun(1000, func() {
		src.Reset(cmd)
		req, err := in.next(src, 1<<20, 0)
		if err != nil {
			t.Fatal(err)
		}
		in.consume(len(req.bytes))
	})
	if n != 0 {
		t.Errorf("%v allocations for a command", n)
	}
}
