package maintenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Access says how to reach the nodes of a configuration.
type Access struct {
	Config *configs.Config
	// User and Password are of an account that may do the work; an empty User means
	// the one of the configuration (cluster.user), which is made for watching only.
	User, Password string
	// Leader is the name of the node that leads; empty: the only one that is not
	// read-only.
	Leader string
}

// reach says how to connect to a node.
func (a *Access) reach(n *configs.Node) (mysqlconn.Config, error) {
	c := a.Config
	cfg := mysqlconn.Config{
		Address: n.Address, User: a.User, Password: a.Password, ConnectTimeout: c.Cluster.ConnectTimeout,
		TLS:     mysqlconn.TLS{Mode: c.Cluster.TLS.Mode, CA: c.Cluster.TLS.CA, Cert: c.Cluster.TLS.Cert, Key: c.Cluster.TLS.Key},
		Program: "bellwether maintenance",
	}
	if a.User == "" {
		password, err := c.Cluster.Password.Resolve()
		if err != nil {
			return cfg, fmt.Errorf("cluster.password: %w", err)
		}
		cfg.User, cfg.Password = c.Cluster.User, password
	}
	return cfg, nil
}

// open connects to one node with a pool of that many connections.
func (a *Access) open(ctx context.Context, n *configs.Node, conns int) (*node.Server, error) {
	cfg, err := a.reach(n)
	if err != nil {
		return nil, err
	}
	s, err := node.Open(ctx, n.Name, cfg, conns)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", n.Name, mysqlconn.Describe(err))
	}
	return s, nil
}

// node finds a node of the configuration by its name.
func (a *Access) node(name string) (*configs.Node, error) {
	nodes := a.Config.Cluster.Nodes
	if i := slices.IndexFunc(nodes, func(n configs.Node) bool { return n.Name == name }); i >= 0 {
		return &nodes[i], nil
	}
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return nil, fmt.Errorf("no node is called %q; there are %s", name, strings.Join(names, ", "))
}

// leader connects to the node that leads. A node that cannot be reached may lead
// as well, so that then the leader must have been named.
func (a *Access) leader(ctx context.Context, conns int, except string) (*configs.Node, *node.Server, error) {
	if a.Leader != "" {
		n, err := a.node(a.Leader)
		if err != nil {
			return nil, nil, err
		}
		s, err := a.open(ctx, n, conns)
		return n, s, err
	}
	var found *configs.Node
	var server *node.Server
	for i := range a.Config.Cluster.Nodes {
		n := &a.Config.Cluster.Nodes[i]
		if n.Name == except {
			continue
		}
		s, writable, err := a.writable(ctx, n, conns)
		switch {
		case err != nil:
			return nil, nil, errors.Join(fmt.Errorf("to find the leader all nodes are asked; name it instead: %w", err), closeIf(server))
		case !writable:
			_ = s.Close()
		case found != nil:
			_ = s.Close()
			return nil, nil, errors.Join(fmt.Errorf("%s and %s both take writes; name the leader", found.Name, n.Name), closeIf(server))
		default:
			found, server = n, s
		}
	}
	if found == nil {
		return nil, nil, errors.New("no node takes writes (all are read-only)")
	}
	return found, server, nil
}

func (a *Access) writable(ctx context.Context, n *configs.Node, conns int) (*node.Server, bool, error) {
	s, err := a.open(ctx, n, conns)
	if err != nil {
		return nil, false, err
	}
	readOnly, err := s.ReadOnly(ctx)
	if err != nil {
		return nil, false, errors.Join(err, s.Close())
	}
	return s, !readOnly, nil
}

func closeIf(s *node.Server) error {
	if s == nil {
		return nil
	}
	return s.Close()
}
