package executor

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/failover"
)

type metrics struct {
	coordinates, lease, writes, changing prometheus.Gauge
	problems                             *prometheus.GaugeVec
	changes                              *prometheus.CounterVec
	took                                 *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "bellwether", Name: name, Help: help})
	}
	m := &metrics{
		coordinates: gauge("failover_coordinates", "1: this process decides who leads."),
		lease:       gauge("failover_lease", "1: this process may route writes; 0: it cannot reach etcd, or not in time."),
		writes:      gauge("failover_writes", "1: statements that write go on; 0: they are held."),
		changing:    gauge("failover_changing", "1: the leader is being changed."),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellwether", Name: "failover_problems",
			Help: "1 for each problem that is seen now, by its code in the detection table.",
		}, []string{"code", "node"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellwether", Name: "leader_changes_total",
			Help: "Changes of the leader that this process coordinated, by how they ended.",
		}, []string{"kind", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellwether", Name: "leader_change_seconds", Help: "How long a change of the leader took that was finished, from the decision to its end.",
			Buckets: []float64{.05, .1, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60},
		}, []string{"kind"}),
	}
	m.changes.WithLabelValues("failover", "finished") // so that the first one is an increase
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.coordinates, m.lease, m.writes, m.changing, m.problems, m.changes, m.took} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("failover: %w", err)
		}
	}
	return m, nil
}

// show tells the present state; was are the problems that were told last.
func (m *metrics) show(v *View, was []failover.Problem) {
	for _, p := range []struct {
		gauge prometheus.Gauge
		is    bool
	}{{m.coordinates, v.Held}, {m.lease, v.Lease}, {m.writes, v.Writes}, {m.changing, v.Step != ""}} {
		value := 0.0
		if p.is {
			value = 1
		}
		p.gauge.Set(value)
	}
	for _, p := range v.Problems {
		m.problems.WithLabelValues(p.Rule.Code, p.Node).Set(1)
	}
	for _, p := range was {
		gone := true
		for _, q := range v.Problems {
			gone = gone && (q.Rule != p.Rule || q.Node != p.Node)
		}
		if gone {
			m.problems.DeleteLabelValues(p.Rule.Code, p.Node)
		}
	}
}

// ended counts a change of the leader that is over.
func (m *metrics) ended(i *Incident) {
	m.changes.WithLabelValues(i.Kind, i.Outcome).Inc()
	if i.Outcome == "finished" {
		m.took.WithLabelValues(i.Kind).Observe(i.TookMS / 1000)
	}
}
