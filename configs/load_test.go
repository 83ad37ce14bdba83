package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// minimal is a configuration that is valid; tests append to it.
const minimal = "cluster:\n  nodes: [{name: db1, address: db1}]\n"

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsNeedOnlyNodes(t *testing.T) {
	c := Defaults()
	var all Errors
	if err := c.Validate(); !errors.As(err, &all) || len(all) != 1 || all[0].Path != "cluster.nodes" {
		t.Errorf("defaults: want one problem, of cluster.nodes, got %v", err)
	}
	c.Cluster.Nodes = []Node{{Name: "a", Address: "a:3306"}}
	if err := c.Validate(); err != nil {
		t.Errorf("defaults with a node: %v", err)
	}
}

func TestParseValues(t *testing.T) {
	c, err := Parse("f.yaml", []byte(`
listen: {address: "127.0.0.1:3310", compression: [zstd]}
cluster:
  password: 0123
  nodes:
    - &base {name: db1, address: db1, weight: 0, zone: a}
    - {<<: *base, name: db2, address: "::1", role: leader}
    - {address: /run/db3.sock, state: drain}
    - {name: db4, address: "[2001:db8::1]:3307", zone: }
routing:
  max_lag: 1m 30s
  pin: no
  rules: [{max_lag: 7d}]
limits: {retry_buffer: 64 k, max_packet: 16MiB, max_connections: 5_000}
users: [{name: x, password: y}]
`))
	if err != nil {
		t.Fatal(err)
	}
	n := c.Cluster.Nodes
	got := fmt.Sprintln(c.Listen.Address, c.Listen.Compression, n[0].Address, *n[0].Weight, n[0].Role, n[0].State,
		n[1].Name, n[1].Address, n[1].ReadWeight(), n[1].Zone, n[1].Role, n[2].Name, n[2].Address, n[2].ReadWeight(), n[2].State, n[3].Address,
		c.Routing.MaxLag, c.Routing.Pin, *c.Routing.Rules[0].MaxLag, c.Limits.RetryBuffer, c.Limits.MaxPacket, c.Limits.MaxConnections)
	want := "127.0.0.1:3310 [zstd] db1:3306 0 auto active " +
		"db2 [::1]:3306 0 a leader /run/db3.sock /run/db3.sock 100 drain [2001:db8::1]:3307 " +
		"1m30s false 168h0m0s 64KiB 16MiB 5000\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if pw, err := c.Cluster.Password.Resolve(); err != nil || pw != "0123" {
		t.Errorf("a password of digits: %q, %v", pw, err)
	}
	if c.Monitor.Interval != 200*time.Millisecond {
		t.Error("a section that is not given lost its defaults")
	}
}

func TestProblemsHavePlaces(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string // each a line of the error, or a part of one
	}{
		{"empty", "", []string{"f.yaml: cluster.nodes: is required"}},
		{"only a comment", "# nothing\n", []string{"f.yaml: cluster.nodes: is required"}},
		{"null", "~\n", []string{"cluster.nodes: is required"}},
		{"null nodes", "cluster:\n  nodes:\n", []string{"f.yaml:2:9: cluster.nodes: is required"}},
		{"a scalar", "hello\n", []string{"f.yaml:1:1: keys are expected here (listen, cluster, replication ...), not a single value"}},
		{"a list", "- a\n", []string{"not a list"}},
		{"binary", "\x00\x01\xff", []string{"f.yaml: this is not a text file in UTF-8"}},
		{"control characters", "a: \x01\n", []string{"this is not YAML: control characters are not allowed"}},
		{"two documents", minimal + "---\na: 1\n", []string{"f.yaml:3:1: a second YAML document"}},
		{"unclosed", "a: [1, 2\n", []string{"this is not YAML"}},
		{"tab", "cluster:\n\tnodes: []\n", []string{"f.yaml:2: this is not YAML", "indent with spaces"}},
		{"misindented", "cluster:\n  nodes: []\n   user: x\n", []string{"f.yaml:3: this is not YAML", "check the indentation"}},
		{"misspelt key", minimal + "routing:\n  maxlag: 1s\n", []string{"f.yaml:4:3: routing.maxlag: unknown key: did you mean max_lag?"}},
		{"key of another section", minimal + "max_lag: 1s\n", []string{"f.yaml:3:1: max_lag: unknown key: did you mean routing.max_lag?"}},
		{"top-level key in a section", minimal + "  routing: {}\n", []string{"f.yaml:3:3: cluster.routing: unknown key: routing belongs at the top of the file"}},
		{"name from other software", minimal + "servers: []\n", []string{"did you mean cluster.nodes?"}},
		{"nowhere known", minimal + "log: {zzzzzzz: 1}\n", []string{"unknown key; known here: level, format"}},
		{"duplicate key", minimal + "log: {level: info, level: warn}\n", []string{"f.yaml:3:20: log.level: is given twice: first in line 3"}},
		{"duplicate section", minimal + "log: {}\nlog: {}\n", []string{"f.yaml:4:1: log: is given twice: first in line 3"}},
		{"strange key", minimal + "? [a, b]\n: 1\n", []string{"a key must be plain text"}},
		{"no unit", minimal + "routing: {max_lag: 200}\n", []string{`f.yaml:3:20: routing.max_lag: "200" has no unit: did you mean 200ms or 200s?`}},
		{"no duration", minimal + "routing: {max_lag: soon}\n", []string{`"soon" is not a duration`}},
		{"negative duration", minimal + "routing: {max_lag: -1s}\n", []string{"routing.max_lag: is -1s: give 1ms to 8760h"}},
		{"bad size", minimal + "limits: {retry_buffer: 3 cows}\n", []string{`"cows" is not a unit of size`}},
		{"huge size", minimal + "limits: {retry_buffer: 9999999999G}\n", []string{"out of range"}},
		{"bad switch", minimal + "routing: {pin: perhaps}\n", []string{`"perhaps" is neither true nor false`}},
		{"bad number", minimal + "pool: {max_idle: many}\n", []string{`"many" is not a whole number`}},
		{"keys for a value", minimal + "log: {level: {a: b}}\n", []string{"one value is expected here, not keys and values"}},
		{"value for a list", minimal + "listen: {compression: zlib}\n", []string{"a list is expected here, not a single value: did you mean [zlib]?"}},
		{"nodes without dashes", "cluster:\n  nodes:\n    name: db1\n", []string{"f.yaml:3:5: cluster.nodes: a list is expected here, not keys and values: start each entry with a dash"}},
		{"empty entry", "cluster:\n  nodes:\n    - {name: a, address: a}\n    -\n", []string{"f.yaml:4:6: cluster.nodes[1]: an empty entry"}},
		{"enumeration", minimal + "log: {level: warning}\n", []string{`f.yaml:3:14: log.level: is "warning"; it can be debug, info, warn or error: did you mean warn?`}},
		{"a switch for a mode", minimal + "listen: {tls: {mode: true}}\n", []string{"did you mean off or optional?"}},
		{"address without port", minimal + "listen: {address: localhost}\n", []string{`listen.address: "localhost" is not host:port`}},
		{"only a port", minimal + "listen: {address: 3307}\n", []string{"did you mean :3307?"}},
		{"port out of range", minimal + "listen: {address: ':99999'}\n", []string{`"99999" is not a port`}},
		{"node with port 0", "cluster: {nodes: [{address: 'db1:0'}]}", []string{`"0" is not a port`}},
		{"a URL", "cluster: {nodes: [{address: 'mysql://db1:3306'}]}", []string{"did you mean db1:3306, without the scheme?"}},
		{"bare IPv6 and port", "cluster: {nodes: [{address: '2001:db8::g:3306'}]}", []string{"an IPv6 address stands in brackets"}},
		{"no host", "cluster: {nodes: [{address: ':3306'}]}", []string{"names no host"}},
		{"same name", "cluster: {nodes: [{name: a, address: b}, {name: a, address: c}]}", []string{`cluster.nodes[1].name: "a" is the name of nodes[0] too`}},
		{"same address", "cluster: {nodes: [{name: a, address: b}, {name: c, address: 'b:3306'}]}", []string{"is the address of nodes[0] too"}},
		{"no address", "cluster: {nodes: [{name: a}]}", []string{"cluster.nodes[0].address: is required"}},
		{"an engine without an account", "cluster: {nodes: [{address: a, role: leader}]}\nreplication: {mode: engine}", []string{"replication.user: is required with replication.mode engine"}},
		{"an engine with an account of others", "cluster: {nodes: [{address: a, role: leader}]}\nreplication: {mode: engine, user: bellwether}", []string{"replication.user: is cluster.user too"}},
		{"an engine without a leader", "cluster: {nodes: [{address: a}]}\nreplication: {mode: engine, user: e}", []string{"one of them needs role: leader"}},
		{"two leaders", "cluster: {nodes: [{address: a, role: leader}, {address: b, role: leader}]}", []string{"nodes[0] is given as the leader already"}},
		{"weight", "cluster: {nodes: [{address: a, weight: -1}]}", []string{"cluster.nodes[0].weight: is -1: give 0 to 10000"}},
		{"network", minimal + "listen: {proxy_protocol: {trusted: [10.0.0.0/33]}}\n", []string{"listen.proxy_protocol.trusted[0]", "is not a network"}},
		{"network with host bits", minimal + "listen: {proxy_protocol: {trusted: [10.0.0.1/8]}}\n", []string{"did you mean 10.0.0.0/8?"}},
		{"pattern", minimal + "routing: {rules: [{pattern: 'a(b', target: leader}]}\n", []string{"routing.rules[0].pattern: missing closing ): a(b"}},
		{"look-around", minimal + "routing: {rules: [{pattern: '(?!a)', target: leader}]}\n", []string{"RE2 has no look-around"}},
		{"rule of unknown node", minimal + "routing: {rules: [{node: db11}]}\n", []string{`there is no node "db11": did you mean db1?`}},
		{"rule that says nothing", minimal + "routing: {rules: [{users: [a]}]}\n", []string{"says nothing about where to go"}},
		{"contradictory rule", minimal + "routing: {rules: [{target: leader, max_lag: 1s}]}\n", []string{"with target leader"}},
		{"digest", minimal + "routing: {rules: [{digest: xyz, target: leader}]}\n", []string{`"xyz" is not a digest`}},
		{"two passwords", minimal + "  password: a\n  password_env: B\n", []string{"f.yaml:3:13: cluster.password: give one of"}},
		{"user without password", minimal + "users: [{name: a}]\n", []string{"users[0]: needs a password"}},
		{"user without name", minimal + "users: [{password: a}]\n", []string{"users[0].name: is required"}},
		{"certificate without key", minimal + "listen: {tls: {cert: c.pem}}\n", []string{"listen.tls.key: is required with listen.tls.cert"}},
		{"ports meet", minimal + "listen: {address: ':1'}\nadmin: {address: ':1'}\n", []string{"they need ports of their own"}},
		{"nowhere to connect to", minimal + "listen: {address: ''}\n", []string{"f.yaml:3:1: listen: clients need an address or a socket"}},
		{"schema of the server", minimal + "monitor: {heartbeat: {schema: mysql}}\n", []string{"mysql belongs to the server"}},
		{"schema with a quote", minimal + "monitor: {heartbeat: {schema: 'a`b'}}\n", []string{"is not a name of letters"}},
		{"merge of a scalar", minimal + "log: {<<: 3}\n", []string{"<< merges a mapping"}},
		{"several at once", minimal + "log: {level: x}\npool: {max_idle: -1}\nadmin: {port: 1}\n", []string{
			`f.yaml:3:14: log.level: is "x"`, "f.yaml:4:18: pool.max_idle: is -1", "f.yaml:5:9: admin.port: unknown key",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("f.yaml", []byte(tt.yaml))
			if err == nil {
				t.Fatalf("no error; %v", c)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got:  %v\nwant: %s", err, w)
				}
			}
			if len(tt.want) > 2 && strings.Count(err.Error(), "\n") != len(tt.want)-1 {
				t.Errorf("not one line for each problem:\n%v", err)
			}
			var p *Problem
			if !errors.As(err, &p) || p.File != "f.yaml" {
				t.Errorf("no *Problem in %T", err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i <= 'j'; i++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat("*"+string(i-1)+",", 10), ","))
	}
	mergeBomb := "a: &a {level: info}\n"
	for i := 'b'; i <= 'j'; i++ {
		mergeBomb += fmt.Sprintf("%c: &%c {<<: [%s]}\n", i, i, strings.TrimSuffix(strings.Repeat("*"+string(i-1)+",", 10), ","))
	}
	tests := []struct{ name, yaml, want string }{
		{"aliases in a list of text", laughs + "listen: {compression: [*j,*j]}\n", "one value is expected"},
		{"aliases as nodes", laughs + "cluster: {nodes: *j}\n", "keys are expected"},
		{"merges", mergeBomb + "log: {<<: *j}\n", "expand to too much"},
		{"an alias within itself", "cluster: &a {nodes: [*a]}\n", "unknown key"},
		{"a merge of itself", "cluster: &a {<<: *a, nodes: [{address: a}]}\n", "too deeply nested"},
		{"deep and of many lines", strings.Repeat(strings.Repeat("[", 60)+"\n", 499), "this is not YAML"},
		{"deep", strings.Repeat("[", 5000), "this is not YAML"},
		{"deep and closed", "cluster: {nodes: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "}", "keys are expected"},
		{"many nodes", "cluster:\n  nodes:\n" + strings.Repeat("    - {address: a}\n", 40_000), "and more: only the first problems"},
		{"large", strings.Repeat("#", maxConfigFile+1), "larger than 4MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tt.yaml))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, got %v", tt.want, err)
			}
			if err != nil && len(err.Error()) > 100_000 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestLoadNamesFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "junk.pem"), "junk")
	writeFile(t, filepath.Join(dir, "two.lines"), "a\nb\n")
	path := writeFile(t, filepath.Join(dir, "f.yaml"), minimal+`  password_file: missing
  tls: {ca: junk.pem, cert: junk.pem, key: none.pem}
listen: {tls: {cert: junk.pem, key: junk.pem, ca: .}}
users:
  - {name: a, password_env: BELLWETHER_TEST_SURELY_UNSET}
  - {name: b, password_file: two.lines}
`)
	_, err := Load(path)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		path + ":3:18: cluster.password_file: cannot read " + dir + "/missing: no such file or directory",
		"cluster.tls.ca: " + dir + "/junk.pem holds no certificate",
		"cluster.tls.key: cannot read " + dir + "/none.pem",
		"listen.tls.cert: cannot be used with its key",
		"listen.tls.ca: " + dir + " is not a regular file",
		"users[0].password_env: environment variable BELLWETHER_TEST_SURELY_UNSET is not set",
		"users[1].password_file: " + dir + "/two.lines: a password file has one line of text",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "nothing.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing configuration: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder as the configuration: %v", err)
	}
}

// uncomment turns example lines (# and no space) into configuration, and drops
// the line that each replaces.
func uncomment(text string) string {
	text = regexp.MustCompile(`(?m)^\s*(rules|users|trusted|endpoints): \[\].*\n|^\s*password_file:.*\n`).ReplaceAllString(text, "")
	return regexp.MustCompile(`(?m)^\s*#`).ReplaceAllStringFunc(text, func(s string) string {
		return strings.Replace(s, "#", "", 1)
	})
}

func TestExampleIsTheDefaults(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile("bellwether.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, filepath.Join(dir, "bellwether.yaml"), string(b))
	writeFile(t, filepath.Join(dir, "monitor.password"), "secret\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if pw, err := c.Cluster.Password.Resolve(); err != nil || pw != "secret" {
		t.Errorf("password %q, %v", pw, err)
	}
	for _, n := range c.Cluster.Nodes {
		if want := (Node{Name: n.Name, Address: n.Name + ".example:3306", Weight: n.Weight, Role: "auto", State: "active"}); n != want || *n.Weight != DefaultWeight {
			t.Errorf("node %+v is not the default %+v", n, want)
		}
	}
	want := Defaults()
	c.Cluster.Nodes, c.Cluster.Password, c.Source = nil, Secret{}, Source{}
	if diff := cmp.Diff(want, c, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the example differs from the defaults:\n%s", diff)
	}
}

func TestExampleNamesEveryKey(t *testing.T) {
	for _, file := range []string{"bellwether.example.yaml", "../docs/configuration.md"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range allKeys(t) {
			last := key[strings.LastIndex(key, ".")+1:]
			want := last + ":"
			if strings.HasSuffix(file, ".md") {
				want = "`" + key + "`"
			} else if last == "password" {
				continue
			}
			if !strings.Contains(string(b), want) {
				t.Errorf("%s does not name %s", file, key)
			}
		}
	}
}

func TestExamplesInComments(t *testing.T) {
	b, err := os.ReadFile("bellwether.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(b)) {
		trimmed := strings.TrimSpace(line)
		if prose := strings.HasPrefix(trimmed, "# ") && !strings.HasPrefix(trimmed, "#  ") || trimmed == "#"; !prose {
			kept = append(kept, line)
		}
	}
	c, err := Parse("example", []byte(uncomment(strings.Join(kept, ""))))
	if err != nil {
		t.Fatalf("%v\n%s", err, uncomment(strings.Join(kept, "")))
	}
	if len(c.Routing.Rules) != 1 || c.Routing.Rules[0].NoFollower != "error" || len(c.Users) != 1 || c.Users[0].MaxConnections != 50 ||
		len(c.Listen.ProxyProtocol.Trusted) != 2 || c.Cluster.Password.Env == "" {
		t.Errorf("an example in a comment was not read: %+v", c)
	}
}

func TestMinimalExample(t *testing.T) {
	t.Setenv("BELLWETHER_PASSWORD", "x")
	c, err := Load("bellwether.minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Cluster.Nodes[1].Address != "db2.example:3306" {
		t.Errorf("%+v", c.Cluster.Nodes)
	}
}
