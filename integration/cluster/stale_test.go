package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// deadPID is the id of a process that has ended.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestFoldersOfDeadRunsAreRemoved(t *testing.T) {
	shared := os.TempDir() //nolint:usetesting // where the runs of all processes have their folders
	dead := filepath.Join(shared, fmt.Sprintf("%s%d-x", runPrefix, deadPID(t)))
	live := filepath.Join(shared, fmt.Sprintf("%s%d-x", runPrefix, os.Getpid()))
	for _, dir := range []string{dead, live} {
		Must(t, os.Mkdir(dir, 0o700))
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	removeStale()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the folder of a dead run is still there (%v)", err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Errorf("the folder of this run: %v", err)
	}
}

func TestContainersOfDeadRunsAreRemoved(t *testing.T) {
	if !slices.Contains(Providers(), Docker) {
		t.Skip("docker is not among BELLWETHER_PROVIDERS")
	}
	needDocker(t)
	ctx := context.Background()
	image, err := imageFor(ctx, Flavors()[0])
	Must(t, err)
	names := map[string]int{"dead": deadPID(t), "live": os.Getpid()}
	for name, pid := range names {
		full := fmt.Sprintf("bw-stale-%s-%d", name, os.Getpid())
		label := fmt.Sprintf("%s=%d", pidLabel, pid)
		_, err := docker(ctx, "network", "create", "--label", label, full)
		Must(t, err)
		t.Cleanup(func() { _, _ = docker(ctx, "network", "rm", full) })
		_, err = docker(ctx, "create", "--name", full, "--label", label, "--network", full, image)
		Must(t, err)
		t.Cleanup(func() { _, _ = docker(ctx, "rm", "-f", "-v", full) })
	}
	removeStaleContainers()
	for _, list := range [][]string{{"ps", "-a", "--format", "{{.Names}}"}, {"network", "ls", "--format", "{{.Name}}"}} {
		out, err := docker(ctx, list...)
		Must(t, err)
		if strings.Contains(out, fmt.Sprintf("bw-stale-dead-%d", os.Getpid())) {
			t.Errorf("docker %s: a dead run's is still there", list[0])
		}
		if !strings.Contains(out, fmt.Sprintf("bw-stale-live-%d", os.Getpid())) {
			t.Errorf("docker %s: this run's is gone", list[0])
		}
	}
}
