package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// bellwetherTarget is Bellwether before the leader and the followers in nodes; settings are
// sections of its configuration.
func bellwetherTarget(name, dir, binary string, nodes []*sandbox.Node, settings ...string) *target {
	return &target{name: name, start: func(t *target) error {
		if _, err := os.Stat(binary); err != nil {
			return fmt.Errorf("%w: run `make build`", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		conf := filepath.Join(dir, "bellwether.yaml")
		if err := os.WriteFile(conf, []byte(bellwetherConfig(nodes, settings)), 0o600); err != nil {
			return err
		}
		addresses, log := filepath.Join(dir, "addresses.json"), filepath.Join(dir, "log")
		if err := os.Remove(addresses); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		var err error
		t.proxy, err = startLogged(exec.Command(binary, "serve", "--config", conf, "--addresses-file", addresses), log)
		if err != nil {
			return err
		}
		var admin string
		if err := t.wait(log, func() bool { return readAddresses(addresses, &t.addr, &admin) }); err != nil {
			return err
		}
		return t.wait(log, func() bool { return eligible(admin) == len(nodes)-1 })
	}}
}

// bellwetherConfig is the default configuration but for the settings and for what a load
// test on one small machine needs: as many connections as are asked for from one address.
func bellwetherConfig(nodes []*sandbox.Node, settings []string) string {
	var b strings.Builder
	b.WriteString("listen:\n  address: 127.0.0.1:0\ncluster:\n  nodes:\n")
	for _, n := range nodes {
		fmt.Fprintf(&b, "    - {name: %s, address: %q}\n", n.Name(), n.Addr())
	}
	fmt.Fprintf(&b, "  user: %s\n  password: %s\n", sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password)
	b.WriteString(strings.Join(settings, "\n"))
	b.WriteString(`
monitor:
  timeout: 10s
limits:
  max_connections: 20000
  max_unauthenticated_per_address: 10000
admin:
  address: 127.0.0.1:0
log:
  level: warn
`)
	return b.String()
}

func readAddresses(path string, mysql, admin *string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var a struct{ MySQL, Admin string }
	if json.Unmarshal(text, &a) != nil || a.MySQL == "" {
		return false // half written
	}
	*mysql, *admin = a.MySQL, a.Admin
	return true
}

// eligible is how many nodes serve reads; -1 when that cannot be known.
func eligible(admin string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/v1/topology", nil)
	if err != nil {
		return -1
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct {
		Nodes []struct {
			Role     string
			Eligible bool
		}
	}
	if json.NewDecoder(resp.Body).Decode(&v) != nil {
		return -1
	}
	n := 0
	for _, node := range v.Nodes {
		if node.Eligible && node.Role == "follower" {
			n++
		}
	}
	return n
}
