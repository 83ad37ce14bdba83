package failover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// base makes probes brisk, and lets a busy machine lag.
var base = fmt.Sprintf("routing: {max_lag: 1m}\nmonitor: {interval: 100ms, timeout: 2s}\nreplication: {user: %s, password: %s, switchover_timeout: 20s}\n",
	sandbox.ReplicationAccount.User, sandbox.ReplicationAccount.Password)

// engineBase is base for servers to which Bellwether replicates.
const engineBase = "routing: {max_lag: 1m}\nmonitor: {interval: 100ms, timeout: 2s}\nreplication: {switchover_timeout: 20s}\n"

// fixture is a leader db1 and two followers, with the proxy before them.
type fixture struct {
	*cluster.Cluster
	proxy *cluster.ProxyProcess
}

func start(t *testing.T, o cluster.Options, overrides ...string) *fixture {
	t.Helper()
	o.Followers = 2
	settings := base
	if o.Engine {
		settings = engineBase
	}
	f := &fixture{Cluster: cluster.Start(t, o)}
	f.Exec(t, sandbox.SwitchoverGrants(f.Flavor, "'"+sandbox.ProxyAccount.User+"'@'%'")...)
	f.Exec(t, sandbox.FailoverGrants(f.Flavor, "'"+sandbox.ProxyAccount.User+"'@'%'")...)
	f.Exec(t,
		"CREATE TABLE shop.ledger (id INT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, n INT NOT NULL, UNIQUE (client, n)) ENGINE=InnoDB",
		"CREATE TABLE shop.numbered (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE shop.accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB",
		"INSERT INTO shop.accounts VALUES (1, 100), (2, 100), (3, 100), (4, 100)")
	if !o.Engine {
		f.WaitReplicated(t)
	}
	f.proxy = cluster.StartProxy(t, f.Cluster, append([]string{settings}, overrides...)...)
	f.settled(t, "db1")
	return f
}

// settled waits until that node leads and all others follow it, and look so for some probes:
// the first one after a change may not have seen yet what the change did to a follower.
func (f *fixture) settled(t *testing.T, leader string) {
	t.Helper()
	looks := 0
	cluster.Eventually(t, leader+" leads and all others serve reads", func() bool {
		if looks++; !f.well(t, leader) {
			looks = 0
		}
		time.Sleep(20 * time.Millisecond)
		return looks > 20
	})
}

// well says whether that node leads and all others serve reads.
func (f *fixture) well(t *testing.T, leader string) bool {
	t.Helper()
	v := f.topology(t)
	if v.Leader == nil || *v.Leader != leader {
		return false
	}
	for _, n := range v.Nodes {
		if n.Name == leader && n.State != "up" || n.Name != leader && !n.Eligible {
			return false
		}
	}
	return true
}

func (f *fixture) topology(t *testing.T) (v admin.TopologyView) {
	t.Helper()
	_, body := f.proxy.Get("/v1/topology")
	cluster.Must(t, json.Unmarshal([]byte(body), &v))
	return v
}

// switchover asks the proxy for one and returns its answer.
func (f *fixture) switchover(t *testing.T, r admin.SwitchoverRequest) (int, admin.SwitchoverView) {
	t.Helper()
	b, err := json.Marshal(r)
	cluster.Must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.proxy.AdminURL+"/v1/switchover", bytes.NewReader(b))
	cluster.Must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	cluster.Must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var v admin.SwitchoverView
	cluster.Must(t, json.NewDecoder(resp.Body).Decode(&v))
	return resp.StatusCode, v
}

// mustSwitch makes a node the leader, and fails the test where that fails or warns.
func (f *fixture) mustSwitch(t *testing.T, to string) admin.SwitchoverView {
	t.Helper()
	code, v := f.switchover(t, admin.SwitchoverRequest{To: to})
	if code != http.StatusOK || !v.Done || v.To != to || len(v.Warnings) > 0 {
		t.Fatalf("switchover to %s: status %d: %+v", to, code, v)
	}
	f.settled(t, to)
	return v
}
