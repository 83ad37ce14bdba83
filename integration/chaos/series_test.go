package chaos

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
)

// TestSeries kills the leader BELLWETHER_SERIES times, and then changes it as often by a
// switchover, under a load of reads and writes, with the default settings but for acks: 1
// and for how often a failover is allowed. It prints how long it took. That reads never
// fail, and nothing does in a switchover, is asserted; times are not.
func TestSeries(t *testing.T) {
	n := int(number(t, "BELLWETHER_SERIES", 0))
	if n == 0 {
		t.Skip("a series of measurements: make rto, or BELLWETHER_SERIES=50")
	}
	for name, engine := range map[string]bool{"native": false, "engine": true} {
		t.Run(name, func(t *testing.T) {
			cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
				w := newWorld(t, o, worldOptions{acks: 1, proxies: 1, engine: engine})
				m := startMeter(t, w)
				t.Run("kills", func(t *testing.T) { seriesOfKills(t, w, m, n) })
				t.Run("switchovers", func(t *testing.T) { seriesOfSwitchovers(t, w, m, n) })
			})
		})
	}
}

func seriesOfKills(t *testing.T, w *world, m *meter, n int) {
	var first, longest []time.Duration
	for range n {
		time.Sleep(500 * time.Millisecond)
		leader := w.leader()
		m.begin()
		cluster.Must(t, leader.Kill())
		w.dead[leader] = true
		killed := m.reset()
		cluster.Eventually(t, "a write is acknowledged", func() bool { return m.first() > 0 })
		first = append(first, m.first())
		time.Sleep(300 * time.Millisecond) // what was held comes to its end
		longest = append(longest, m.longest())
		t.Logf("killed %s at %s: the first write after %v", leader.Name(), killed.Format(time.TimeOnly), m.first().Round(time.Millisecond))
		w.start(leader)
		w.settle()
	}
	report(t, "from kill -9 of the leader to the first write that the next one acknowledged", first)
	report(t, "the longest that a transaction took", longest)
	reads, failed := m.reads()
	t.Logf("%d reads, %d failed", reads, failed)
	if failed > 0 {
		t.Errorf("%d reads failed, such as: %v", failed, m.why)
	}
}

func seriesOfSwitchovers(t *testing.T, w *world, m *meter, n int) {
	m.begin()
	m.reset()
	m.forgetErrors()
	var longest, held []time.Duration
	for range n {
		time.Sleep(500 * time.Millisecond)
		m.reset()
		v := w.mustSwitch(t)
		time.Sleep(300 * time.Millisecond)
		longest = append(longest, m.longest())
		held = append(held, time.Duration(v.HeldMS*float64(time.Millisecond)))
		w.settle()
	}
	report(t, "the longest that a transaction took around a switchover", longest)
	report(t, "for how long writes were held", held)
	if _, failed := m.reads(); failed > 0 || m.failedWrites() > 0 {
		t.Errorf("%d reads and %d writes failed, such as: %v", failed, m.failedWrites(), m.why)
	}
}

// mustSwitch makes another node the leader.
func (w *world) mustSwitch(t *testing.T) (v admin.SwitchoverView) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.proxies[0].AdminURL+"/v1/switchover", bytes.NewReader([]byte("{}")))
	cluster.Must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	cluster.Must(t, err)
	defer func() { _ = resp.Body.Close() }()
	cluster.Must(t, json.NewDecoder(resp.Body).Decode(&v))
	if !v.Done {
		t.Fatalf("no switchover: %+v", v)
	}
	return v
}

func report(t *testing.T, what string, d []time.Duration) {
	slices.Sort(d)
	at := func(q float64) time.Duration {
		return d[min(len(d)-1, int(q*float64(len(d))))].Round(time.Millisecond)
	}
	t.Logf("%s: p50 %v, p99 %v, longest %v of %d", what, at(0.50), at(0.99), at(1), len(d))
}

// meter is a load of its own that knows how long things take.
type meter struct {
	mu        sync.Mutex // guards all below
	since     time.Time
	done      time.Duration // from since to the first acknowledgement of what began after it
	slowest   time.Duration
	good      int
	bad, lost int // reads that failed, and writes
	why       []string
}

func startMeter(t *testing.T, w *world) *meter {
	m := &meter{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 8 {
		addr := &w.addrs[0]
		db, err := newPool(func() string { return *addr.Load() })
		cluster.Must(t, err)
		db.SetMaxOpenConns(1)
		wg.Go(func() {
			defer func() { _ = db.Close() }()
			for n := 0; ctx.Err() == nil; n++ {
				if i%2 == 0 {
					m.read(db)
				} else {
					m.write(db, 100+i, n)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return m
}

func (m *meter) read(db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	var n int
	err := db.QueryRowContext(ctx, "SELECT SUM(balance) FROM accounts").Scan(&n)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.bad++
		m.why = append(m.why, "read: "+err.Error())
		return
	}
	m.good++
}

// write is a transaction of two reads and two writes.
func (m *meter) write(db *sql.DB, client, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	began := time.Now()
	err := func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		var balance int
		for range 2 {
			if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = ?", client%numAccounts).Scan(&balance); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + 1 WHERE id = ?", client%numAccounts); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger (client, n) VALUES (?, ?)", client, n); err != nil {
			return err
		}
		return tx.Commit()
	}()
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.lost++
		m.why = append(m.why[max(0, len(m.why)-10):], "write: "+err.Error())
		return
	}
	if began.After(m.since) && m.done == 0 {
		m.done = now.Sub(m.since)
	}
	m.slowest = max(m.slowest, now.Sub(began))
}

// begin lets nothing count until reset.
func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = time.Now().Add(time.Hour)
}

// reset begins to measure.
func (m *meter) reset() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since, m.done, m.slowest = time.Now(), 0, 0
	return m.since
}

func (m *meter) first() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

func (m *meter) longest() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slowest
}

func (m *meter) reads() (good, bad int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good, m.bad
}

func (m *meter) failedWrites() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

func (m *meter) forgetErrors() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad, m.lost, m.why = 0, 0, nil
}
