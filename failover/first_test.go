package failover

import (
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// TestFirst: the node that is configured to lead first does, unless another one shows that
// it led, or followed, beyond it, or cannot be asked.
func TestFirst(t *testing.T) {
	at := func(text string) gtid.Set {
		s, err := gtid.Parse(gtid.MariaDB, text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := time.Now()
	for name, c := range map[string]struct {
		db1, db2 Sight
		want     bool
	}{
		"plain servers":                  {Sight{Executed: at("0-1-9")}, Sight{Executed: at("0-2-20")}, true},
		"one that denies our account":    {Sight{}, Sight{New: ReachDenied}, true},
		"one that does not answer":       {Sight{}, Sight{New: ReachSilent}, false},
		"it is read-only":                {Sight{ReadOnly: true}, Sight{}, false},
		"it follows":                     {Sight{Link: &Link{Source: "db2"}}, Sight{}, false},
		"the other one led later":        {Sight{Epoch: 3, Executed: at("0-1-9")}, Sight{Epoch: 4, Executed: at("0-1-9")}, false},
		"the other one has more of it":   {Sight{Epoch: 3, Executed: at("0-1-9")}, Sight{Epoch: 3, Executed: at("0-1-10")}, false},
		"the record was lost, all equal": {Sight{Epoch: 3, Executed: at("0-1-9")}, Sight{Epoch: 3, Executed: at("0-1-8")}, true},
	} {
		m := New(Config{Self: "p", First: "db1", Nodes: []NodeConfig{{Name: "db1"}, {Name: "db2"}}, Freshness: time.Minute})
		for node, s := range map[string]Sight{"db1": c.db1, "db2": c.db2} {
			s.Observer, s.Node, s.At, s.Sent = "p", node, now, now
			if s.New == ReachUnknown {
				s.New = ReachAnswers
			}
			m.see(s)
		}
		if got := m.view(now).first(); (got != nil) != c.want || got != nil && got.Name != "db1" {
			t.Errorf("%s: %v", name, got)
		}
		m.rec = topology.Record{Leader: "db2"}
		if got := m.view(now).first(); got != nil {
			t.Errorf("%s: though db2 is written down: %v", name, got)
		}
	}
}
