package consistency

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// patient lets reads wait longer than any follower takes on a busy machine.
const patient = "routing: {causal_wait: 20s}"

// metric is the value of one line of /metrics.
func metric(t *testing.T, p *cluster.ProxyProcess, line string) float64 {
	t.Helper()
	_, body := p.Get("/metrics")
	for l := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(l, line+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			cluster.Must(t, err)
			return v
		}
	}
	t.Fatalf("no metric %s", line)
	return 0
}

func outcome(t *testing.T, p *cluster.ProxyProcess, name string) float64 {
	t.Helper()
	return metric(t, p, `bellwether_causal_waits_total{outcome="`+name+`"}`)
}

// value is n and the node of an answer to readT.
func value(t *testing.T, answer string) (n int, node string) {
	t.Helper()
	text, node, _ := strings.Cut(answer, "|")
	n, err := strconv.Atoi(text)
	cluster.Must(t, err)
	return n, node
}

// A read after a write waits for a follower, and runs there.
func TestCausalWait(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := open(t, f.proxy, "interpolateParams=true")
		const rounds = 30
		for i := 1; i <= rounds; i++ {
			s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
			if n, node := value(t, s.row(readT)); n != i || node == leader {
				t.Errorf("write %d, and then %s says %d", i, node, n)
			}
			if i%3 == 0 { // what it read on the leader it finds on a follower
				f.Exec(t, fmt.Sprintf("UPDATE shop.t SET n = %d WHERE id = 1", 1000+i))
				s.row("/* bellwether: target=leader */ " + readT)
				if n, node := value(t, s.row(readT)); n != 1000+i || node == leader {
					t.Errorf("read %d on the leader, and then %s says %d", 1000+i, node, n)
				}
			}
		}
		if n := outcome(t, f.proxy, "reached"); n < rounds/2 {
			t.Errorf("%v reads waited: nothing was tested", n)
		}
	}, patient)
}

// A wait that is over ends on the leader, and once that was seen of the followers,
// nobody waits for them.
func TestExpiredWait(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		s := open(t, f.proxy, "")
		const rounds = 40
		for i := 1; i <= rounds; i++ {
			s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
			if got := s.row(readT); got != fmt.Sprintf("%d|%s", i, leader) {
				t.Errorf("write %d: %s", i, got)
			}
		}
		expired, hopeless, reached := outcome(t, f.proxy, "expired"), outcome(t, f.proxy, "hopeless"), outcome(t, f.proxy, "reached")
		t.Logf("expired %v, hopeless %v", expired, hopeless)
		if expired+hopeless != rounds || reached != 0 || hopeless < rounds/2 {
			t.Errorf("of %d reads %v waited in vain, %v did not wait, %v found a follower", rounds, expired, hopeless, reached)
		}
	}, "routing: {causal_wait: 50ms}")
}

// A read waits for followers that were quick so far, in vain: it ends on the leader, with
// what the session wrote.
func TestWaitInVain(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := open(t, f.proxy, "")
		n := 0
		round := func() {
			t.Helper()
			n++
			s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", n))
			if got := s.row(readT); !strings.HasPrefix(got, fmt.Sprintf("%d|", n)) {
				t.Errorf("write %d: %s", n, got)
			}
		}
		before := outcome(t, f.proxy, "reached")
		cluster.Eventually(t, "a follower is waited for", func() bool {
			round()
			return outcome(t, f.proxy, "reached") > before+5
		})
		before = outcome(t, f.proxy, "expired")
		// They are locked, and not stopped, which the monitor would notice, perhaps before the read.
		for _, node := range f.Followers() {
			conn, err := node.DB().Conn(t.Context())
			cluster.Must(t, err)
			defer func() { _ = conn.Close() }() // and with it the lock
			_, err = conn.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK")
			cluster.Must(t, err)
			defer func() { _, _ = conn.ExecContext(context.WithoutCancel(t.Context()), "UNLOCK TABLES") }()
		}
		round()
		if got := outcome(t, f.proxy, "expired") - before; got != 1 {
			t.Errorf("%v waits expired, want 1", got)
		}
		if got := s.row(readT); got != fmt.Sprintf("%d|%s", n, leader) {
			t.Errorf("the next read: %s", got)
		}
	}, "routing: {causal_wait: 3s}")
}

// With one follower far behind, sessions that write now and then read from the other,
// and never from the one that is behind.
func TestOneFollowerBehind(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.delay(t, f.Node("db2"), 600)
		waitEligible(t, f.proxy, 2)
		const sessions, rounds, reads = 12, 5, 20
		served := map[string]int{}
		for i := range sessions {
			s := open(t, f.proxy, fmt.Sprintf("interpolateParams=%v", i%2 == 0))
			s.row(readT) // some of them begin at the one that falls behind
			id := 100 + i
			s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 0)", id))
			for r := 1; r <= rounds; r++ {
				s.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = %d", r, id))
				for range reads {
					n, node := value(t, s.row("SELECT n, (SELECT name FROM whoami) FROM t WHERE id = ?", id))
					served[node]++
					if n != r {
						t.Fatalf("session %d wrote %d, and %s says %d", i, r, node, n)
					}
				}
			}
		}
		t.Logf("reads: %v", served)
		if all := sessions * rounds * reads; served["db2"] != 0 || served["db3"] < all*9/10 {
			t.Errorf("of %d reads %v", all, served)
		}
	}, patient, "routing: {pin: true}")
}

// At global, what anybody was told is written is seen, through another proxy too, and
// followers serve it.
func TestGlobal(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		second := f.start(t, patient)
		w, r := open(t, f.proxy, ""), open(t, second, "")
		r.exec("SET bellwether_consistency = 'global'")
		served := map[string]int{}
		for i := 1; i <= 40; i++ {
			w.exec(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i))
			n, node := value(t, r.row(readT))
			if served[node]++; n != i {
				t.Errorf("written %d, and %s says %d", i, node, n)
			}
		}
		t.Logf("reads: %v", served)
		if served[leader] > 4 {
			t.Errorf("the leader served %d of 40 reads", served[leader])
		}
	}, patient)
}

// Reads that only the leader can serve run there no more at a time than is allowed; one
// more waits, and then gets an error that says why.
func TestLeaderOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		first, second := open(t, f.proxy, ""), open(t, f.proxy, "")
		for i, s := range []*session{first, second} {
			s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 0)", 10+i))
		}
		done := make(chan error, 1)
		go func() {
			_, err := first.try("SELECT SLEEP(3), n FROM t WHERE id = 10")
			done <- err
		}()
		cluster.Eventually(t, "the first read runs on the leader", func() bool {
			return f.Leader().Text(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(3)%'") == "1"
		})
		_, err := second.try("SELECT n FROM t WHERE id = 11")
		if err == nil || !strings.Contains(err.Error(), "1205") || !strings.Contains(err.Error(), "max_leader_reads") {
			t.Errorf("the second read: %v", err)
		}
		if got := second.row("/* bellwether: target=leader */ SELECT n FROM t WHERE id = 11"); got != "0" {
			t.Errorf("a read that asks for the leader: %s", got)
		}
		cluster.Must(t, <-done)
		if got := second.row("SELECT n FROM t WHERE id = 11"); got != "0" {
			t.Errorf("when the first is done: %s", got)
		}
	}, "routing: {max_leader_reads: 1, leader_overload: error, causal_wait: 30ms}")
}
