package app

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// runner is a part that runs until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// admin builds the admin side and opens its listener; nil where there is none.
func (a *App) admin(ctx context.Context, at *Addresses) (runner, error) {
	if a.cfg.Admin.Address == "" {
		return nil, nil
	}
	cfg := admin.Config{
		Address: a.cfg.Admin.Address, Topology: a.store.Load, Ready: a.ready, Gatherer: a.registry,
		Config: a.configView, Stats: a.stats, Sessions: a.sessions, Digests: a.digests,
		Switchover: a.switchover, Token: a.token,
		Version: admin.VersionView{Version: a.opts.Version, Go: runtime.Version()},
		Log:     a.log.With("part", "admin"),
	}
	if a.engine != nil {
		cfg.Acknowledgement, cfg.Verification = a.acknowledgement, a.verification
		cfg.Repair = func(r admin.RepairRequest) error { return a.engine.Repair(r.Node) }
	}
	if a.loop != nil {
		cfg.FailoverState, cfg.Failover, cfg.Incidents = a.failoverView, a.failover, a.incidents
	}
	s, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Listen(ctx); err != nil {
		return nil, err
	}
	at.Admin = s.Addr().String()
	return s, nil
}

// ready says why clients would not be served now.
func (a *App) ready() error {
	snap := a.store.Load()
	switch {
	case a.proxy.Draining():
		return errors.New("draining")
	case snap.Leader == nil:
		return errors.New("no leader is known")
	case snap.Leader.State != topology.StateUp:
		return errors.New("the leader is " + snap.Leader.State.String())
	case a.catalog.Accounts() == nil:
		return errors.New("the leader's accounts have not been read yet")
	}
	return nil
}

func (a *App) configView() admin.ConfigView {
	v := admin.ConfigView{Effective: a.cfg, File: a.opts.Path, LoadedAt: a.started}
	if a.watcher != nil {
		st := a.watcher.Status()
		v.Effective = a.watcher.Current()
		v.Hash, v.LoadedAt, v.LastError, v.LastErrorAt = st.Hash, st.LoadedAt, st.LastError, st.LastErrorAt
		v.Reloads, v.Rejected = st.Reloads, st.Rejected
	}
	return v
}

func (a *App) stats() admin.StatsView {
	v := admin.StatsView{StartedAt: a.started, Nodes: []admin.NodeStats{}, Reasons: []admin.ReasonStats{}}
	_, v.Sessions = a.proxy.Sessions(0)
	for _, r := range a.proxy.Routed() {
		v.Statements += r.Count
		v.Reasons = append(v.Reasons, admin.ReasonStats{Target: r.Target, Reason: r.Reason, Count: r.Count})
	}
	for _, n := range a.store.Load().Nodes {
		if n.Load != nil {
			v.Nodes = append(v.Nodes, admin.NodeStats{Name: n.Name, Statements: n.Load.Statements.Load()})
		}
	}
	return v
}

func (a *App) sessions(limit int) admin.SessionsView {
	list, total := a.proxy.Sessions(limit)
	v := admin.SessionsView{Total: total, Sessions: make([]admin.SessionInfo, 0, len(list))}
	for _, s := range list {
		v.Sessions = append(v.Sessions, admin.SessionInfo{
			ID: uint64(s.ID), User: s.User, Client: s.Client, Schema: s.Schema, State: s.State, Node: s.Node, Since: s.Since,
		})
	}
	return v
}

func (a *App) digests(limit int) admin.DigestsView {
	list, total := a.proxy.Digests(limit)
	v := admin.DigestsView{Total: total, Digests: make([]admin.DigestInfo, 0, len(list))}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for _, d := range list {
		v.Digests = append(v.Digests, admin.DigestInfo{
			Digest: d.Digest, Text: d.Text, Count: d.Count, Errors: d.Errors, TotalMS: ms(d.Total), MaxMS: ms(d.Longest),
			Leader: d.Leader, Follower: d.Follower, Reason: d.Reason,
		})
	}
	return v
}
