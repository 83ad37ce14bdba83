package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/proxy"
)

var _ executor.Gate = (*proxy.Server)(nil)

// current is the configuration that is applied.
func (a *App) current() *configs.Config {
	if a.watcher != nil {
		return a.watcher.Current()
	}
	return a.cfg
}

// token is what requests that change something must bear; empty for none.
func (a *App) token() string {
	t, err := a.current().Admin.Password.Resolve()
	if err != nil {
		return "" // was loaded with the configuration, so it cannot fail
	}
	return t
}

// switchover makes another node the leader, one at a time.
func (a *App) switchover(ctx context.Context, req admin.SwitchoverRequest) (admin.SwitchoverView, error) {
	if !a.switching.TryLock() {
		return admin.SwitchoverView{}, admin.ErrBusy
	}
	defer a.switching.Unlock()
	c := a.current()
	for i := range c.Cluster.Nodes {
		if n := &c.Cluster.Nodes[i]; a.loop == nil && (n.Role == "leader" || n.Role == "follower") {
			why := fmt.Sprintf("the configuration says that %s is a %s (cluster.nodes): take roles out of the file first", n.Name, n.Role)
			return admin.SwitchoverView{DryRun: req.DryRun, Reasons: []string{why}}, admin.ErrRefused
		}
	}
	cfg, err := a.switchoverConfig(c)
	if err != nil {
		return admin.SwitchoverView{}, err
	}
	var r executor.Report
	change := func(ctx context.Context, s *executor.Succession) (err error) {
		r, err = executor.Switchover(ctx, cfg, a.store, a.proxy, s, req.To, req.DryRun, a.log.With("part", "switchover"))
		return err
	}
	if a.loop == nil || req.DryRun {
		err = change(ctx, nil)
	} else {
		err = a.loop.Visit(ctx, change)
	}
	switch {
	case errors.Is(err, executor.ErrRefused):
		err = admin.ErrRefused
	case errors.Is(err, executor.ErrBusy):
		return admin.SwitchoverView{}, fmt.Errorf("%w: %w", admin.ErrBusy, err)
	}
	return switchoverView(&r), err
}

func (a *App) switchoverConfig(c *configs.Config) (executor.Config, error) {
	own, err := c.Cluster.Password.Resolve()
	if err != nil {
		return executor.Config{}, fmt.Errorf("cluster.password: %w", err)
	}
	password, err := c.Replication.Password.Resolve()
	if err != nil {
		return executor.Config{}, fmt.Errorf("replication.password: %w", err)
	}
	out := executor.Config{
		User: c.Cluster.User, Password: own, TLS: nodeTLS(c), ConnectTimeout: c.Cluster.ConnectTimeout,
		Replication: executor.Account{User: c.Replication.User, Password: password},
		Timeout:     c.Replication.SwitchoverTimeout, Acks: acksOf(c), Keep: c.Failover.Returned == "keep",
	}
	if a.engine != nil {
		out.Engine = engineHand{a.engine, c.Replication.User}
	}
	return out, nil
}

// acksOf is for how many followers Bellwether lets the leader wait, for certain.
func acksOf(c *configs.Config) int {
	switch {
	case c.Failover.Mode == "off":
		return 0
	case c.Replication.Mode == "engine":
		return promisedAcks(c)
	default:
		return c.Failover.Acks
	}
}

func switchoverView(r *executor.Report) admin.SwitchoverView {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	v := admin.SwitchoverView{
		From: r.From, To: r.To, DryRun: r.DryRun, Done: r.Done, Position: r.Position, HeldMS: ms(r.Held),
		Reasons: r.Reasons, Warnings: r.Warnings,
	}
	for _, s := range r.Steps {
		v.Steps = append(v.Steps, admin.StepView{Name: s.Name, TookMS: ms(s.Took), Error: s.Err})
	}
	return v
}
