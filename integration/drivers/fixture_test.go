package drivers

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// otherAccount has rights in the schema only; sessions change to it.
var otherAccount = sandbox.Account{User: "other", Password: "other-secret"}

// account is what the clients log in with.
var account = sandbox.AdminAccount

// settleNodes makes the test binary wait for the followers and nothing else:
// the flavour and the nodes' addresses, the leader's first, with spaces between.
// settleProxy is the proxy's admin side where the proxy has to know, too.
const (
	settleNodes = "BELLWETHER_SETTLE_NODES"
	settleProxy = "BELLWETHER_SETTLE_PROXY"
)

func TestMain(m *testing.M) {
	if nodes := os.Getenv(settleNodes); nodes != "" {
		err := settle(strings.Fields(nodes))
		if proxy := os.Getenv(settleProxy); err == nil && proxy != "" {
			err = settleProxied(proxy)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	cluster.Main(m)
}

// settle waits until the followers have applied what the leader has committed.
func settle(args []string) error {
	flavor := gtid.MariaDB
	if args[0] == gtid.MySQL.String() {
		flavor = gtid.MySQL
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var at string
	for i, addr := range args[1:] {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/", sandbox.ProxyAccount.User, sandbox.ProxyAccount.Password, addr))
		if err != nil {
			return err
		}
		if i == 0 {
			at, err = sandbox.Position(ctx, db, flavor)
		} else {
			err = sandbox.WaitPosition(ctx, db, flavor, at)
		}
		_ = db.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// settleProxied waits until the proxy has asked every node after now: what is
// written and applied until now is then no reason to read from the leader.
func settleProxied(proxy string) error {
	begun := time.Now()
	for time.Since(begun) < time.Minute {
		resp, err := http.Get(proxy + "/v1/topology")
		if err != nil {
			return err
		}
		var topology struct {
			Nodes []struct {
				Eligible bool
				Role     string
				AgeMS    *float64 `json:"lag_age_ms"`
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&topology)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		ready := true
		for _, n := range topology.Nodes {
			asked := n.AgeMS != nil && *n.AgeMS < float64(time.Since(begun).Milliseconds())
			ready = ready && asked && (n.Eligible || n.Role == "leader")
		}
		if ready {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the proxy does not come to know of the followers")
}

// fixture is a cluster with Bellwether before it, for clients of all kinds.
type fixture struct {
	*cluster.Cluster
	proxy   *cluster.ProxyProcess
	scratch string
	targets []target // the leader, then the proxy
}

// target is one address for a client.
type target struct {
	name       string
	host, port string
	proxied    bool
}

func (tg target) addr() string { return net.JoinHostPort(tg.host, tg.port) }

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Followers = 2
	o.TLS = true
	o.PerformanceSchema = true
	o.ExtraArgs = append(o.ExtraArgs, "--max-allowed-packet=64M", "--local-infile=ON", "--event-scheduler=OFF")
	f := &fixture{Cluster: cluster.Start(t, o), scratch: t.TempDir()}
	f.Exec(t,
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", otherAccount.User, otherAccount.Password),
		fmt.Sprintf("GRANT ALL PRIVILEGES ON `%s`.* TO '%s'@'%%'", sandbox.AppSchema, otherAccount.User))
	f.WaitReplicated(t)
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{
		fmt.Sprintf("listen: {tls: {cert: %q, key: %q}}", f.Certs.ServerCert, f.Certs.ServerKey),
		// Programs wait for the followers themselves; a busy machine must not
		// send their reads to the leader.
		"routing: {max_lag: 5m}",
	}, overrides...)...)
	f.targets = []target{newTarget(t, "direct", f.Leader().DirectAddr()), newTarget(t, "proxy", f.proxy.Addr)}
	f.targets[1].proxied = true
	return f
}

func newTarget(t *testing.T, name, addr string) target {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return target{name: name, host: host, port: port}
}

// reset makes the application's schema anew, on all nodes.
func (f *fixture) reset(t *testing.T) {
	t.Helper()
	f.Exec(t,
		"DROP DATABASE IF EXISTS `"+sandbox.AppSchema+"`",
		"CREATE DATABASE `"+sandbox.AppSchema+"` CHARACTER SET utf8mb4")
	f.WaitReplicated(t)
}

// env is what the programs under testdata read.
func (f *fixture) env(t *testing.T, tg target) []string {
	t.Helper()
	nodes := []string{f.Flavor.String()}
	for _, n := range f.Nodes() {
		nodes = append(nodes, n.DirectAddr())
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(f.scratch, "settle.sh")
	admin := ""
	if tg.proxied {
		admin = f.proxy.AdminURL
	}
	text := fmt.Sprintf("#!/bin/sh\n%s='%s' %s='%s' exec '%s'\n", settleNodes, strings.Join(nodes, " "), settleProxy, admin, self)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(),
		"BW_HOST="+tg.host, "BW_PORT="+tg.port, "BW_FLAVOR="+f.Flavor.String(),
		"BW_USER="+account.User, "BW_PASSWORD="+account.Password, "BW_SCHEMA="+sandbox.AppSchema,
		"BW_OTHER_USER="+otherAccount.User, "BW_OTHER_PASSWORD="+otherAccount.Password,
		"BW_CA="+f.Certs.CA, "BW_DIR="+f.scratch, "BW_SETTLE="+script,
		"LC_ALL=C.UTF-8")
}

// readsOnFollowers is how many statements the followers have run for account.
func (f *fixture) readsOnFollowers(t *testing.T) int {
	t.Helper()
	sum := 0
	for _, n := range f.Followers() {
		var count int
		err := n.DB().QueryRow(`SELECT COALESCE(SUM(COUNT_STAR), 0)
			FROM performance_schema.events_statements_summary_by_user_by_event_name
			WHERE USER = ? AND EVENT_NAME IN ('statement/sql/select', 'statement/com/Execute')`, account.User).Scan(&count)
		if err != nil {
			t.Fatal(err)
		}
		sum += count
	}
	return sum
}

// need skips the test, or fails it under CI, when a program or a file is not there.
func need(t *testing.T, missing error) {
	t.Helper()
	switch {
	case missing == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%v (scripts/setup-drivers.sh installs it)", missing)
	default:
		t.Skipf("%v (scripts/setup-drivers.sh installs it)", missing)
	}
}

func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	need(t, err)
	return path
}

func init() { _ = mysql.SetLogger(&mysql.NopLogger{}) }
