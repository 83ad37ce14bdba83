package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestFastConnCarriesEverything(t *testing.T) {
	here, there := socketPair(t)
	a, b := newFastConn(here), newFastConn(there)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: more than any socket's buffer
	go func() {
		_, _ = a.Write(want)
		_ = a.Close()
	}()
	got, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestFastConnExchange(t *testing.T) {
	here, there := socketPair(t)
	c := newFastConn(here).(*fastConn)
	for _, size := range []int{1, 100, 1 << 16, 1 << 23} {
		request := bytes.Repeat([]byte{'q'}, size)
		done := make(chan error, 1)
		go func() {
			got := make([]byte, size)
			if _, err := io.ReadFull(there, got); err != nil {
				done <- err
				return
			}
			_, err := there.Write([]byte("answer"))
			done <- err
		}()
		p, n, err := c.Exchange(request)
		if err != nil || string(p[:n]) != "answer" {
			t.Fatalf("%d bytes: %q, %v", size, p[:n], err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestFastConnExchangeNoticesTheEnd covers a peer that was gone before the request
// was written: its end has been signalled when the exchange arms its read.
func TestFastConnExchangeNoticesTheEnd(t *testing.T) {
	for range 200 {
		here, there := socketPair(t)
		c := newFastConn(here).(*fastConn)
		_ = there.(*net.TCPConn).SetLinger(0)
		_ = there.Close()
		if _, n, err := c.Exchange([]byte("request")); err == nil {
			t.Fatalf("an answer of %d bytes from nobody", n)
		}
		_ = here.Close()
	}
}

func TestFastConnExchangeAfterHalfClose(t *testing.T) {
	here, there := socketPair(t)
	c := newFastConn(here).(*fastConn)
	_ = there.Close() // an orderly end, as an idle timeout of the server is
	_ = here.SetDeadline(time.Now().Add(20 * time.Second))
	_, _, err := c.Exchange([]byte("request"))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want the end of the connection", err)
	}
}

func TestFastConnDeadline(t *testing.T) {
	here, _ := socketPair(t)
	c := newFastConn(here)
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		blocked <- err
	}()
	_ = c.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed connection: %v", err)
	}
}

func TestFastConnDoesNotAllocate(t *testing.T) {
	here, there := socketPair(t)
	c := newFastConn(here).(*fastConn)
	go func() { _, _ = io.Copy(there, there) }()
	request := []byte("ping")
	n := testing.AllocsPerRun(200, func() {
		p, _, err := c.Exchange(request)
		if err != nil {
			t.Fatal(err)
		}
		putChunk(p)
	})
	if n > 0.5 {
		t.Errorf("%v allocations for an exchange", n)
	}
}
