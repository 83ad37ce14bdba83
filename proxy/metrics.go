package proxy

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// metrics counts without locks; Prometheus reads the counters when it asks.
type metrics struct {
	topology *topology.Store

	accepted  atomic.Uint64
	open      atomic.Int64
	poolHits  atomic.Uint64
	dials     atomic.Uint64
	learned   atomic.Uint64
	abandoned atomic.Uint64
	rejected  [1 << 13]atomic.Uint32 // by error code
	evicted   func() uint64          // keys of shared floors that were forgotten
	waits     [numWaitOutcomes]atomic.Uint64
	waitTime  prometheus.Histogram
	replays   [numReplays]atomic.Uint64 // of lost transactions, by outcome
	routed    [router.NumTargets][router.NumReasons]atomic.Uint64

	acceptedDesc, openDesc, poolDesc, dialDesc, learnedDesc, abandonedDesc, rejectedDesc, routedDesc, nodeDesc, connDesc, waitDesc, evictedDesc, replayDesc *prometheus.Desc
}

func newMetrics(store *topology.Store) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("bellwether_"+name, help, labels, nil)
	}
	return &metrics{
		topology:      store,
		nodeDesc:      desc("node_statements_total", "Statements executed for clients, by node.", "node"),
		connDesc:      desc("node_connections", "Open backend connections, idle ones included, by node.", "node"),
		acceptedDesc:  desc("client_connections_total", "Client connections accepted."),
		openDesc:      desc("client_connections", "Client connections that are logged in."),
		poolDesc:      desc("backend_connections_reused_total", "Backend connections taken from the pool."),
		dialDesc:      desc("backend_connections_opened_total", "Backend connections made."),
		learnedDesc:   desc("learned_writes_total", "Statements that looked like reads and that a follower refused."),
		abandonedDesc: desc("abandoned_statements_killed_total", "Statements killed because their client was gone."),
		rejectedDesc:  desc("client_rejections_total", "Clients not let in, by error code.", "code"),
		evictedDesc:   desc("shared_floors_evicted_total", "Keys of the hint session=key that were forgotten for want of room; they read at the leader's position the next time."),
		waitDesc:      desc("causal_waits_total", "Reads that no follower could serve at once for what their session must see, by outcome.", "outcome"),
		replayDesc:    desc("transaction_replays_total", "Transactions that were lost with a leader and run again (routing.transaction_replay), by outcome: done, differed, failed.", "outcome"),
		waitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellwether", Name: "causal_wait_seconds", Help: "How long such reads waited, those that went to the leader at once left out.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 12),
		}),
		routedDesc: desc("statements_total", "Statements, by where they went and why.", "target", "reason"),
	}
}

func (m *metrics) count(t router.Target, r router.Reason) { m.routed[t][r].Add(1) }

// waited counts a read that had to wait, or that was not worth a wait.
func (m *metrics) waited(o waitOutcome, d time.Duration) {
	m.waits[o].Add(1)
	if o != waitHopeless {
		m.waitTime.Observe(d.Seconds())
	}
}

// refused counts a client that was not let in.
func (m *metrics) refused(err error) {
	code := uint16(0)
	if e, ok := errors.AsType[*wire.Err](err); ok {
		code = e.Code
	}
	if int(code) < len(m.rejected) {
		m.rejected[code].Add(1)
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.acceptedDesc, m.openDesc, m.poolDesc, m.dialDesc, m.learnedDesc, m.abandonedDesc, m.rejectedDesc, m.routedDesc, m.nodeDesc, m.connDesc, m.waitDesc, m.evictedDesc, m.replayDesc,
	} {
		ch <- d
	}
	m.waitTime.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	counter(m.acceptedDesc, m.accepted.Load())
	ch <- prometheus.MustNewConstMetric(m.openDesc, prometheus.GaugeValue, float64(m.open.Load()))
	counter(m.poolDesc, m.poolHits.Load())
	counter(m.dialDesc, m.dials.Load())
	counter(m.learnedDesc, m.learned.Load())
	counter(m.abandonedDesc, m.abandoned.Load())
	for code := range m.rejected {
		if n := m.rejected[code].Load(); n > 0 {
			label := "none"
			if code > 0 {
				label = strconv.Itoa(code)
			}
			counter(m.rejectedDesc, uint64(n), label)
		}
	}
	for _, n := range m.topology.Load().Nodes {
		counter(m.nodeDesc, n.Load.Statements.Load(), n.Name)
		ch <- prometheus.MustNewConstMetric(m.connDesc, prometheus.GaugeValue, float64(n.Load.Connections.Load()), n.Name)
	}
	if m.evicted != nil {
		counter(m.evictedDesc, m.evicted())
	}
	for o := range m.waits {
		counter(m.waitDesc, m.waits[o].Load(), waitOutcomes[o])
	}
	for o := range m.replays {
		counter(m.replayDesc, m.replays[o].Load(), replayOutcomes[o])
	}
	m.waitTime.Collect(ch)
	for t := range m.routed {
		for r := range m.routed[t] {
			if n := m.routed[t][r].Load(); n > 0 {
				counter(m.routedDesc, n, router.Target(t).String(), router.Reason(r).String())
			}
		}
	}
}

var _ prometheus.Collector = (*metrics)(nil)
