package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/coord"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// beside makes a path of the configuration one beside the file.
func (a *App) beside(path string) string {
	if filepath.IsAbs(path) || a.opts.Path == "" {
		return path
	}
	return filepath.Join(filepath.Dir(a.opts.Path), path)
}

// newLoop builds what changes the leader when it dies; nil where that is off.
func (a *App) newLoop() error {
	c := a.cfg
	if c.Failover.Mode == "off" {
		return nil
	}
	servers, err := a.switchoverConfig(c)
	if err != nil {
		return err
	}
	servers.Timeout = time.Minute // contexts are shorter, but for a rescue
	dir := a.beside(c.Failover.Directory)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("failover.directory: %w", err)
	}
	keeper, self, err := a.coordinator(dir)
	if err != nil {
		return err
	}
	policy := failoverPolicy(c, self)
	cfg := executor.LoopConfig{
		Servers: servers, Policy: policy, Flavor: flavorOf(c.Cluster.Flavor), Interval: c.Failover.ProbeInterval, Timeout: probeTimeout(c),
		Coord: keeper, Gate: a.proxy, Store: a.store, Appoint: a.monitor.Appoint, Heartbeat: a.heartbeat, Answered: a.proxy.Answered,
		Dir: dir, Log: a.log.With("part", "failover"), Metrics: a.registry,
	}
	if c.Failover.Hook != "" {
		cfg.Hook = a.beside(c.Failover.Hook)
	}
	for i := range c.Cluster.Nodes {
		cfg.Targets = append(cfg.Targets, executor.Target{Name: c.Cluster.Nodes[i].Name, Address: c.Cluster.Nodes[i].Address})
	}
	a.loop, err = executor.NewLoop(cfg)
	return err
}

// probeTimeout leaves time for three probes in the heartbeat timeout.
func probeTimeout(c *configs.Config) time.Duration {
	return min(c.Failover.HeartbeatTimeout/3, time.Second)
}

func failoverPolicy(c *configs.Config, self string) failover.Config {
	p := failover.Defaults()
	p.Compare = true
	p.Self, p.Acks, p.Automatic = self, acksOf(c), c.Failover.Mode == "automatic"
	p.HeartbeatTimeout, p.MinInterval, p.MaxFailovers = c.Failover.HeartbeatTimeout, c.Failover.MinInterval, c.Failover.MaxPerHour
	// A look tries an old connection and then a new one.
	p.Freshness = max(p.Freshness, 2*probeTimeout(c)+5*c.Failover.ProbeInterval)
	p.Pause = max(p.Pause, p.Freshness)
	if len(c.Coordination.Etcd.Endpoints) > 0 {
		p.LeaseTTL = c.Coordination.Etcd.TTL
	}
	for i := range c.Cluster.Nodes {
		n := &c.Cluster.Nodes[i]
		p.Nodes = append(p.Nodes, failover.NodeConfig{Name: n.Name, Zone: n.Zone})
		if n.Role == "leader" {
			p.First = n.Name
		}
	}
	return p
}

// coordinator opens the record, and says by which name this proxy is known.
func (a *App) coordinator(dir string) (coord.Coordinator, string, error) {
	c := &a.cfg.Coordination
	host, err := os.Hostname()
	if err != nil {
		host = "bellwether"
	}
	self := c.Etcd.Name
	if self == "" {
		self = host + a.cfg.Listen.Address
	}
	if len(c.Etcd.Endpoints) == 0 {
		path := filepath.Join(dir, "record.json")
		if c.Local.Path != "" {
			path = a.beside(c.Local.Path)
		}
		l, err := coord.OpenLocal(path)
		if err != nil {
			return nil, "", fmt.Errorf("coordination: %w", err)
		}
		a.closers = append(a.closers, l.Close)
		return l, self, nil
	}
	client, err := etcdClient(&c.Etcd)
	if err != nil {
		return nil, "", fmt.Errorf("coordination.etcd: %w", err)
	}
	connect := func(ctx context.Context) (*clientv3.Client, error) {
		attempt := client
		attempt.Context = ctx
		return clientv3.New(attempt)
	}
	prefix := strings.TrimSuffix(c.Etcd.Prefix, "/") + "/"
	return coord.NewEtcd(connect, coord.EtcdConfig{
		Self: self, Prefix: prefix, TTL: c.Etcd.TTL, Margin: c.Etcd.TTL / 10, Renew: c.Etcd.TTL / 5,
	}, a.log.With("part", "coordination")), self, nil
}

// etcdClient says how etcd is connected to.
func etcdClient(c *configs.EtcdCoordination) (out clientv3.Config, err error) {
	password, err := c.Password.Resolve()
	if err != nil {
		return out, fmt.Errorf("password: %w", err)
	}
	encryption, err := mysqlconn.TLS{Mode: c.TLS.Mode, CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key}.Config("")
	if err != nil {
		return out, fmt.Errorf("tls: %w", err)
	}
	endpoints := c.Endpoints
	if encryption != nil {
		endpoints = slices.Clone(endpoints)
		for i := range endpoints {
			endpoints[i] = "https://" + endpoints[i]
		}
	}
	return clientv3.Config{
		Endpoints: endpoints, DialTimeout: c.TTL / 2, Logger: zap.NewNop(), TLS: encryption, Username: c.User, Password: password,
	}, nil
}

// heartbeat is the monitor's latest beat in the loop's terms.
func (a *App) heartbeat() executor.Heartbeat {
	b := a.monitor.Beat()
	return executor.Heartbeat{Address: b.Address, Began: b.Began, Ended: b.Ended, Written: b.Written, Err: b.Err}
}

// sameNodes says whether both configurations name the same servers.
func sameNodes(a, b *configs.Config) bool {
	if len(a.Cluster.Nodes) != len(b.Cluster.Nodes) {
		return false
	}
	for i := range a.Cluster.Nodes {
		if a.Cluster.Nodes[i].Name != b.Cluster.Nodes[i].Name || a.Cluster.Nodes[i].Address != b.Cluster.Nodes[i].Address {
			return false
		}
	}
	return true
}

// sameAcks says whether both promise the same about acknowledgements.
func sameAcks(a, b *configs.Config) bool { return acksOf(a) == acksOf(b) }

// failoverView is the state of the loop for people.
func (a *App) failoverView() admin.FailoverView {
	v := a.loop.View()
	out := admin.FailoverView{
		Mode: a.cfg.Failover.Mode, Coordinates: v.Held, Lease: v.Lease, Writes: v.Writes, Step: v.Step,
		Leader: v.Record.Leader, Epoch: v.Record.Reign, Acks: v.Record.Acks, Members: v.Record.Members, Problems: []admin.ProblemView{},
		Past: []admin.ReignView{},
	}
	for _, r := range v.Record.Past {
		out.Past = append(out.Past, admin.ReignView(r))
	}
	for i := range v.Problems {
		p := &v.Problems[i]
		out.Problems = append(out.Problems, admin.ProblemView{
			Code: p.Rule.Code, Node: p.Node, Text: p.Text, Since: p.Since, Response: p.Rule.Response.String(),
		})
	}
	return out
}

// failover gives the leader up by decision.
func (a *App) failover(ctx context.Context, req admin.FailoverRequest) (admin.FailoverAnswer, error) {
	kind := failover.AskFailover
	if req.Unblock {
		kind = failover.AskUnblock
	}
	got, err := a.loop.Ask(ctx, failover.Request{Kind: kind, To: req.To, Force: req.Force, DryRun: req.DryRun})
	if err != nil {
		return admin.FailoverAnswer{}, err
	}
	out := admin.FailoverAnswer{DryRun: req.DryRun, Leader: got.Node, Epoch: got.Epoch, Text: got.Text, Reasons: got.Reasons}
	switch {
	case len(got.Reasons) > 0:
		return out, admin.ErrRefused
	case got.Err != "":
		return out, fmt.Errorf("%s", got.Err)
	}
	if req.Unblock {
		out.Text = "automatic failovers so far count no longer"
	}
	out.Done = !req.DryRun
	return out, nil
}

func (a *App) incidents(limit int) any {
	list, err := a.loop.Incidents(limit)
	if err != nil {
		a.log.Error("the incidents cannot be read", "err", err)
	}
	return list
}
