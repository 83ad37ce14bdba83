package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// provideProcesses makes the nodes as local processes, linked through relays.
func (c *Cluster) provideProcesses(ctx context.Context) error {
	program, err := sandbox.Find(ctx, c.Options.Flavor)
	if err != nil {
		return err
	}
	for i := range c.Options.Followers + 1 {
		n := &Node{name: fmt.Sprintf("db%d", i+1), index: i, cluster: c}
		o := sandbox.NodeOptions{
			Server: program, Name: n.name, Dir: filepath.Join(c.dir, n.name), ServerID: n.ServerID(),
			Durable: c.Options.Durable, PerformanceSchema: c.Options.PerformanceSchema, TLS: c.Certs,
			ExtraArgs: c.extraArgs(n.name),
		}
		if c.Options.NodeDir != nil {
			c.Options.NodeDir(n.name, o.Dir)
		}
		s, err := sandbox.NewNode(o)
		if err != nil {
			return err
		}
		n.server = s
		c.nodes = append(c.nodes, n)
	}
	c.net = newRelayNetwork(c, "127.0.0.1")
	return nil
}

func (c *Cluster) extraArgs(name string) []string {
	args := append([]string(nil), c.Options.ExtraArgs...)
	if c.Options.NodeArgs != nil {
		args = append(args, c.Options.NodeArgs(name)...)
	}
	return args
}
