package cluster

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// echo is a server that sends back lines, and tells when it has read one.
type echo struct {
	addr string
	read chan string
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &echo{addr: l.Addr().String(), read: make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					e.read <- line
					if _, err := io.WriteString(conn, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return e
}

func newTestRelay(t *testing.T, target string) *Relay {
	t.Helper()
	r, err := NewRelay("127.0.0.1", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: c, r: bufio.NewReader(c)}
}

func (c *client) send(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
}

func (c *client) want(t *testing.T, line string) {
	t.Helper()
	got, err := c.r.ReadString('\n')
	if got != line || err != nil {
		t.Fatalf("read %q, %v; want %q", got, err, line)
	}
}

// silent checks that nothing arrives while another connection, not through the
// relay, makes a round trip, and a little longer.
func (c *client) silent(t *testing.T, e *echo) {
	t.Helper()
	other := dial(t, e.addr)
	other.send(t, "other\n")
	other.want(t, "other\n")
	<-e.read
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := c.r.Peek(1); err == nil {
		t.Fatalf("%q came through a cut", b)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func TestRelayCut(t *testing.T) {
	for _, tc := range []struct {
		name    string
		d       Direction
		arrives bool // at the server
	}{
		{"in", In, false},
		{"out", Out, true},
		{"both", Both, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEcho(t)
			r := newTestRelay(t, e.addr)
			c := dial(t, r.Addr())
			c.send(t, "one\n")
			c.want(t, "one\n")
			<-e.read

			r.Cut(tc.d)
			c.send(t, "two\n")
			if tc.arrives {
				if got := <-e.read; got != "two\n" {
					t.Fatalf("the server read %q", got)
				}
			}
			c.silent(t, e)
			if !tc.arrives && len(e.read) > 0 {
				t.Fatal("the server read what was sent into a cut")
			}
			r.Heal()
			c.want(t, "two\n")
		})
	}
}

func TestRelayNewConnectionDuringCutIsSilent(t *testing.T) {
	e := newEcho(t)
	r := newTestRelay(t, e.addr)
	r.Cut(Both)
	c := dial(t, r.Addr())
	c.send(t, "hello\n")
	c.silent(t, e)
	r.Heal()
	c.want(t, "hello\n")
}

func TestRelayReset(t *testing.T) {
	e := newEcho(t)
	r := newTestRelay(t, e.addr)
	c := dial(t, r.Addr())
	c.send(t, "one\n")
	c.want(t, "one\n")
	r.Reset()
	if _, err := c.r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
	again := dial(t, r.Addr())
	again.send(t, "two\n")
	again.want(t, "two\n")
}

func TestRelayRefuses(t *testing.T) {
	e := newEcho(t)
	r := newTestRelay(t, e.addr)
	r.Refuse()
	if conn, err := net.Dial("tcp", r.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		if conn != nil {
			_ = conn.Close()
		}
		t.Errorf("dial: %v; want refused", err)
	}
	if err := r.Accept(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.Addr())
	c.send(t, "one\n")
	c.want(t, "one\n")
}

// A delayed answer comes after one that was asked for later on a fast link.
func TestRelayDelayIsSeenInTheOrder(t *testing.T) {
	e := newEcho(t)
	slow, fast := newTestRelay(t, e.addr), newTestRelay(t, e.addr)
	cs, cf := dial(t, slow.Addr()), dial(t, fast.Addr())
	slow.Slow(Shape{Delay: 300 * time.Millisecond})
	cs.send(t, "slow\n")
	cf.send(t, "fast\n")
	if first := <-e.read; first != "fast\n" {
		t.Errorf("the server read %q first", first)
	}
	cf.want(t, "fast\n")
	slow.Heal()
	cs.want(t, "slow\n")
}

// What was sent is all there, in order, however slow the link; the end passes too.
func TestRelayBandwidthKeepsBytes(t *testing.T) {
	e := newEcho(t)
	r := newTestRelay(t, e.addr)
	r.Slow(Shape{Bandwidth: 1 << 20, Delay: time.Millisecond})
	c := dial(t, r.Addr())
	line := make([]byte, 64<<10)
	for i := range line {
		line[i] = 'a' + byte(i%26)
	}
	line[len(line)-1] = '\n'
	c.send(t, string(line))
	c.want(t, string(line))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after half closing: %v; want EOF from the server", err)
	}
}

func TestDirectionOpposite(t *testing.T) {
	for d, want := range map[Direction]Direction{In: Out, Out: In, Both: Both, 0: 0} {
		if got := d.opposite(); got != want {
			t.Errorf("opposite of %d: %d, want %d", d, got, want)
		}
	}
}
