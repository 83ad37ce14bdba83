package lagmonitor

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

type metrics struct {
	up, eligible, leader, lag, lagTx, errant *prometheus.GaugeVec
	probes                                   *prometheus.HistogramVec
	failures, ejections                      *prometheus.CounterVec
	heartbeats, peeks                        *prometheus.CounterVec
	epoch                                    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "bellwether", Name: name, Help: help}, []string{"node"})
	}
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bellwether", Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		up:       gauge("node_up", "Whether the node answers and its role is verified (1) or not (0)."),
		eligible: gauge("node_eligible", "Whether the node serves reads as a follower (1) or not (0)."),
		leader:   gauge("node_leader", "Whether the node is the leader (1) or not (0)."),
		lag:      gauge("node_lag_seconds", "How far the follower is behind the leader. NaN when unknown."),
		lagTx:    gauge("node_lag_transactions", "Transactions of the leader that the follower has not applied. NaN when unknown."),
		errant:   gauge("node_errant_transactions", "Transactions that the follower committed itself and the leader lacks."),
		probes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellwether", Name: "node_probe_duration_seconds", Help: "Time of a probe that was answered.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12),
		}, []string{"node"}),
		failures:   counter("node_probe_failures_total", "Probes that were not answered.", "node"),
		ejections:  counter("node_ejections_total", "How often the follower stopped serving reads.", "node"),
		heartbeats: counter("heartbeat_writes_total", "Attempts to write the heartbeat, by result.", "result"),
		peeks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellwether", Name: "node_position_queries_total", Help: "Questions for a follower's position alone, while reads wait for it, by result.",
		}, []string{"node", "result"}),
		epoch: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "bellwether", Name: "topology_epoch", Help: "Grows with each change of leader; 0 before the first is known."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.up, m.eligible, m.leader, m.lag, m.lagTx, m.errant,
		m.probes, m.failures, m.ejections, m.heartbeats, m.peeks, m.epoch,
	}
}

func (m *metrics) probed(o *Observation) {
	if o.Err != nil {
		m.failures.WithLabelValues(o.Node).Inc()
		return
	}
	m.probes.WithLabelValues(o.Node).Observe(o.Received.Sub(o.Sent).Seconds())
}

func (m *metrics) show(node string, v *verdict) {
	m.up.WithLabelValues(node).Set(number(v.State == topology.StateUp))
	m.eligible.WithLabelValues(node).Set(number(v.Eligible))
	m.leader.WithLabelValues(node).Set(number(v.Role == topology.RoleLeader))
	lag, tx := math.NaN(), math.NaN()
	if v.Lag.Known {
		lag, tx = v.Lag.Behind.Seconds(), float64(v.Lag.Tx)
	}
	m.lag.WithLabelValues(node).Set(lag)
	m.lagTx.WithLabelValues(node).Set(tx)
	m.errant.WithLabelValues(node).Set(float64(v.Errant))
}

func (m *metrics) forget(node string) {
	for _, g := range []*prometheus.GaugeVec{m.up, m.eligible, m.leader, m.lag, m.lagTx, m.errant} {
		g.DeleteLabelValues(node)
	}
	m.probes.DeleteLabelValues(node)
	m.failures.DeleteLabelValues(node)
	m.peeks.DeletePartialMatch(prometheus.Labels{"node": node})
	m.ejections.DeleteLabelValues(node)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
