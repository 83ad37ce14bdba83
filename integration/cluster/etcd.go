package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// StartEtcd runs a real etcd with one member, and ends it with the test. endpoint is
// host:port. With certs it speaks TLS only, and asks clients for a certificate.
func StartEtcd(t testing.TB, certs ...*sandbox.Certs) (endpoint string, process *os.Process) {
	t.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		program = filepath.Join("..", "..", ".cache", "etcd", "usr", "bin", "etcd")
	}
	var ports [2]string
	for i := range ports {
		port, err := sandbox.FreePort()
		Must(t, err)
		ports[i] = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	}
	client, peer := "http://"+ports[0], "http://"+ports[1]
	var args []string
	for _, c := range certs {
		client = "https://" + ports[0]
		args = []string{"--cert-file", c.ServerCert, "--key-file", c.ServerKey, "--trusted-ca-file", c.CA, "--client-cert-auth"}
	}
	cmd := exec.Command(program, append(args, "--name", "m", "--data-dir", t.TempDir(), "--log-level", "error",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "m="+peer)...)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start etcd (scripts/setup.sh brings it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return ports[0], cmd.Process
}
