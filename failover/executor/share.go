package executor

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/coord"
)

// shared is what a proxy tells the others: for how long it has not seen each node
// live, in milliseconds. Ages, for their clocks differ.
type shared struct {
	LastAlive map[string]int64 `json:"last_alive_ms"`
}

// alive notes a sign of life.
func (l *Loop) alive(s *seen) {
	if !s.old.Alive() && !s.fresh.Alive() {
		return
	}
	l.aliveMu.Lock()
	defer l.aliveMu.Unlock()
	l.lived[s.node] = s.at
}

// share tells the other proxies, as long as ctx lasts. What cannot be told is of no
// consequence: it is a veto that is missing.
func (l *Loop) share(ctx context.Context) {
	every := time.NewTicker(l.cfg.Policy.Freshness / 4)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			l.aliveMu.Lock()
			lived := maps.Clone(l.lived)
			l.aliveMu.Unlock()
			out := shared{LastAlive: map[string]int64{}}
			for node, at := range lived {
				out.LastAlive[node] = now.Sub(at).Milliseconds()
			}
			b, err := json.Marshal(out)
			if err != nil {
				continue
			}
			sctx, cancel := context.WithTimeout(ctx, l.cfg.Policy.Freshness)
			if err := l.cfg.Coord.Share(sctx, b); err != nil {
				l.log.Debug("what is seen of the nodes cannot be shared", "err", err)
			}
			cancel()
		}
	}
}

// hearsay turns what other proxies told into sights, which only say that a node lived.
// They count as of when they came here, and not later.
func hearsay(reports []coord.Report, now time.Time) []failover.Sight {
	var out []failover.Sight
	for i := range reports {
		var s shared
		if json.Unmarshal(reports[i].Seen, &s) != nil {
			continue
		}
		for node, age := range s.LastAlive {
			at := reports[i].Received.Add(-time.Duration(max(age, 0)) * time.Millisecond)
			if age < 0 || at.After(now) {
				continue
			}
			out = append(out, failover.Sight{
				Observer: reports[i].Observer, Node: node, Sent: at, At: at, Stream: failover.ReachAnswers, Ackers: -1, Acks: -1,
			})
		}
	}
	return out
}
