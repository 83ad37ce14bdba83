package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// startEtcd runs a real etcd with one member.
func startEtcd(t *testing.T) (endpoint string, process *os.Process) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs etcd")
	}
	program, err := exec.LookPath("etcd")
	if err != nil {
		program = "../../.cache/etcd/usr/bin/etcd"
	}
	urls := make([]string, 2)
	for i := range urls {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		urls[i] = "http://" + l.Addr().String()
		l.Close()
	}
	cmd := exec.Command(program, "--name", "m", "--data-dir", t.TempDir(), "--log-level", "error",
		"--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
		"--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster", "m="+urls[1])
	if err := cmd.Start(); err != nil {
		t.Fatalf("start etcd (scripts/setup.sh brings it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return urls[0], cmd.Process
}

// to connects without an account.
func to(endpoint string) Connect {
	return func(ctx context.Context) (*clientv3.Client, error) {
		return clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{endpoint}, DialTimeout: 20 * time.Second, Logger: zap.NewNop()})
	}
}

// proxies starts coordinators of one fleet.
func proxies(t *testing.T, endpoint string, names ...string) []*Etcd {
	t.Helper()
	var out []*Etcd
	for _, name := range names {
		e := NewEtcd(to(endpoint), EtcdConfig{Self: name, Prefix: "/test/", TTL: 4 * time.Second, Margin: time.Second, Renew: 100 * time.Millisecond}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = e.Run(ctx) })
		t.Cleanup(func() { stop(); wg.Wait() })
		out = append(out, e)
	}
	return out
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Scenario 36, the store's side: one coordinator, one record, rights that end.
func TestScenario36Etcd(t *testing.T) {
	endpoint, server := startEtcd(t)
	ps := proxies(t, endpoint, "p1", "p2")
	holders := func() (n int, who *Etcd) {
		for _, p := range ps {
			if p.Status().Held {
				n, who = n+1, p
			}
		}
		return n, who
	}
	eventually(t, "one of them coordinates", func() bool { n, _ := holders(); return n == 1 })

	// Both try for each epoch at once: exactly one gets it.
	for epoch := uint64(1); epoch <= 20; epoch++ {
		var wg sync.WaitGroup
		errs := make([]error, len(ps))
		base := ps[0].Status().Record
		for i, p := range ps {
			eventually(t, "it knows the record", func() bool { return p.Status().Record.Revision == base.Revision })
			wg.Go(func() {
				next := base.Clone()
				next.Revision = base.Revision
				next.Epoch, next.Reign, next.Leader = epoch, epoch, fmt.Sprintf("node%d", i)
				_, errs[i] = p.Swap(t.Context(), next)
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrConflict) {
			t.Fatalf("epoch %d: %v and %v; want one success and one ErrConflict", epoch, errs[0], errs[1])
		}
		eventually(t, "both follow the record", func() bool {
			a, b := ps[0].Status().Record, ps[1].Status().Record
			return a.Epoch == epoch && b.Epoch == epoch && a.Leader == b.Leader
		})
	}

	// What one sees the other hears.
	if err := ps[0].Share(t.Context(), json.RawMessage(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other hears it", func() bool {
		s := ps[1].Shared()
		return len(s) == 1 && s[0].Observer == "p1" && string(s[0].Seen) == `{"a":1}`
	})

	// etcd stands still: nobody coordinates, nothing is replaced, the right to write ends.
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := ps[0].Status()
	if before.WritesUntil.IsZero() {
		t.Error("the right to write has no end")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	next := before.Record
	next.Epoch++
	if _, err := ps[0].Swap(ctx, next); err == nil {
		t.Error("the record was replaced without etcd")
	}
	cancel()
	eventually(t, "nobody coordinates, and nobody may write", func() bool {
		n, _ := holders()
		a, b := ps[0].Status(), ps[1].Status()
		return n == 0 && !a.MayWrite(time.Now()) && !b.MayWrite(time.Now())
	})
	if got := ps[1].Status().Record.Leader; got != before.Record.Leader {
		t.Errorf("the leader is forgotten: %q", got)
	}
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one coordinates again, and both may write", func() bool {
		n, _ := holders()
		a, b := ps[0].Status(), ps[1].Status()
		return n == 1 && a.MayWrite(time.Now()) && b.MayWrite(time.Now())
	})
}

// The coordinator leaves: the other one takes over.
func TestEtcdSuccession(t *testing.T) {
	endpoint, _ := startEtcd(t)
	cfg := EtcdConfig{Self: "p1", Prefix: "/test/", TTL: 4 * time.Second, Margin: time.Second, Renew: 100 * time.Millisecond}
	first := NewEtcd(to(endpoint), cfg, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	eventually(t, "the first coordinates", func() bool { return first.Status().Held })
	if _, err := first.Swap(t.Context(), topology.Record{Epoch: 1, Reign: 1, Leader: "a"}); err != nil {
		t.Fatal(err)
	}
	second := proxies(t, endpoint, "p2")[0]
	eventually(t, "the second follows", func() bool { return second.Status().Record.Leader == "a" })
	if second.Status().Held {
		t.Error("two coordinate")
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second coordinates", func() bool { return second.Status().Held })
}
