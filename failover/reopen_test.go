package failover

import (
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// A coordinator that never saw the leader of the record take writes finds it read-only: it
// is opened again only if it has started anew in this reign, and has what followers have.
func TestFreshCoordinatorReopensTheLeader(t *testing.T) {
	set := func(text string) gtid.Set {
		s, err := gtid.Parse(gtid.MariaDB, text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name      string
		restarted bool
		leader    string
		followers []string // executed by each that answers
		want      ActionKind
		code      string
	}{
		{"it has everything", true, "0-1-10", []string{"0-1-10", "0-1-9"}, Open, "leader-restarted"},
		{"somebody made it read-only", false, "0-1-10", []string{"0-1-10", "0-1-9"}, 0, "leader-read-only"},
		{"a follower has more", true, "0-1-10", []string{"0-1-10", "0-1-11"}, 0, "leader-lost-data"},
		{"not enough followers are seen", true, "0-1-10", []string{"0-1-10"}, 0, "leader-read-only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Self, cfg.Nodes, cfg.Acks, cfg.Automatic = "p", []NodeConfig{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}, 1, false
			m := New(cfg)
			now := time.Unix(1e9, 0)
			m.Step(Coordination{Held: true, Record: topology.Record{
				Epoch: 4, Reign: 4, Leader: "db1", Members: cfg.Names(), Acks: 1, Settled: true, Revision: 9,
			}}, now)
			var got []Action
			for range 3 {
				for i, at := range tt.followers {
					got = append(got, m.Step(Seen{Sight{
						Observer: "p", Node: cfg.Nodes[i+1].Name, Sent: now, At: now, Old: ReachAnswers, ReadOnly: true, Epoch: 4,
						Executed: set(at), Received: set(at), Link: &Link{Source: "db1", Applying: true},
					}}, now)...)
				}
				got = append(got, m.Step(Seen{Sight{
					Observer: "p", Node: "db1", Sent: now, At: now, Old: ReachAnswers, ReadOnly: true, Epoch: 4, Restarted: tt.restarted,
					Booted: now.Add(-5 * time.Second), Executed: set(tt.leader), Received: set(tt.leader), Ackers: -1, Acks: -1,
				}}, now)...)
				now = now.Add(100 * time.Millisecond)
			}
			if p := m.Problems(); len(p) == 0 || p[0].Rule.Code != tt.code {
				t.Errorf("problems: %+v, want %s first", p, tt.code)
			}
			opened := ActionKind(0)
			for _, a := range got {
				if a.Kind == Open && a.Node == "db1" {
					opened = Open
				}
			}
			if opened != tt.want {
				t.Errorf("opened: %v, want %v", opened, tt.want)
			}
		})
	}
}
