package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Check loads the file at path and writes to w what `bellwether check` says:
// "ok" with a summary and warnings, or each error with its line and key. With
// against it adds what a reload would change: against is the path of another
// file (the one in use), or the address of a running proxy's admin side, such
// as http://127.0.0.1:9307. It returns whether the file can be used.
func Check(w io.Writer, path, against string) bool {
	c, err := Load(path)
	if err != nil {
		writeErrors(w, err)
		return false
	}
	fmt.Fprintf(w, "%s: ok (%s)\n", path, c.summary())
	for _, p := range c.Warnings() {
		fmt.Fprintf(w, "warning: %s\n", p.Error())
	}
	if against == "" {
		return true
	}
	old, err := loadAgainst(against)
	if err != nil {
		fmt.Fprintln(w, "the configuration to compare with cannot be read:")
		writeErrors(w, err)
		return false
	}
	WriteDiff(w, Diff(old, c))
	return true
}

// loadAgainst reads what to compare with.
func loadAgainst(against string) (*Config, error) {
	if !strings.HasPrefix(against, "http://") && !strings.HasPrefix(against, "https://") {
		return Load(against)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	resp, err := client.Get(strings.TrimSuffix(against, "/") + "/v1/config")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var view struct {
		Effective json.RawMessage `json:"effective"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxConfigFile))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(body, &view)
	}
	if err != nil {
		return nil, fmt.Errorf("%s/v1/config: %w", strings.TrimSuffix(against, "/"), err)
	}
	return parseEffective(against, view.Effective)
}

// parseEffective reads what MarshalJSON wrote: JSON is YAML too. Passwords are
// not in it; Diff takes them as unchanged.
func parseEffective(name string, effective []byte) (*Config, error) {
	c, err := Parse(name, effective)
	if err != nil {
		return nil, err
	}
	for _, s := range []*Secret{&c.Cluster.Password, &c.Replication.Password, &c.Admin.Password, &c.Coordination.Etcd.Password} {
		s.hidden = s.Value == redacted
	}
	for i := range c.Users {
		c.Users[i].Password.hidden = c.Users[i].Password.Value == redacted
	}
	return c, nil
}

func (c *Config) summary() string {
	s := fmt.Sprintf("%s, %s", plural(len(c.Cluster.Nodes), "node"), plural(len(c.Routing.Rules), "rule"))
	if len(c.Users) > 0 {
		s += ", " + plural(len(c.Users), "user")
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func writeErrors(w io.Writer, err error) {
	fmt.Fprintln(w, err)
	if all, ok := errors.AsType[Errors](err); ok {
		fmt.Fprintln(w, plural(len(all), "error"))
	}
}

// WriteDiff writes what a reload would change, one line each, and whether it
// can be applied without a restart.
func WriteDiff(w io.Writer, changes []Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "a reload would change nothing")
		return
	}
	fmt.Fprintln(w, "a reload would change:")
	for _, c := range changes {
		mark := "  "
		if !c.Hot {
			mark = "! "
		}
		fmt.Fprintf(w, "  %s%s\n", mark, c.What)
	}
	if n := len(NeedRestart(changes)); n > 0 {
		fmt.Fprintf(w, "a reload would be rejected: %s marked ! need a restart\n", plural(n, "change"))
		return
	}
	fmt.Fprintln(w, "all of it is applied without a restart")
}

// Warnings says what is allowed but probably not meant. Like all messages, they
// hold no secrets.
func (c *Config) Warnings() []*Problem {
	var k checker
	if !c.Cluster.Password.IsSet() {
		k.add("cluster.password", "none is given: user %s has to be able to log in without one", c.Cluster.User)
	}
	if h := c.Monitor.Heartbeat; h.Enabled && c.Routing.MaxLag < 2*h.Interval {
		k.add("routing.max_lag", "%s is close to monitor.heartbeat.interval (%s), the grain of the measure: followers may come and go",
			formatDuration(c.Routing.MaxLag), formatDuration(h.Interval))
	}
	readable := 0
	for i := range c.Cluster.Nodes {
		if n := &c.Cluster.Nodes[i]; n.ReadWeight() > 0 && n.State != "drain" {
			readable++
		}
	}
	if readable < 2 && c.Routing.NoFollower == "error" {
		k.add("routing.no_follower", "with fewer than two active nodes, error refuses every read")
	}
	if c.Listen.TLS.Mode != "off" && c.Listen.TLS.Cert == "" && c.Listen.TLS.Mode == "required" {
		k.add("listen.tls.cert", "none is given: clients cannot verify the certificate that is made at start")
	}
	return k.problems
}
