package configs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// allKeys lists the path of every key of the file format, lists without index.
func allKeys(t *testing.T) []string {
	t.Helper()
	var keys []string
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for f := range typ.Fields() {
			tag := f.Tag.Get("yaml")
			elem := f.Type
			if elem.Kind() == reflect.Slice {
				elem = elem.Elem()
			}
			switch {
			case tag == "" || tag == "-":
			case tag == ",inline":
				walk(f.Type, path)
			case elem.Kind() == reflect.Struct:
				walk(elem, join(path, tag))
			default:
				keys = append(keys, join(path, tag))
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return keys
}

func mustParse(t *testing.T, yaml string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDiff(t *testing.T) {
	const base = `
cluster:
  nodes:
    - {name: db1, address: db1}
    - {name: db2, address: db2}
  password: one
routing:
  rules:
    - {name: a, users: [a], target: leader}
    - {name: b, users: [b], target: leader}
users: [{name: u, password: p}]
`
	tests := []struct {
		name string
		edit [][2]string
		want []string
	}{
		{"nothing", nil, nil},
		{"node order", [][2]string{{"    - {name: db1, address: db1}\n    - {name: db2, address: db2}", "    - {name: db2, address: db2}\n    - {name: db1, address: db1}"}}, nil},
		{"weight", [][2]string{{"address: db2", "address: db2, weight: 50"}}, []string{"hot cluster.nodes[db2].weight: 100 → 50"}},
		{"weight 0", [][2]string{{"address: db2", "address: db2, weight: 0"}}, []string{"hot cluster.nodes[db2].weight: 100 → 0"}},
		{"explicit default", [][2]string{{"address: db2", "address: db2:3306, weight: 100, role: auto"}}, nil},
		{"node added", [][2]string{{"address: db2}", "address: db2}\n    - {name: db3, address: db3}"}}, []string{"hot node db3 is added"}},
		{"node removed", [][2]string{{"    - {name: db2, address: db2}\n", ""}}, []string{"hot node db2 is removed, drained: running work ends by itself"}},
		{"password", [][2]string{{"one", "two"}}, []string{"hot cluster.password changed"}},
		{"password elsewhere", [][2]string{{"password: one", "password_env: X"}}, []string{"hot cluster.password: [redacted] → environment variable X"}},
		{"password of a user", [][2]string{{"password: p", "password: q"}}, []string{"hot users[u].password changed"}},
		{"listen address", [][2]string{{"routing:", "listen: {address: ':1'}\nrouting:"}}, []string{"restart listen.address: :3307 → :1"}},
		{"no admin", [][2]string{{"routing:", "admin: {address: ''}\nrouting:"}}, []string{"restart admin.address: 127.0.0.1:9307 → none"}},
		{"rule order", [][2]string{{"    - {name: a, users: [a], target: leader}\n    - {name: b, users: [b], target: leader}", "    - {name: b, users: [b], target: leader}\n    - {name: a, users: [a], target: leader}"}}, []string{"hot the order of the rules changed"}},
		{"rule", [][2]string{{"users: [b]", "users: [b, c]"}}, []string{`hot routing.rules[b].users: ["b"] → ["b","c"]`}},
		{"rule limit", [][2]string{{"users: [b], target: leader", "users: [b], max_lag: 2s"}}, []string{"hot routing.rules[b].target: leader → none", "hot routing.rules[b].max_lag: none → 2s"}},
		{"compression", [][2]string{{"routing:", "listen: {compression: []}\nrouting:"}}, []string{`hot listen.compression: ["zlib","zstd"] → none`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := base
			for _, e := range tt.edit {
				if !strings.Contains(text, e[0]) {
					t.Fatalf("%q is not in the file", e[0])
				}
				text = strings.Replace(text, e[0], e[1], 1)
			}
			var got []string
			for _, c := range Diff(mustParse(t, base), mustParse(t, text)) {
				how := "restart"
				if c.Hot {
					how = "hot"
				}
				got = append(got, how+" "+c.What)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestRestartOnlyKeysExist(t *testing.T) {
	keys := allKeys(t)
	for _, k := range restartOnly {
		if !slices.Contains(keys, k) {
			t.Errorf("%s is no key", k)
		}
	}
}

// No way of printing a configuration, a change or an error shows a secret.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "hunter2hunter2"
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pw"), secret+"\r\n")
	t.Setenv("BELLWETHER_TEST_SECRET", secret)
	path := writeFile(t, filepath.Join(dir, "f.yaml"), minimal+"  password: "+secret+`
users:
  - {name: file, password_file: pw}
  - {name: env, password_env: BELLWETHER_TEST_SECRET}
`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []Secret{c.Cluster.Password, c.Users[0].Password, c.Users[1].Password} {
		if got, err := s.Resolve(); got != secret || err != nil {
			t.Errorf("secret %d: %q, %v", i, got, err)
		}
	}
	out := &strings.Builder{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(out, verb+"\n", c.Cluster.Password)
		fmt.Fprintf(out, verb+"\n", *c)
		fmt.Fprintf(out, verb+"\n", c.Users)
		fmt.Fprintf(out, verb+"\n", &c.Users[0])
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	b, err = json.Marshal(c.Users)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewTextHandler(out, nil)).Info("x", "config", c, "secret", c.Cluster.Password, "user", c.Users[0])
	slog.New(slog.NewJSONHandler(out, nil)).Info("x", "config", c, "secret", c.Cluster.Password, "user", c.Users[0])
	other := mustParse(t, minimal+"  password: "+secret+"3\nusers: [{name: new, password: "+secret+"}]\n")
	fmt.Fprintf(out, "%+v", Diff(c, other))
	fmt.Fprintf(out, "%+v", Diff(other, c))
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("a secret is in\n%s", out)
	}
	for _, bad := range []string{"  password: {a: " + secret + "}\n", "  password: [" + secret + "]\n", "  password: " + secret + "\n  password_env: X\n", "  password: " + secret + ": x\n"} {
		if _, err := Parse("f", []byte(minimal+bad)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v", err)
		}
	}
}

func TestEffectiveConfiguration(t *testing.T) {
	c := mustParse(t, minimal+"  password: x\n")
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"listen":{"address":":3307",`, `"password":"[redacted]"`, `"max_lag":"1s"`, `"retry_buffer":"1MiB"`,
		`{"name":"db1","address":"db1:3306","weight":100,"zone":"","role":"auto","state":"active"}`, `"rules":[]`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in\n%s", want, b)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	good := writeFile(t, filepath.Join(dir, "good.yaml"), minimal+"  password: x\n")
	next := writeFile(t, filepath.Join(dir, "next.yaml"), "cluster:\n  nodes: [{name: db1, address: db1, weight: 5}]\n  password: x\nrouting: {max_lag: 300ms}\n")
	port := writeFile(t, filepath.Join(dir, "port.yaml"), minimal+"  password: x\nlisten: {address: ':9'}\n")
	bad := writeFile(t, filepath.Join(dir, "bad.yaml"), minimal+"log: {level: x}\n")
	tests := []struct {
		name, path, against string
		ok                  bool
		want                string
	}{
		{"good", good, "", true, good + ": ok (1 node, 0 rules)\n"},
		{"bad", bad, "", false, bad + ":3:14: log.level: is \"x\"; it can be debug, info, warn or error\n1 error\n"},
		{"same", good, good, true, good + ": ok (1 node, 0 rules)\na reload would change nothing\n"},
		{"hot", next, good, true, next + ": ok (1 node, 0 rules)\n" +
			"warning: routing.max_lag: 300ms is close to monitor.heartbeat.interval (250ms), the grain of the measure: followers may come and go\n" +
			"a reload would change:\n    cluster.nodes[db1].weight: 100 → 5\n    routing.max_lag: 1s → 300ms\nall of it is applied without a restart\n"},
		{"restart", port, good, true, port + ": ok (1 node, 0 rules)\na reload would change:\n  ! listen.address: :3307 → :9\n" +
			"a reload would be rejected: 1 change marked ! need a restart\n"},
		{"bad other", good, bad, false, good + ": ok (1 node, 0 rules)\nthe configuration to compare with cannot be read:\n" + bad + ":3:14: log.level: is \"x\"; it can be debug, info, warn or error\n1 error\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if ok := Check(&out, tt.path, tt.against); ok != tt.ok || out.String() != tt.want {
				t.Errorf("got %v\n%s\nwant %v\n%s", ok, out.String(), tt.ok, tt.want)
			}
		})
	}
}

// A running proxy shows its configuration without passwords; that is enough to
// compare with.
func TestCheckAgainstRunningProxy(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pw"), "x\n")
	body := minimal + "  password: x\nusers: [{name: a, password: y}, {name: b, password_file: pw}]\nrouting: {rules: [{name: r, max_lag: 2s, target: follower}]}\nlimits: {max_packet: 12345}\n"
	path := writeFile(t, filepath.Join(dir, "f.yaml"), body)
	running, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/config" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"effective": running, "hash": "x"})
	}))
	defer proxy.Close()
	var out strings.Builder
	if ok := Check(&out, path, proxy.URL+"/"); !ok || !strings.HasSuffix(out.String(), "a reload would change nothing\n") {
		t.Errorf("the same: %v\n%s", ok, out.String())
	}
	out.Reset()
	writeFile(t, path, strings.Replace(body, "12345", "16MiB", 1))
	if ok := Check(&out, path, proxy.URL); !ok || !strings.Contains(out.String(), "limits.max_packet: 12345 → 16MiB\nall of it is applied") {
		t.Errorf("a change: %v\n%s", ok, out.String())
	}
	for _, bad := range []string{proxy.URL + "/nowhere", "http://127.0.0.1:1"} {
		if Check(&out, path, bad) {
			t.Errorf("%s: no error", bad)
		}
	}
}
