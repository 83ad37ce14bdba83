package ack

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all Ackers of a process, of which one runs at a time.
type Metrics struct {
	inSync   *prometheus.GaugeVec
	active   prometheus.Gauge
	waiting  prometheus.Gauge
	lacking  prometheus.Gauge
	degraded prometheus.Gauge
	sent     prometheus.Counter
}

// NewMetrics registers them with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "bellwether", Name: name, Help: help})
	}
	m := &Metrics{
		inSync: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "replication_in_sync", Help: "Whether the follower is in the in-sync set.",
		}, []string{"node"}),
		active:   gauge("replication_acknowledging", "Whether this process acknowledges the leader's transactions."),
		waiting:  gauge("replication_unacknowledged", "Transactions of the leader that are not acknowledged to it."),
		lacking:  gauge("replication_insufficient", "Whether fewer followers are in sync than the configuration asks for."),
		degraded: gauge("replication_degraded", "Whether writes are acknowledged without followers, because too few are in sync."),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellwether", Name: "replication_acks_total", Help: "Acknowledgements sent to the leader; each covers all transactions before it.",
		}),
	}
	if reg != nil {
		if err := reg.Register(m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.inSync, m.active, m.waiting, m.lacking, m.degraded, m.sent}
}

// Describe is that of prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect is that of prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func toFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *Metrics) state(s State) { m.active.Set(toFloat(s == StateAcknowledging)) }

func (m *Metrics) short(short, degrade bool) {
	m.lacking.Set(toFloat(short))
	m.degraded.Set(toFloat(short && degrade))
}
