package replicator

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	state        *prometheus.GaugeVec
	transactions *prometheus.CounterVec
	stops        *prometheus.CounterVec
	copies       *prometheus.CounterVec
	copied       *prometheus.GaugeVec
	relayBytes   prometheus.Gauge
	differences  *prometheus.GaugeVec
	verified     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bellwether", Name: name, Help: help}, []string{"node"})
	}
	m := &metrics{
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "replication_state",
			Help: "What the engine does with the follower: 1 for its state, 0 for the others.",
		}, []string{"node", "state"}),
		transactions: counter("replication_transactions_total", "Transactions that the engine committed on the follower."),
		stops:        counter("replication_stops_total", "How often the engine had to stop the follower."),
		copies:       counter("replication_copies_total", "Initial copies to the follower that were completed."),
		copied: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "replication_copied_ratio",
			Help: "How much of the leader has been copied to the follower, 0 to 1.",
		}, []string{"node"}),
		relayBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "relay_log_bytes",
			Help: "How large the relay log is, from which followers read; 0: each reads from the leader by itself.",
		}),
		differences: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "replication_differences",
			Help: "Rows and tables of the follower that were not as on the leader when they were compared last.",
		}, []string{"node"}),
		verified: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "replication_verified_timestamp_seconds",
			Help: "When the followers were compared with the leader last.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.state, m.transactions, m.stops, m.copies, m.copied, m.relayBytes, m.differences, m.verified} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) show(s *Status) {
	for st := StateWaiting; st <= StateStopped; st++ {
		v := 0.0
		if st == s.State {
			v = 1
		}
		m.state.WithLabelValues(s.Node, st.String()).Set(v)
	}
	if s.State == StateCopying {
		m.copied.WithLabelValues(s.Node).Set(s.Copied / 100)
	}
}

func (m *metrics) forget(node string) {
	m.state.DeletePartialMatch(prometheus.Labels{"node": node})
	m.copied.DeleteLabelValues(node)
	m.differences.DeleteLabelValues(node)
}
