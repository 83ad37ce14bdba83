package cluster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// EnvImage names a container image to use instead of the project's own, as
// mysql:8.4 or mariadb:11.4.
const EnvImage = "BELLWETHER_DB_IMAGE"

// pidLabel is on all containers and networks: the id of the test process.
const pidLabel = "bellwether.test.pid"

// rootPassword is root's in containers.
const rootPassword = "root-secret"

func dockerWanted() bool { return slices.Contains(Providers(), Docker) && dockerAnswers() == nil }

// docker runs the docker command and returns what it printed.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, text)
	}
	return text, nil
}

// removeStaleContainers removes containers and networks of dead test processes.
func removeStaleContainers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	format := fmt.Sprintf("{{.ID}} {{.Label %q}}", pidLabel)
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-a"}, []string{"rm", "-f", "-v"}},
		{[]string{"network", "ls"}, []string{"network", "rm"}},
	} {
		out, err := docker(ctx, append(kind.list, "--filter", "label="+pidLabel, "--format", format)...)
		if err != nil {
			continue
		}
		for line := range strings.Lines(out) {
			id, pid, ok := strings.Cut(strings.TrimSpace(line), " ")
			if ok && !processLives(pid) {
				_, _ = docker(ctx, append(kind.remove, id)...)
			}
		}
	}
}

// imageFor is the image of a flavour: the one that the environment names, or ours.
func imageFor(ctx context.Context, flavor string) (string, error) {
	if image := os.Getenv(EnvImage); image != "" {
		return image, nil
	}
	name, version, _ := strings.Cut(flavor, "-")
	image := "bellwether-test/" + name + ":" + version
	if _, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", image); err != nil {
		return "", fmt.Errorf("no image %s (run `make setup-images`, or name one in %s): %w", image, EnvImage, err)
	}
	return image, nil
}

// imageFlavor is the flavour of a named image, as mysql-8.4 of mysql:8.4.
func imageFlavor(image string) string {
	base := image[strings.LastIndexByte(image, '/')+1:]
	name, tag, _ := strings.Cut(base, ":")
	if strings.Contains(name, "mysql") {
		name = "mysql"
	} else {
		name = "mariadb"
	}
	if tag == "" || tag == "latest" {
		return name
	}
	return name + "-" + tag
}

// provideContainers makes a network and a container for each node, not started.
func (c *Cluster) provideContainers(ctx context.Context) error {
	image, err := imageFor(ctx, c.Options.Flavor)
	if err != nil {
		return err
	}
	bridge, err := newBridgeNetwork(ctx, c)
	if err != nil {
		return err
	}
	c.net = bridge
	for i := range c.Options.Followers + 1 {
		n := &Node{name: fmt.Sprintf("db%d", i+1), index: i, cluster: c}
		s := &container{
			name:    fmt.Sprintf("%s-%s", bridge.name, n.name),
			ip:      bridge.nodeIP(i),
			runDir:  filepath.Join(c.dir, n.name),
			network: bridge.name,
		}
		n.server = s
		c.nodes = append(c.nodes, n)
		if err := s.create(ctx, c, n, image); err != nil {
			return err
		}
	}
	if c.Options.Relays {
		c.net = &relayedBridge{relayNetwork: newRelayNetwork(c, bridge.gateway()), bridge: bridge}
	}
	return nil
}

// container is a database server in a container.
type container struct {
	name, ip, runDir, network string

	mu     sync.Mutex // guards all below
	paused bool
	db     *sql.DB
}

var _ server = (*container)(nil)

func (s *container) create(ctx context.Context, c *Cluster, n *Node, image string) error {
	// The official images run the server as a user of their own, who must be
	// able to make its socket in this folder.
	if err := os.MkdirAll(s.runDir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(s.runDir, 0o777); err != nil {
		return err
	}
	args := []string{
		"create", "--name", s.name, "--hostname", n.name,
		"--label", fmt.Sprintf("%s=%d", pidLabel, os.Getpid()),
		"--network", s.network, "--ip", s.ip,
		"--mount", "type=bind,src=" + s.runDir + ",dst=/bellwether",
		"--mount", "type=volume,dst=/var/lib/mysql",
		"-e", "MARIADB_ROOT_PASSWORD=" + rootPassword, "-e", "MYSQL_ROOT_PASSWORD=" + rootPassword,
		"--stop-timeout", "60",
	}
	if c.Certs != nil {
		args = append(args, "--mount", "type=bind,readonly,src="+filepath.Dir(c.Certs.CA)+",dst=/certs")
	}
	args = append(args, image, "--socket=/bellwether/sock", "--port=3306", "--report-host="+s.ip,
		"--innodb-buffer-pool-size=32M")
	args = append(args, sandbox.ServerArgs(c.Flavor, n.ServerID(), c.Options.Durable, c.Options.PerformanceSchema)...)
	if c.Certs != nil {
		args = append(args, "--ssl-ca=/certs/ca.pem", "--ssl-cert=/certs/server-cert.pem", "--ssl-key=/certs/server-key.pem")
	}
	_, err := docker(ctx, append(args, c.extraArgs(n.name)...)...)
	return err
}

func (s *container) Addr() string { return net.JoinHostPort(s.ip, "3306") }

func (s *container) DB() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		s.db = sandbox.OpenRoot("unix", filepath.Join(s.runDir, "sock"), rootPassword)
	}
	return s.db
}

// Start starts the container and waits until the server takes connections over
// the network: the official images first run a server that does not.
func (s *container) Start(ctx context.Context) error {
	if _, err := docker(ctx, "start", s.name); err != nil {
		return err
	}
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.Addr())
		if err == nil {
			_ = conn.Close()
			err = s.DB().PingContext(ctx)
		}
		if err == nil {
			return nil
		}
		if state, inspectErr := docker(ctx, "inspect", "--format", "{{.State.Status}}", s.name); inspectErr == nil && state == "exited" {
			return fmt.Errorf("container %s ended; its log ends:\n%s", s.name, s.Log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("container %s does not answer: %w (%w)", s.name, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *container) Stop(ctx context.Context) error {
	if err := s.Continue(); err != nil {
		return err
	}
	_, err := docker(ctx, "stop", s.name)
	return err
}

func (s *container) Kill() error {
	_, err := docker(context.Background(), "kill", s.name)
	s.mu.Lock()
	s.paused = false
	s.mu.Unlock()
	return err
}

func (s *container) Pause() error    { return s.freeze("pause", true) }
func (s *container) Continue() error { return s.freeze("unpause", false) }

func (s *container) freeze(command string, paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == paused {
		return nil
	}
	_, err := docker(context.Background(), command, s.name)
	if err == nil {
		s.paused = paused
	}
	return err
}

func (s *container) Log() string {
	out, err := docker(context.Background(), "logs", "--tail", "40", s.name)
	if err != nil {
		return err.Error()
	}
	return out
}

// Close removes the container and its volume.
func (s *container) Close() error {
	s.mu.Lock()
	if s.db != nil {
		_ = s.db.Close()
		s.db = nil
	}
	s.mu.Unlock()
	_, err := docker(context.Background(), "rm", "-f", "-v", s.name)
	if err != nil && strings.Contains(err.Error(), "No such container") {
		return nil // it was never made
	}
	return err
}

// pid is the id of the container's first process, on this host.
func (s *container) pid(ctx context.Context) (string, error) {
	pid, err := docker(ctx, "inspect", "--format", "{{.State.Pid}}", s.name)
	if err == nil && pid == "0" {
		err = errors.New("container " + s.name + " does not run")
	}
	return pid, err
}

// clearBinlog empties the binlog of a new follower: what the image's own set-up
// wrote there would diverge from the leader.
func clearBinlog(ctx context.Context, db *sql.DB, f gtid.Flavor) error {
	if f == gtid.MariaDB {
		_, err := db.ExecContext(ctx, "RESET MASTER")
		return err
	}
	if _, err := db.ExecContext(ctx, "RESET BINARY LOGS AND GTIDS"); err == nil {
		return nil
	}
	_, err := db.ExecContext(ctx, "RESET MASTER") // before 8.2
	return err
}
