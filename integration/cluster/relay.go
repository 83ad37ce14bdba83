package cluster

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Direction is a set of ways along a link.
type Direction uint8

// Directions, as seen from the end that listens (of a Node: the node itself).
const (
	In   Direction = 1 << iota // towards the listening end
	Out                        // away from it
	Both = In | Out
)

// Shape is how a link is slowed. The zero value is a link at full speed.
type Shape struct {
	Delay     time.Duration // added to every byte, each way
	Bandwidth int           // bytes per second, each way and connection; 0: no limit
}

// Relay is a TCP link with faults. It listens on an address of its own and
// forwards each connection to a target.
//
// What a cut holds back is sent after Heal, as TCP would send it again; so
// connections survive a cut unless an end gives up. A close does not pass a cut
// either. As the kernel accepts for the relay, a connection made during a cut
// is established, and then silent.
type Relay struct {
	addr string
	line *line
	// whose says which line a connection belongs to that came from there; nil, or a
	// nil line, is the relay's own.
	whose func(from net.Addr) *line

	mu       sync.Mutex // guards all below
	target   string
	listener net.Listener // nil while refusing
	conns    map[*relayConn]struct{}
	closed   bool
	wg       sync.WaitGroup
}

// line is the faults of one link, whichever relays carry it, and its connections.
type line struct {
	mu      sync.Mutex // guards all below
	cut     Direction
	shape   Shape
	changed chan struct{} // closed when cut or shape change
	conns   map[*relayConn]struct{}
}

func newLine() *line {
	return &line{changed: make(chan struct{}), conns: make(map[*relayConn]struct{})}
}

// NewRelay starts a relay on a free port of listenIP.
func NewRelay(listenIP, target string) (*Relay, error) {
	return newRelay(listenIP, target, newLine(), nil)
}

func newRelay(listenIP, target string, own *line, whose func(net.Addr) *line) (*Relay, error) {
	port, err := sandbox.FreePort()
	if err != nil {
		return nil, err
	}
	r := &Relay{
		addr: net.JoinHostPort(listenIP, fmt.Sprint(port)), line: own, whose: whose,
		target: target, conns: make(map[*relayConn]struct{}),
	}
	return r, r.Accept()
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.addr }

// Retarget sends connections made from now on to another address.
func (r *Relay) Retarget(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// Accept listens again after Refuse.
func (r *Relay) Accept() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil || r.closed {
		return nil
	}
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r.listener = l
	r.wg.Add(1)
	go r.serve(l)
	return nil
}

// Refuse stops listening: connecting fails as it does where no server runs.
// Connections that stand are left alone.
func (r *Relay) Refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
}

// Cut holds back all that goes the given ways, in addition to what is cut already.
func (r *Relay) Cut(d Direction) {
	r.line.change(func(l *line) { l.cut |= d })
}

// Heal ends all cuts and slowness.
func (r *Relay) Heal() {
	r.line.change(func(l *line) { l.cut, l.shape = 0, Shape{} })
}

// Slow shapes the link from now on.
func (r *Relay) Slow(s Shape) {
	r.line.change(func(l *line) { l.shape = s })
}

func (l *line) change(f func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
	close(l.changed)
	l.changed = make(chan struct{})
}

// Reset breaks all connections that stand: both ends get a TCP reset.
func (r *Relay) Reset() {
	r.line.mu.Lock()
	conns := slices.Collect(maps.Keys(r.line.conns))
	r.line.mu.Unlock()
	for _, c := range conns {
		c.abort()
	}
}

// Connections is how many connections stand.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// Close breaks all connections, stops listening, and waits for the relay's goroutines.
func (r *Relay) Close() {
	r.Refuse()
	r.mu.Lock()
	r.closed = true
	conns := slices.Collect(maps.Keys(r.conns))
	r.mu.Unlock()
	for _, c := range conns {
		c.abort()
	}
	r.wg.Wait()
}

func (r *Relay) serve(l net.Listener) {
	defer r.wg.Done()
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed by Refuse
		}
		c := &relayConn{relay: r, client: client, done: make(chan struct{})}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			_ = client.Close()
			return
		}
		r.conns[c] = struct{}{}
		r.wg.Add(1)
		r.mu.Unlock()
		go func() {
			defer r.wg.Done()
			c.line = r.line
			if r.whose != nil {
				if l := r.whose(client.RemoteAddr()); l != nil {
					c.line = l
				}
			}
			c.line.add(c)
			c.run()
			c.line.remove(c)
			r.mu.Lock()
			delete(r.conns, c)
			r.mu.Unlock()
		}()
	}
}

// state returns what applies to one direction now, and a channel that is closed
// when that changes.
func (l *line) state(d Direction) (cut bool, shape Shape, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut&d != 0, l.shape, l.changed
}

func (l *line) add(c *relayConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
}

func (l *line) remove(c *relayConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// relayConn is one connection through a relay.
type relayConn struct {
	relay  *Relay
	line   *line
	client net.Conn

	mu      sync.Mutex // guards server and aborted
	server  net.Conn
	aborted bool
	done    chan struct{} // closed by abort
}

// abort resets both ends.
func (c *relayConn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return
	}
	c.aborted = true
	close(c.done)
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}

func (c *relayConn) run() {
	defer c.abort()
	if !c.pass(In, time.Now()) {
		return
	}
	c.relay.mu.Lock()
	target := c.relay.target
	c.relay.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		return
	}
	c.mu.Lock()
	if c.aborted {
		c.mu.Unlock()
		_ = server.Close()
		return
	}
	c.server = server
	c.mu.Unlock()

	var wg sync.WaitGroup
	wg.Go(func() { c.pump(server, c.client, In) })
	wg.Go(func() { c.pump(c.client, server, Out) })
	wg.Wait()
}

// chunk is bytes on their way, and when they were sent.
type chunk struct {
	data []byte
	sent time.Time
	err  error // io.EOF or a reset, after all data
}

// pump carries one direction until its end.
func (c *relayConn) pump(dst, src net.Conn, d Direction) {
	chunks := make(chan chunk, 64) // what is in flight on a slow link: 2 MiB
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(chunks)
		for {
			buf := make([]byte, 32<<10)
			n, err := src.Read(buf)
			select {
			case chunks <- chunk{data: buf[:n], sent: time.Now(), err: err}:
			case <-c.done:
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	for ch := range chunks {
		if !c.pass(d, ch.sent) {
			return
		}
		if _, err := dst.Write(ch.data); err != nil {
			c.abort()
			return
		}
		switch {
		case ch.err == nil:
			c.pace(d, len(ch.data))
		case errors.Is(ch.err, io.EOF):
			_ = dst.(*net.TCPConn).CloseWrite()
			return
		default:
			c.abort()
			return
		}
	}
}

// pass waits until what was sent then may go on; false when the connection is over.
func (c *relayConn) pass(d Direction, sent time.Time) bool {
	for {
		cut, shape, changed := c.line.state(d)
		var due <-chan time.Time
		if !cut {
			wait := time.Until(sent.Add(shape.Delay))
			if shape.Delay == 0 || wait <= 0 {
				return true
			}
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-changed:
		case <-c.done:
			return false
		}
	}
}

// pace waits as long as n bytes take at the link's bandwidth.
func (c *relayConn) pace(d Direction, n int) {
	_, shape, changed := c.line.state(d)
	if shape.Bandwidth <= 0 {
		return
	}
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(shape.Bandwidth)):
	case <-changed:
	case <-c.done:
	}
}
