package proxy

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

func testPool(set PoolSettings) *pool { return newPool(func() PoolSettings { return set }) }

// idleBackend returns a connection that counts as open in p. The returned end is
// the server's.
func idleBackend(t *testing.T, p *pool, key poolKey, born time.Time) (*backend, net.Conn) {
	t.Helper()
	if err := p.reserve(context.Background()); err != nil {
		t.Fatal(err)
	}
	here, there := socketPair(t)
	b := &backend{conn: here, key: key, born: born, load: new(topology.Load), node: "n"}
	b.raw, _ = here.(*net.TCPConn).SyscallConn()
	b.load.Connections.Add(1)
	p.made(b, nil)
	return b, there
}

func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there := <-accepted
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func TestPoolReuse(t *testing.T) {
	set := PoolSettings{MaxIdle: 10, MaxLifetime: time.Hour, IdleTimeout: time.Minute}
	now := time.Now()
	key := poolKey{node: "n", user: "u"}

	t.Run("same key", func(t *testing.T) {
		p := testPool(set)
		b, _ := idleBackend(t, p, key, now)
		p.put(b, now)
		if got := p.take(&wish{key: key}, now); got != b {
			t.Fatal("the idle connection was not found")
		}
		if p.take(&wish{key: key}, now) != nil {
			t.Fatal("one connection was given out twice")
		}
	})
	for name, change := range map[string]func(*poolKey){
		"user": func(k *poolKey) { k.user = "v" }, "schema": func(k *poolKey) { k.schema = "s" },
		"capabilities": func(k *poolKey) { k.caps = 1 }, "collation": func(k *poolKey) { k.collation = 1 },
		"attributes": func(k *poolKey) { k.attrs = "a" }, "follower": func(k *poolKey) { k.follower = true },
		"password": func(k *poolKey) { k.secret = "x" }, "client address": func(k *poolKey) { k.from = "a" },
	} {
		t.Run("other "+name, func(t *testing.T) {
			p := testPool(set)
			b, _ := idleBackend(t, p, key, now)
			p.put(b, now)
			other := key
			change(&other)
			if p.take(&wish{key: other}, now) != nil {
				t.Error("a connection went to a session that it does not fit")
			}
		})
	}
	t.Run("closed by the server", func(t *testing.T) {
		p := testPool(set)
		b, there := idleBackend(t, p, key, now)
		p.put(b, now)
		there.Close()
		waitFor(t, func() bool { return b.alive() != nil })
		if p.take(&wish{key: key}, now) != nil {
			t.Error("a dead connection was given out")
		}
		if p.open != 0 {
			t.Errorf("%d connections count as open", p.open)
		}
	})
	t.Run("with bytes waiting", func(t *testing.T) {
		p := testPool(set)
		b, there := idleBackend(t, p, key, now)
		p.put(b, now)
		_, _ = there.Write([]byte("x"))
		waitFor(t, func() bool { return errors.Is(b.alive(), errBackendBusy) })
		if p.take(&wish{key: key}, now) != nil {
			t.Error("a connection with unread bytes was given out")
		}
	})
	t.Run("too old", func(t *testing.T) {
		p := testPool(set)
		b, _ := idleBackend(t, p, key, now)
		p.put(b, now)
		if p.take(&wish{key: key}, now.Add(2*time.Hour)) != nil {
			t.Error("a connection beyond its lifetime was given out")
		}
	})
	t.Run("idle too long", func(t *testing.T) {
		p := testPool(set)
		b, _ := idleBackend(t, p, key, now)
		p.put(b, now)
		p.expire(now.Add(2*time.Minute), false)
		if p.nIdle != 0 || p.open != 0 {
			t.Errorf("idle %d, open %d after the timeout", p.nIdle, p.open)
		}
	})
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func TestPoolEvictsTheOldest(t *testing.T) {
	p := testPool(PoolSettings{MaxIdle: 2})
	now := time.Now()
	keys := []poolKey{{user: "a"}, {user: "b"}, {user: "c"}}
	for i, key := range keys {
		b, _ := idleBackend(t, p, key, now)
		p.put(b, now.Add(time.Duration(i)*time.Second))
	}
	if p.nIdle != 2 || p.open != 2 {
		t.Fatalf("idle %d, open %d, want 2 and 2", p.nIdle, p.open)
	}
	if p.take(&wish{key: keys[0]}, now) != nil {
		t.Error("the oldest was kept")
	}
	if p.take(&wish{key: keys[1]}, now) == nil || p.take(&wish{key: keys[2]}, now) == nil {
		t.Error("a younger one was dropped")
	}
}

func TestPoolLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(PoolSettings{MaxPerNode: 1, Wait: time.Second})
		ctx := context.Background()
		if err := p.reserve(ctx); err != nil {
			t.Fatal(err)
		}
		if err := p.reserve(ctx); !errors.Is(err, errPoolFull) {
			t.Errorf("over the limit: %v, want errPoolFull", err)
		}
		got := make(chan error)
		go func() { got <- p.reserve(ctx) }()
		synctest.Wait()
		p.made(nil, nil)
		if err := <-got; err != nil {
			t.Errorf("a place became free, and the one who waited got %v", err)
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := p.reserve(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

// Sessions that share a connection have the same attributes but for those of a process.
func TestSharedAttrs(t *testing.T) {
	encode := func(pairs ...string) (out []byte) {
		for _, x := range pairs {
			out = wire.AppendLenencString(out, x)
		}
		return out
	}
	all := encode("_os", "Linux", "_pid", "12", "program_name", "shop", "_thread", "7")
	want := string(encode("_os", "Linux", "program_name", "shop"))
	if got := sharedAttrs(all); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for cut := range len(all) {
		sharedAttrs(all[:cut]) // no panic
	}
	for _, bad := range [][]byte{encode("_os"), {0xfc}, append(encode("a", "b"), 9, 'x')} {
		if got := sharedAttrs(bad); got != "" {
			t.Errorf("%q of %q", got, bad)
		}
	}
}
