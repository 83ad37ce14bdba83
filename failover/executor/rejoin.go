package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/lineage"
	"github.com/bellwetherdb/bellwether/replicator/rewind"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// compare tells where a node's history and the leader's part though their numbers do not. It
// changes neither. Where not all could be compared, and nothing was found, it fails, and is done again.
func (h *hands) compare(ctx context.Context, a *failover.Action) failover.Done {
	d := failover.Done{ID: a.ID}
	forks, err := h.forks(ctx, a.Node, a.Leader)
	if err != nil && len(forks) == 0 {
		d.Err = describe(err)
	}
	d.Fork = lineage.String(forks)
	return d
}

// differs fails with errForked where a node's history parts from the leader's, and says where.
func (h *hands) differs(ctx context.Context, a *failover.Action) (string, error) {
	forks, err := h.forks(ctx, a.Node, a.Leader)
	switch {
	case len(forks) > 0:
		err = errForked
	case errors.Is(err, lineage.ErrPart):
		err = nil // it may be this very node that the leader's commits wait for; compare comes later
	}
	return lineage.String(forks), err
}

// forks compares what two nodes have under the same GTIDs. Where the accounts may not see that,
// nothing is known, which is told.
func (h *hands) forks(ctx context.Context, node, leader string) ([]lineage.Fork, error) {
	side := func(name string) (lineage.Side, error) {
		s, err := h.server(ctx, name)
		if err != nil {
			return lineage.Side{}, err
		}
		return lineage.Side{DB: s.pool, Files: true, Binlog: stream.Options{Flavor: s.flavor, Leader: mysqlconn.Config{
			Address: s.address, User: h.cfg.Replication.User, Password: h.cfg.Replication.Password, TLS: h.cfg.TLS,
			ConnectTimeout: h.cfg.ConnectTimeout, Program: "bellwether lineage",
		}}}, nil
	}
	n, err := side(node)
	if err != nil {
		return nil, err
	}
	l, err := side(leader)
	if err != nil {
		return nil, err
	}
	forks, err := lineage.Compare(ctx, n, l)
	if errors.Is(err, lineage.ErrUnknown) {
		h.log.Warn("a node with another history than the leader's would not be noticed", "node", node, "leader", leader, "error", err)
		err = nil
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

// rejoin takes a node back. What the leader does not hold is saved first. What becomes of the
// node then is takeBack's to say; at worst it stays as it is: read-only, following nobody, serving
// nothing.
func (h *hands) rejoin(ctx context.Context, s *server, a *failover.Action) error {
	switch st, err := look(ctx, s.db, s.flavor); {
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case st.Copying:
		return s.errHalf()
	}
	if _, err := s.fenceHard(ctx, h.cfg.own()); err != nil {
		return err
	}
	if err := s.halt(ctx); err != nil {
		return err
	}
	leader, err := h.server(ctx, a.Leader)
	if err != nil {
		return err
	}
	st, lst, err := h.both(ctx, s, leader)
	if err != nil {
		return err
	}
	forks, err := h.forks(ctx, s.name, leader.name)
	if err != nil && !errors.Is(err, lineage.ErrPart) { // see differs
		return err
	}
	has := lst.Executed
	lst = lst.without(forks)
	own := divergent(st, lst)
	unbringable := h.unbringable(s, st, own, has)
	if own.IsEmpty() && unbringable != nil {
		return fmt.Errorf("%s: %w: it is quarantined until it is copied anew", s.name, unbringable)
	}
	if own.IsEmpty() {
		return h.followFrom(ctx, s, leader, true)
	}
	// Whoever copies it anew lets it follow, and its applier must wait for nobody.
	if err := s.acknowledge(ctx); err != nil {
		return err
	}
	if h.rescue == nil {
		return fmt.Errorf("%s has %d transactions of its own (%s), they were not saved: it is quarantined until it is copied anew", s.name, own.Count(), own)
	}
	q := rescueRequest{server: s, node: st, leader: lst, own: own, epoch: a.Epoch}
	path, err := h.rescue.save(ctx, q)
	if err != nil {
		return fmt.Errorf("%s has %d transactions of its own (%s), and they could not be saved: %w", s.name, own.Count(), own, err)
	}
	return h.takeBack(ctx, q, leader, path, unbringable)
}

// unbringable is an error where a node without its own transactions would not get all that its
// leader has: MySQL's own receiver drops, without a word, what bears the id of its own server, so
// that what a server wrote and lost comes to it in a copy only.
func (h *hands) unbringable(s *server, st *state, own, leader gtid.Set) error {
	if h.cfg.Engine != nil || s.mariadb() {
		return nil
	}
	if lost := leader.OfSource(st.UUID).Subtract(st.Executed.Subtract(own)); !lost.IsEmpty() {
		return fmt.Errorf("it has lost %d of its transactions that the leader has (%s), and MySQL's own replication does not bring them back", lost.Count(), lost)
	}
	return nil
}

// takeBack makes a node equal to its leader whose own transactions are saved: they are undone where
// that is exact, and the engine compares and copies otherwise. Without an engine, or where neither
// is wanted, it stays as it is. unbringable is why it could not follow once they are undone; nil for
// nothing.
func (h *hands) takeBack(ctx context.Context, q rescueRequest, leader *server, saved string, unbringable error) error {
	s, own := q.server, q.own
	why := "failover.returned is keep"
	if !h.cfg.Keep {
		err := unbringable
		if err == nil {
			err = h.rewind(ctx, q, saved)
		}
		if err == nil {
			h.log.Warn("a returned leader had transactions of its own; they are undone", "node", s.name, "transactions", own.Count(), "gtids", own.String(), "where", saved)
			return h.followFrom(ctx, s, leader, true)
		}
		why = mysqlconn.Describe(err)
		if i, ok := errors.AsType[*rewind.Inexact](err); ok {
			why = i.Error()
		}
		h.log.Warn("what a returned leader has of its own was not undone", "node", s.name, "why", why)
	}
	if h.cfg.Engine == nil || h.cfg.Keep {
		return fmt.Errorf("%s has %d transactions of its own (%s), saved in %s: it is quarantined until it is copied anew (%s)", s.name, own.Count(), own, saved, why)
	}
	h.log.Warn("a returned leader had transactions of its own; it is made equal to the leader", "node", s.name, "transactions", own.Count(), "gtids", own.String(), "where", saved)
	if err := s.standAside(ctx); err != nil {
		return err
	}
	return h.cfg.Engine.Repair(s.name)
}
