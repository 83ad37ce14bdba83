package cluster

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.yaml.in/yaml/v3"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// ProxyProcess is a running `bellwether serve`.
type ProxyProcess struct {
	Addr       string // where clients connect, host:port
	Socket     string // the unix socket; empty without one
	AdminURL   string // http://host:port
	ConfigPath string

	t       testing.TB
	dir     string
	process *sandbox.Process
}

// EnvPoolMode names the environment variable that sets pool.mode for every proxy.
const EnvPoolMode = "BELLWETHER_POOL_MODE"

// StartProxy runs bellwether before the cluster and waits until it is ready.
// Each of overrides is YAML that is laid over Cluster.Config: maps are merged,
// all else replaced. The proxy is ended with the test; its log is shown when the
// test fails.
func StartProxy(t testing.TB, c *Cluster, overrides ...string) *ProxyProcess {
	t.Helper()
	p := &ProxyProcess{t: t, dir: runDir(t)}
	p.ConfigPath = filepath.Join(p.dir, "bellwether.yaml")
	base, err := c.Config()
	Must(t, err)
	if mode := os.Getenv(EnvPoolMode); mode != "" {
		overrides = append([]string{"pool: {mode: " + mode + "}"}, overrides...)
	}
	text, err := Overlay(base, overrides...)
	Must(t, err)
	Must(t, os.WriteFile(p.ConfigPath, []byte(text), 0o600))
	t.Cleanup(p.end)
	p.start()
	p.WaitReady()
	return p
}

// Overlay lays YAML documents over each other: maps are merged, all else replaced.
func Overlay(base string, overrides ...string) (string, error) {
	var out map[string]any
	if err := yaml.Unmarshal([]byte(base), &out); err != nil {
		return "", fmt.Errorf("base configuration: %w", err)
	}
	for _, o := range overrides {
		var over map[string]any
		if err := yaml.Unmarshal([]byte(o), &over); err != nil {
			return "", fmt.Errorf("override %q: %w", o, err)
		}
		out = merge(out, over)
	}
	text, err := yaml.Marshal(out)
	return string(text), err
}

func merge(base, over map[string]any) map[string]any {
	if base == nil {
		base = make(map[string]any)
	}
	for k, v := range over {
		below, ok1 := base[k].(map[string]any)
		above, ok2 := v.(map[string]any)
		if ok1 && ok2 {
			base[k] = merge(below, above)
		} else {
			base[k] = v
		}
	}
	return base
}

// start starts the process and learns its addresses.
func (p *ProxyProcess) start() {
	p.t.Helper()
	binary, err := buildBinary()
	Must(p.t, err)
	addresses := filepath.Join(p.dir, "addresses.json")
	if err := os.Remove(addresses); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	Must(p.t, err)
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, "serve", "--config", p.ConfigPath, "--addresses-file", addresses)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0")
	process, err := sandbox.StartProcess(cmd)
	Must(p.t, err)
	p.process = process
	p.until("it says where it listens", func() bool { return p.readAddresses(addresses) })
}

func (p *ProxyProcess) readAddresses(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var a struct{ MySQL, Socket, Admin string }
	if json.Unmarshal(text, &a) != nil {
		return false // half written
	}
	p.Addr, p.Socket = a.MySQL, a.Socket
	if a.Admin != "" {
		p.AdminURL = "http://" + a.Admin
	}
	return p.Addr != "" || p.Socket != ""
}

// until waits for ok, and fails the test when the process ends or a minute is over.
func (p *ProxyProcess) until(what string, ok func() bool) {
	p.t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-p.process.Done():
			p.t.Fatalf("bellwether ended (%v) before %s", p.process.Err(), what)
		case <-deadline:
			p.t.Fatalf("bellwether: waited in vain until %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// WaitReady waits until /readyz says yes.
func (p *ProxyProcess) WaitReady() {
	p.t.Helper()
	if p.AdminURL == "" {
		return
	}
	p.until("it is ready", func() bool {
		status, _, err := p.get("/readyz")
		return err == nil && status == http.StatusOK
	})
}

// Get is a request to the admin side; it fails the test where nothing answers.
func (p *ProxyProcess) Get(path string) (status int, body string) {
	p.t.Helper()
	status, body, err := p.get(path)
	Must(p.t, err)
	return status, body
}

func (p *ProxyProcess) get(path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.AdminURL+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true // no connection is left for the leak check
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// DSN is a go-sql-driver data source name for an account; params as in "a=b&c=d".
func (p *ProxyProcess) DSN(a sandbox.Account, schema, params string) string {
	dsn := fmt.Sprintf("%s:%s@tcp(%s)/%s", a.User, a.Password, p.Addr, schema)
	if params != "" {
		dsn += "?" + params
	}
	return dsn
}

// DB is a pool of connections through the proxy, closed with the test.
func (p *ProxyProcess) DB(a sandbox.Account, schema string) *sql.DB {
	p.t.Helper()
	params := ""
	if a.Password == "" {
		params = "allowFallbackToPlaintext=true"
	}
	cfg, err := mysql.ParseDSN(p.DSN(a, schema, params))
	Must(p.t, err)
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	Must(p.t, err)
	db := sql.OpenDB(connector)
	p.t.Cleanup(func() { _ = db.Close() })
	return db
}

// PID is the process id.
func (p *ProxyProcess) PID() int { return p.process.PID() }

// Done is closed when the process has ended.
func (p *ProxyProcess) Done() <-chan struct{} { return p.process.Done() }

// Signal sends the process a signal.
func (p *ProxyProcess) Signal(sig os.Signal) error { return p.process.Signal(sig) }

// Stop asks the process to end (SIGTERM) and returns how it did.
func (p *ProxyProcess) Stop() error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.process.Done():
		return p.process.Err()
	case <-time.After(time.Minute):
		p.process.Kill()
		return errors.New("bellwether did not end within a minute after SIGTERM, and was killed")
	}
}

// Kill ends the process with SIGKILL.
func (p *ProxyProcess) Kill() { p.process.Kill() }

// Pause freezes the process.
func (p *ProxyProcess) Pause() error { return p.process.Pause() }

// Continue ends a Pause.
func (p *ProxyProcess) Continue() error { return p.process.Signal(syscall.SIGCONT) }

// Restart starts the process again after Stop or Kill. Free ports change.
func (p *ProxyProcess) Restart() {
	p.t.Helper()
	p.start()
	p.WaitReady()
}

// RestartUnready is Restart that does not wait until the proxy is ready, which it may
// not become before somebody leads.
func (p *ProxyProcess) RestartUnready() {
	p.t.Helper()
	p.start()
}

// WriteConfig replaces the configuration file by rename, as editors do.
func (p *ProxyProcess) WriteConfig(text string) {
	p.t.Helper()
	tmp := p.ConfigPath + ".new"
	Must(p.t, os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, p.ConfigPath))
}

// ReadConfig is the configuration file's text.
func (p *ProxyProcess) ReadConfig() string {
	p.t.Helper()
	text, err := os.ReadFile(p.ConfigPath)
	Must(p.t, err)
	return string(text)
}

// Log is all that the process has written.
func (p *ProxyProcess) Log() string {
	text, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *ProxyProcess) logPath() string { return filepath.Join(p.dir, "log") }

// end kills what still runs. A panic or a data race in the log fails the test.
func (p *ProxyProcess) end() {
	if p.process == nil {
		return
	}
	p.process.Kill()
	log := p.Log()
	for _, bad := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if strings.Contains("\n"+log, bad) {
			p.t.Errorf("the proxy's log holds %q", strings.TrimSpace(bad))
		}
	}
	if p.t.Failed() {
		p.t.Logf("the proxy's log:\n%s", tail(log, 64<<10))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// buildBinary builds bellwether once per test process, with the race detector
// where the test has it, and returns its path. BELLWETHER_BIN names a ready one.
var buildBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("BELLWETHER_BIN"); path != "" {
		return filepath.Abs(path)
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	path := filepath.Join(root, ".cache", "test", "bellwether")
	args := []string{"build"}
	if raceEnabled {
		path += "-race"
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "-o", path, "./cmd/bellwether")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bellwether: %w:\n%s", err, out)
	}
	return path, nil
})
