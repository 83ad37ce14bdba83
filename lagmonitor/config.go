package lagmonitor

import (
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Config is what a Monitor watches, and how.
type Config struct {
	Nodes  []NodeConfig
	Flavor gtid.Flavor // FlavorUnknown: ask the nodes

	User           string // needs SELECT on the heartbeat table, and the rights of docs/lag.md
	Password       string
	TLS            mysqlconn.TLS
	ConnectTimeout time.Duration

	Interval   time.Duration // between probes of a node
	Timeout    time.Duration // of one probe
	Failures   int           // failed probes in a row until a node is down
	Recoveries int           // good probes in a row until an ejected follower comes back
	MaxLag     time.Duration // a follower further behind, or unknown, is not eligible

	Heartbeat Heartbeat

	// Following tells what the engine does with a node; false for the leader. nil:
	// the servers replicate by themselves. It is not changed by Reconfigure.
	Following func(node string) (Following, bool)
}

// NodeConfig is one server, as the operator describes it.
type NodeConfig struct {
	Name    string
	Address string // as in mysqlconn.Config
	Weight  int
	Zone    string
	Role    topology.Role // RoleUnknown: whatever it shows itself to be
	Drain   bool          // no new reads
}

// Heartbeat is the row on the leader that tells lag across restarts of the proxy.
type Heartbeat struct {
	Enabled  bool
	Interval time.Duration
	Schema   string
}

// DefaultConfig returns everything but nodes and credentials.
func DefaultConfig() Config {
	return Config{
		ConnectTimeout: 2 * time.Second,
		Interval:       200 * time.Millisecond,
		Timeout:        time.Second,
		Failures:       3,
		Recoveries:     3,
		MaxLag:         time.Second,
		Heartbeat:      Heartbeat{Enabled: true, Interval: 500 * time.Millisecond, Schema: "bellwether"},
	}
}

// Validate says what cannot work.
func (c *Config) Validate() error {
	var errs []error
	names, leaders := map[string]bool{}, 0
	for i, n := range c.Nodes {
		switch {
		case n.Name == "":
			errs = append(errs, fmt.Errorf("node %d has no name", i))
		case names[n.Name]:
			errs = append(errs, fmt.Errorf("two nodes are called %q", n.Name))
		case n.Address == "":
			errs = append(errs, fmt.Errorf("node %q has no address", n.Name))
		}
		names[n.Name] = true
		if n.Role == topology.RoleLeader {
			leaders++
		}
	}
	if leaders > 1 {
		errs = append(errs, errors.New("more than one node is configured as leader"))
	}
	if len(c.Nodes) == 0 {
		errs = append(errs, errors.New("no nodes"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"interval", c.Interval}, {"timeout", c.Timeout}, {"max lag", c.MaxLag}} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive", d.name))
		}
	}
	if c.Failures < 1 || c.Recoveries < 1 {
		errs = append(errs, errors.New("failures and recoveries must be at least 1"))
	}
	if c.Heartbeat.Enabled && (c.Heartbeat.Interval <= 0 || c.Heartbeat.Schema == "") {
		errs = append(errs, errors.New("the heartbeat needs an interval and a schema"))
	}
	return errors.Join(errs...)
}

// standby says whether another Bellwether's engine replicates to a node.
func (c *Config) standby(node string) func() bool {
	following := c.Following
	return func() bool {
		if following == nil {
			return false
		}
		f, ok := following(node)
		return ok && f.Standby
	}
}
