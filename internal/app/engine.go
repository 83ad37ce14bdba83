package app

import (
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/lagmonitor"
	"github.com/bellwetherdb/bellwether/replicator"
	"github.com/bellwetherdb/bellwether/replicator/quorum"
)

// engineConfig is the configuration in the engine's terms.
func engineConfig(c *configs.Config, nodeTLS mysqlconn.TLS) (replicator.Config, error) {
	password, err := c.Replication.Password.Resolve()
	if err != nil {
		return replicator.Config{}, fmt.Errorf("replication.password: %w", err)
	}
	out := replicator.Config{
		Coordinated: c.Failover.Mode != "off",
		Account: mysqlconn.Config{
			User: c.Replication.User, Password: password, TLS: nodeTLS, ConnectTimeout: c.Cluster.ConnectTimeout,
		},
		ApplyConnections: c.Replication.ApplyConnections, CopyWorkers: c.Replication.Copy.Workers, CopyMaxBytesPerSecond: int64(c.Replication.Copy.MaxRate),
	}
	out.Verify = replicator.VerifyConfig{Interval: c.Replication.Verify.Interval, Pause: c.Replication.Verify.Pause}
	if r := c.Replication.RelayLog; r.MaxSize > 0 {
		out.Relay.Dir, out.Relay.MaxSize = r.Directory, int64(r.MaxSize)
	}
	acks, _ := c.Replication.AckCount(len(c.Cluster.Nodes)) // it was validated
	switch acks {
	case configs.AcksAll:
		acks = quorum.All
	case configs.AcksRelay:
		acks, out.Relay.Acknowledge = 1, true
	}
	out.Acks = quorum.Policy{
		Acks: acks, MinInSync: c.Replication.MinInSync, Degrade: c.Replication.OnInsufficient == "degrade", MaxLag: c.Replication.InSyncLag,
	}
	if out.Coordinated {
		out.Heartbeat = min(time.Second, c.Failover.HeartbeatTimeout/3)
	}
	for i := range c.Cluster.Nodes {
		n := &c.Cluster.Nodes[i]
		out.Nodes = append(out.Nodes, replicator.NodeConfig{Name: n.Name, Address: n.Address})
		if n.Role == "leader" {
			out.Leader = n.Name
		}
	}
	return out, nil
}

// promisedAcks is how many followers certainly have what was acknowledged, whatever the engine
// does while too few are in sync.
func promisedAcks(c *configs.Config) int {
	n, _ := c.Replication.AckCount(len(c.Cluster.Nodes)) // it was validated
	switch {
	case c.Replication.OnInsufficient == "degrade", n == configs.AcksRelay:
		return 0
	case n == configs.AcksAll:
		return max(1, c.Replication.MinInSync)
	default:
		return n
	}
}

// engineHand is the engine in the terms of who changes the leader.
type engineHand struct {
	*replicator.Engine
	user string
}

var _ executor.Engine = engineHand{}

func (e engineHand) User() string { return e.user }

func (e engineHand) Lead(leader string, epoch uint64, members []string, own bool) <-chan struct{} {
	return e.Engine.Lead(replicator.Reign{Leader: leader, Epoch: epoch, Own: own, Members: members})
}

func (e engineHand) Link(node string) (executor.EngineLink, bool) {
	l, ok := e.Engine.Link(node)
	return executor.EngineLink(l), ok
}

func (e engineHand) InSync() int {
	s, ok := e.Acknowledgement()
	if !ok {
		return -1
	}
	return len(s.InSync)
}

// acknowledgement is what the engine says of it, for people.
func (a *App) acknowledgement() *admin.AckView {
	s, ok := a.engine.Acknowledgement()
	if !ok {
		return nil
	}
	return &admin.AckView{State: s.State.String(), Why: s.Why, InSync: s.InSync, Insufficient: s.Short, Unacknowledged: s.Waiting}
}

// verification is what the engine's comparison found, for people.
func (a *App) verification() admin.VerificationView {
	v, ok := a.engine.Verification()
	out := admin.VerificationView{Configured: ok, Followers: []string{}, Differences: []string{}, Error: v.Err, Different: v.Different}
	if v.Began.IsZero() {
		return out
	}
	out.BeganAt, out.Tables, out.Rows = &v.Began, v.Progress.Tables, v.Progress.Rows
	out.TablesDone = v.Progress.TablesDone
	out.Followers, out.Differences = append(out.Followers, v.Followers...), append(out.Differences, v.Differences...)
	if !v.Ended.IsZero() {
		out.EndedAt = &v.Ended
		if v.Err == "" {
			out.TablesDone = out.Tables
		}
	}
	return out
}

// following is what the engine does with a node, in the lag monitor's terms.
func (a *App) following(node string) (lagmonitor.Following, bool) {
	s, ok := a.engine.Status(node)
	if !ok {
		return lagmonitor.Following{}, false
	}
	f := lagmonitor.Following{Leader: s.Leader, Applied: s.Applied, Why: s.Why, Text: s.Text()}
	switch s.State {
	case replicator.StateStreaming:
		f.Receiving, f.Applying = true, true
	case replicator.StateWaiting:
		// It has all that it received; reads go on while the leader is away.
		f.Applying = !s.Applied.IsEmpty()
	case replicator.StateStandby:
		f.Receiving, f.Applying, f.Standby = true, s.Whole, true
	case replicator.StateCopying, replicator.StateStopped:
		f.Why = f.Text
	}
	return f, true
}
