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
func writeConfig(folder string, nodes []*sandbox.Node, port int) (path string, cfg *configs.Config, err error) {
	mysqlPort, err := pickPort(port, DefaultPort)
	if err != nil {
		return "", nil, err
	}
	admin, err := pickPort(0, adminPort)
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(folder, "bellwether.yaml")
	if err := os.WriteFile(path, []byte(configText(nodes, mysqlPort, admin)), 0o600); err != nil {
		return "", nil, fmt.Errorf("write the configuration: %w", err)
	}
	cfg, err = configs.Load(path)
	return path, cfg, err
}

func configText(nodes []*sandbox.Node, port, admin int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The configuration of this demo. Change it while it runs: weights, max_lag,
# rules, nodes. What is wrong is refused, and the old one stays.
listen:
  address: 127.0.0.1:%d       # needs a restart, like the addresses below
cluster:
  flavor: %s
  nodes:
`, port, nodes[0].Server().Flavor)
	for _, n := range nodes {
		fmt.Fprintf(&b, "    - {name: %s, address: \"%s\", weight: 100}\n", n.Name(), n.Addr())
	}
	fmt.Fprintf(&b, `  user: %s
  password: %s
routing:
  max_lag: 1s                    # a follower that is further behind gets no reads
  no_follower: leader            # leader | error, when no follower may be read
  rules: []
admin:
  address: 127.0.0.1:%d
shutdown:
  drain: 2s
`, sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password, admin)
	return b.String()
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
