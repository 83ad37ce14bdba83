package demo

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// The ports that the demo takes where they are free.
const (
	DefaultPort = 3307
	adminPort   = 9307
)

// writeConfig writes the configuration of Bellwether for the cluster into the
// folder, and reads it as `bellwether serve` would.
func (d *demo) writeConfig() (path string, cfg *configs.Config, err error) {
	mysqlPort, err := pickPort(d.o.Port, DefaultPort)
	if err != nil {
		return "", nil, err
	}
	admin, err := pickPort(0, adminPort)
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(d.folder, "bellwether.yaml")
	if err := os.WriteFile(path, []byte(d.configText(mysqlPort, admin)), 0o600); err != nil {
		return "", nil, fmt.Errorf("write the configuration: %w", err)
	}
	cfg, err = configs.Load(path)
	return path, cfg, err
}

func (d *demo) configText(port, admin int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The configuration of this demo. Change it while it runs: weights, max_lag,
# rules, nodes. What is wrong is refused, and the old one stays.
listen:
  address: 127.0.0.1:%d       # needs a restart, like the addresses below
cluster:
  flavor: %s
  nodes:
`, port, d.server.Flavor)
	for i, n := range d.cluster.Nodes() {
		role := ""
		if i == 0 && !d.o.Native {
			role = ", role: leader" // at first
		}
		fmt.Fprintf(&b, "    - {name: %s, address: \"%s\", weight: 100%s}\n", n.Name(), n.Addr(), role)
	}
	fmt.Fprintf(&b, `  user: %s
  password: %s
routing:
  max_lag: 1s                    # a follower that is further behind gets no reads
  no_follower: leader            # leader | error, when no follower may be read
  rules: []
%sfailover:
  mode: automatic
%s  min_interval: 0s               # leaders may be killed here as often as you like
  max_per_hour: 0
admin:
  address: 127.0.0.1:%d
shutdown:
  drain: 2s
`, sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password, d.replicationText(), d.acksText(), admin)
	return b.String()
}

func (d *demo) replicationText() string {
	if d.o.Native {
		a := sandbox.ReplicationAccount
		return fmt.Sprintf("replication:\n  user: %s                     # by whom a node follows another one\n  password: %s\n", a.User, a.Password)
	}
	a := sandbox.EngineAccount
	return fmt.Sprintf("replication:\n  mode: engine                   # Bellwether replicates\n  user: %s\n  password: %s\n"+
		"  acks: %d                        # followers that have committed a write before it is acknowledged\n", a.User, a.Password, d.acks())
}

func (d *demo) acksText() string {
	if !d.o.Native {
		return ""
	}
	return fmt.Sprintf("  acks: %d                        # followers that hold a write before it is acknowledged\n", d.acks())
}

// pickPort returns wanted where it is not 0; then it must be free. Else it
// returns the usual port, or any free one.
func pickPort(wanted, usual int) (int, error) {
	if wanted != 0 {
		_, err := tryPort(wanted)
		return wanted, err
	}
	if port, err := tryPort(usual); err == nil {
		return port, nil
	}
	return tryPort(0)
}

func tryPort(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("port %d cannot be used: %w", port, err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
