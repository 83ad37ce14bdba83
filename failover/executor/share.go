package executor

import (
	"context"
	"encoding/json"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/coord"
)

// shared is what a proxy tells the others: for how long it has not seen each node
// live, and since when a node that it saw has refused connections, in milliseconds.
// Ages, for their clocks differ.
type shared struct {
	LastAlive map[string]int64 `json:"last_alive_ms"`
	Refuses   map[string]int64 `json:"refuses_ms,omitempty"` // takes back what an older sign of life says
}

// alive notes a sign of life, or that nobody listens there any more.
func (l *Loop) alive(s *seen) {
	alive := s.old.Alive() || s.fresh.Alive()
	if !alive && s.fresh != failover.ReachRefused {
		return
	}
	l.aliveMu.Lock()
	_, known := l.refuses[s.node]
	if alive {
		l.lived[s.node] = s.at
		delete(l.refuses, s.node)
	} else {
		l.refuses[s.node] = s.at
	}
	l.aliveMu.Unlock()
	if !alive && !known {
		select {
		case l.urgent <- struct{}{}: // at once: others wait for it
		default:
		}
	}
}

// share tells the other proxies, as long as ctx lasts. What cannot be told is of no
// consequence: it is a veto that is missing, or one that lasts a little longer.
func (l *Loop) share(ctx context.Context) {
	every := time.NewTicker(l.cfg.Policy.Freshness / 4)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-l.urgent:
		}
		b, err := json.Marshal(l.told(time.Now()))
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

func (l *Loop) told(now time.Time) shared {
	l.aliveMu.Lock()
	defer l.aliveMu.Unlock()
	out := shared{LastAlive: map[string]int64{}, Refuses: map[string]int64{}}
	for node, at := range l.lived {
		out.LastAlive[node] = now.Sub(at).Milliseconds()
	}
	for node, at := range l.refuses {
		out.Refuses[node] = now.Sub(at).Milliseconds()
	}
	return out
}

// hearsay turns what other proxies told into sights, which only say that a node lived, or
// has refused connections since. They count as of when they came here, and not later.
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
			sight := failover.Sight{
				Observer: reports[i].Observer, Node: node, Sent: at, At: at, Stream: failover.ReachAnswers, Ackers: -1, Acks: -1,
			}
			if r, refuses := s.Refuses[node]; refuses && 0 <= r && r < age {
				at = reports[i].Received.Add(-time.Duration(r) * time.Millisecond)
				sight.Sent, sight.At, sight.Stream, sight.New = at, at, failover.ReachUnknown, failover.ReachRefused
			}
			out = append(out, sight)
		}
	}
	return out
}
