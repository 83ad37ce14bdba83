package demo

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// nodeCounts is what a server itself counts of statements of clients: all that
// came through Bellwether, and none of its own.
type nodeCounts struct {
	Known         bool
	Reads, Writes uint64
}

// routeKey is where statements went, and why.
type routeKey struct{ Target, Reason string }

// sample is all counters at one moment.
type sample struct {
	At     time.Time
	Nodes  map[string]nodeCounts
	Routes map[routeKey]uint64
	Load   loadSample
}

// countNode asks a server how many reads and writes it has executed for accounts
// other than the sandbox's own.
func countNode(ctx context.Context, n *sandbox.Node) (c nodeCounts, err error) {
	if n.Server().Flavor == gtid.MariaDB { // with userstat=ON
		err = n.DB().QueryRowContext(ctx, "SELECT COALESCE(SUM(SELECT_COMMANDS),0), COALESCE(SUM(UPDATE_COMMANDS),0)"+
			" FROM information_schema.USER_STATISTICS WHERE USER NOT IN ('root','bellwether','repl','engine') AND USER NOT LIKE '#%'").
			Scan(&c.Reads, &c.Writes)
		c.Known = err == nil
		return c, err
	}
	// MySQL counts by account what is sent as text; of a prepared statement it
	// counts that it was executed, not what it is. Those of the load only read.
	events, err := counters(ctx, n.DB(), "SELECT EVENT_NAME, SUM(COUNT_STAR)"+
		" FROM performance_schema.events_statements_summary_by_user_by_event_name"+
		" WHERE USER NOT IN ('root','bellwether','repl','engine') GROUP BY EVENT_NAME")
	if err != nil {
		return c, err
	}
	for _, name := range []string{"sql/select", "com/Execute"} {
		c.Reads += events["statement/"+name]
	}
	for _, name := range []string{"insert", "insert_select", "update", "delete", "replace"} {
		c.Writes += events["statement/sql/"+name]
	}
	c.Known = true
	return c, nil
}

// counters reads rows of a name and a number.
func counters(ctx context.Context, db *sql.DB, query string) (map[string]uint64, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := make(map[string]uint64)
	for rows.Next() {
		var name string
		var n uint64
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, rows.Err()
}

// countNodes asks all servers at once. One that does not answer has no counts.
func countNodes(ctx context.Context, nodes []*sandbox.Node) map[string]nodeCounts {
	ctx, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
	defer cancel()
	out := make(map[string]nodeCounts, len(nodes))
	var mu sync.Mutex // guards out
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			c, _ := countNode(ctx, n) // a node that does not answer is not known
			mu.Lock()
			defer mu.Unlock()
			out[n.Name()] = c
		})
	}
	wg.Wait()
	return out
}

// countRoutes reads where statements went, and why, from Bellwether's metrics.
func countRoutes(g prometheus.Gatherer) map[routeKey]uint64 {
	out := make(map[routeKey]uint64)
	families, _ := g.Gather() // what was gathered is good, whatever else failed
	for _, f := range families {
		if f.GetName() != "bellwether_statements_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			var k routeKey
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "target":
					k.Target = l.GetValue()
				case "reason":
					k.Reason = l.GetValue()
				}
			}
			out[k] += uint64(m.GetCounter().GetValue())
		}
	}
	return out
}

// tally adds up what counters say over the restarts of what counts.
type tally struct {
	last  map[string]nodeCounts
	total map[string]nodeCounts
}

// add takes new counts and returns the totals since the first ones. A counter
// that is smaller than before has begun anew.
func (t *tally) add(now map[string]nodeCounts) map[string]nodeCounts {
	if t.total == nil {
		t.last, t.total = make(map[string]nodeCounts), make(map[string]nodeCounts)
	}
	out := make(map[string]nodeCounts, len(now))
	for name, n := range now {
		total := t.total[name]
		if n.Known {
			if last := t.last[name]; last.Known {
				total.Reads += since(last.Reads, n.Reads)
				total.Writes += since(last.Writes, n.Writes)
			}
			t.last[name], t.total[name] = n, total
		}
		total.Known = n.Known
		out[name] = total
	}
	return out
}

func since(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// changes says, for people, what became different from one snapshot to the next.
func changes(old, next *topology.Snapshot) []string {
	var out []string
	for _, n := range next.Nodes {
		was := old.Node(n.Name)
		if was == nil {
			continue
		}
		switch {
		case was.State != n.State && n.State == topology.StateDown:
			out = append(out, n.Name+" is down"+because(n.Why))
		case was.Eligible && !n.Eligible && n.Role != topology.RoleLeader:
			out = append(out, n.Name+" gets no reads"+because(n.Why))
		case !was.Eligible && n.Eligible && n.Role == topology.RoleFollower:
			out = append(out, n.Name+" gets reads")
		case was.Role != n.Role && n.Role == topology.RoleLeader:
			out = append(out, n.Name+" leads")
		}
	}
	return out
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
