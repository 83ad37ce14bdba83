package executor

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/lineage"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// compare tells where a node's history and the leader's part though their numbers do not. It
// changes neither.
func (h *hands) compare(ctx context.Context, a *failover.Action) failover.Done {
	d := failover.Done{ID: a.ID}
	forks, err := h.forks(ctx, a.Node, a.Leader)
	if err != nil {
		d.Err = describe(err)
	}
	d.Fork = forkText(forks)
	return d
}

func forkText(forks []lineage.Fork) string {
	var texts []string
	for _, f := range forks {
		texts = append(texts, f.String())
	}
	return strings.Join(texts, "; ")
}

// forks compares what two nodes have under the same GTIDs. A server whose binlog the account of
// replication may not read, or that writes none, cannot be compared: that is told, and no error.
func (h *hands) forks(ctx context.Context, node, leader string) ([]lineage.Fork, error) {
	var sides [2]*lineage.Server
	for i, name := range []string{node, leader} {
		s, err := h.server(ctx, name)
		if err != nil {
			return nil, err
		}
		o := stream.Options{Flavor: s.flavor, Leader: mysqlconn.Config{
			Address: s.address, User: h.cfg.Replication.User, Password: h.cfg.Replication.Password, TLS: h.cfg.TLS,
			ConnectTimeout: h.cfg.ConnectTimeout, Program: "bellwether lineage",
		}}
		if sides[i], err = lineage.Ask(ctx, s.pool, o); err != nil {
			return nil, err
		}
	}
	forks, err := lineage.Find(ctx, sides[0], sides[1])
	if _, _, refused := mysqlconn.ServerError(err); refused {
		h.log.Warn("the histories of two nodes cannot be compared", "node", node, "leader", leader, "error", mysqlconn.Describe(err))
		return nil, nil
	}
	return forks, err
}

// errForked says that a node has other transactions than its leader under the same GTIDs.
var errForked = errors.New("it has other transactions than the leader under the same GTIDs")

// without is the state of a server that has only what another one has of it, too: what is behind a
// fork is none of that, whatever its number.
func (s *state) without(forks []lineage.Fork) *state {
	out := *s
	out.Written = maps.Clone(s.Written)
	for _, f := range forks {
		if s.Flavor == gtid.MySQL {
			out.Executed = out.Executed.Subtract(f.Common)
		} else {
			out.Written[f.Writer] = f.First - 1
		}
	}
	return &out
}
