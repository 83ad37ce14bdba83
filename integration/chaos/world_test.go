package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/maintenance"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// patience bounds what must come true by itself.
const patience = 90 * time.Second

// mending is how long a node may take to come back by itself once what it had of its own is saved.
const mending = 5 * time.Second

// world is a cluster with the proxies before it, and what is wrong with it now.
type world struct {
	*cluster.Cluster
	t       *testing.T
	acks    int
	proxies []*cluster.ProxyProcess
	addrs   []atomic.Pointer[string] // where each proxy listens
	etcd    *os.Process              // nil without one

	dead     map[*cluster.Node]bool
	paused   map[*cluster.Node]bool
	gone     map[int]bool // proxies that were killed
	frozen   map[int]bool // proxies that were paused
	stopped  bool         // etcd
	copied   map[string]int
	restarts int

	done sync.WaitGroup // what was asked for in the background
}

// worldOptions say what kind of cluster it is.
type worldOptions struct {
	acks    int
	proxies int  // more than one coordinate by etcd
	engine  bool // Bellwether replicates
}

func newWorld(t *testing.T, o cluster.Options, wo worldOptions, overrides ...string) *world {
	t.Helper()
	o.Followers, o.Durable = 2, true
	o.Engine, o.PerformanceSchema = wo.engine, o.PerformanceSchema || wo.engine
	o.ExtraArgs = append(o.ExtraArgs, sandbox.SemiSyncArgs(o.FlavorKind())...)
	o.NodeArgs = func(string) []string { return []string{"--read-only=1"} }
	w := &world{
		Cluster: cluster.Start(t, o), t: t, acks: wo.acks, addrs: make([]atomic.Pointer[string], wo.proxies),
		dead: map[*cluster.Node]bool{}, paused: map[*cluster.Node]bool{}, gone: map[int]bool{}, frozen: map[int]bool{}, copied: map[string]int{},
	}
	w.Exec(t, "SET GLOBAL read_only = 0")
	at := "'" + sandbox.ProxyAccount.User + "'@'%'"
	w.Exec(t, append(sandbox.SwitchoverGrants(w.Flavor, at), sandbox.FailoverGrants(w.Flavor, at)...)...)
	w.Exec(t, "CREATE TABLE shop.ledger (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, n INT NOT NULL, KEY (client, n)) ENGINE=InnoDB",
		"CREATE TABLE shop.accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB")
	for i := range numAccounts {
		w.Exec(t, fmt.Sprintf("INSERT INTO shop.accounts VALUES (%d, %d)", i, startBalance))
	}
	base := fmt.Sprintf("routing: {max_lag: 1m}\nmonitor: {interval: 100ms, timeout: 1s}\nreplication: {switchover_timeout: 5s, acks: %d}\n"+
		"pool: {wait: 10s}\nfailover: {mode: automatic, min_interval: 0s, max_per_hour: 0}\n", wo.acks)
	if !wo.engine {
		w.WaitReplicated(t)
		base = fmt.Sprintf("routing: {max_lag: 1m}\nmonitor: {interval: 100ms, timeout: 1s}\nreplication: {user: %s, password: %s, switchover_timeout: 5s}\n"+
			"pool: {wait: 10s}\nfailover: {mode: automatic, acks: %d, min_interval: 0s, max_per_hour: 0}\n",
			sandbox.ReplicationAccount.User, sandbox.ReplicationAccount.Password, wo.acks)
	}
	endpoint := ""
	if wo.proxies > 1 {
		endpoint, w.etcd = cluster.StartEtcd(t)
	}
	for i := range wo.proxies {
		all := append([]string{base}, overrides...)
		if endpoint != "" {
			all = append(all, fmt.Sprintf("coordination: {etcd: {endpoints: [%q], name: p%d, ttl: 3s}}", endpoint, i+1))
		}
		w.proxies = append(w.proxies, cluster.StartProxy(t, w.Cluster, all...))
		w.heard(i)
	}
	t.Cleanup(func() { // before the servers are ended
		w.done.Wait()
		w.heal()
	})
	w.settle()
	return w
}

// heard takes in where a proxy listens.
func (w *world) heard(i int) { addr := w.proxies[i].Addr; w.addrs[i].Store(&addr) }

// state is what a proxy says of failover; false when it does not answer.
func (w *world) state(i int) (v admin.FailoverView, ok bool) {
	if w.gone[i] || w.frozen[i] {
		return v, false
	}
	return v, getJSON(w.proxies[i].AdminURL+"/v1/failover", &v) == nil
}

func getJSON(url string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(into)
}

// leader is the node that leads by what the first proxy that answers says.
func (w *world) leader() *cluster.Node {
	for i := range w.proxies {
		if v, ok := w.state(i); ok && v.Leader != "" {
			return w.Node(v.Leader)
		}
	}
	return w.Leader()
}

func (w *world) node(role string) *cluster.Node {
	leader := w.leader()
	if role == "leader" {
		return leader
	}
	others := []*cluster.Node{}
	for _, n := range w.Nodes() {
		if n != leader {
			others = append(others, n)
		}
	}
	if role == "follower1" {
		return others[0]
	}
	return others[1]
}

// inflict does one fault; it returns who it hit.
func (w *world) inflict(f fault) string {
	var proxy int
	if _, err := fmt.Sscanf(f.on, "proxy%d", &proxy); err == nil {
		return w.inflictProxy(f.what, proxy-1)
	}
	switch f.what {
	case "bring back":
		for n := range w.dead {
			w.start(n)
			return n.Name()
		}
		return "nobody"
	case "switchover":
		w.switchover()
		return ""
	case "pause etcd":
		cluster.Must(w.t, w.etcd.Signal(syscall.SIGSTOP))
		w.stopped = true
		return ""
	}
	n := w.node(f.on)
	switch f.what {
	case "kill":
		if !w.dead[n] {
			w.resume(n)
			cluster.Must(w.t, n.Kill())
			w.dead[n] = true
		}
	case "pause":
		if !w.dead[n] && !w.paused[n] {
			cluster.Must(w.t, n.Pause())
			w.paused[n] = true
		}
	case "cut":
		cluster.Must(w.t, n.Cut(f.peers, f.ways))
	case "slow":
		cluster.Must(w.t, n.Slow(cluster.All, f.shape))
	case "reset":
		cluster.Must(w.t, n.Reset(cluster.All))
	default:
		w.t.Fatalf("unknown fault %q", f.what)
	}
	return n.Name()
}

func (w *world) inflictProxy(what string, i int) string {
	switch {
	case w.gone[i]:
		return "nobody"
	case what == "kill proxy":
		if w.frozen[i] {
			cluster.Must(w.t, w.proxies[i].Continue())
			delete(w.frozen, i)
		}
		w.proxies[i].Kill()
		w.gone[i] = true
	case !w.frozen[i]:
		cluster.Must(w.t, w.proxies[i].Pause())
		w.frozen[i] = true
	}
	return ""
}

// switchover asks for a planned change, and does not wait for what becomes of it.
func (w *world) switchover() {
	var url string
	for i := range w.proxies {
		if v, ok := w.state(i); ok && v.Coordinates {
			url = w.proxies[i].AdminURL
		}
	}
	if url == "" {
		return
	}
	w.done.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/switchover", bytes.NewReader([]byte("{}")))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Close = true
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	})
}

func (w *world) start(n *cluster.Node) {
	cluster.Must(w.t, n.Start())
	delete(w.dead, n)
}

func (w *world) resume(n *cluster.Node) {
	if w.paused[n] {
		cluster.Must(w.t, n.Continue())
		delete(w.paused, n)
	}
}

// heal ends all faults, in the order in which they happen to be found.
func (w *world) heal() {
	if w.stopped {
		cluster.Must(w.t, w.etcd.Signal(syscall.SIGCONT))
		w.stopped = false
	}
	for i := range w.proxies {
		if w.frozen[i] {
			cluster.Must(w.t, w.proxies[i].Continue())
			delete(w.frozen, i)
		}
	}
	for _, n := range w.Nodes() {
		cluster.Must(w.t, n.Heal())
		w.resume(n)
		if w.dead[n] {
			w.start(n)
		}
	}
	for i := range w.proxies {
		if w.gone[i] {
			w.proxies[i].RestartUnready()
			w.heard(i)
			delete(w.gone, i)
		}
	}
}

// settle waits until one leads, all proxies know it, writes go on, and every other
// node serves reads. What an operator is told to do is done: a leader whose commits
// wait for ever is restarted, a quarantined one copied anew.
func (w *world) settle() {
	w.t.Helper()
	var last string
	begun := time.Now()
	for deadline := begun.Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not settle: %s", last)
		}
		leader, why := w.agreed()
		if last = why; leader == nil {
			continue
		}
		sick := w.sick(leader)
		if len(sick) == 0 {
			return
		}
		last = fmt.Sprintf("%s leads, %v do not serve", leader.Name(), sick)
		for _, name := range sick {
			w.nurse(w.Node(name), leader)
		}
	}
}

// agreed is the leader that all proxies agree on and write to; nil, and why, if none.
func (w *world) agreed() (*cluster.Node, string) {
	name, held := "", false
	for i := range w.proxies {
		v, ok := w.state(i)
		switch {
		case !ok:
			return nil, fmt.Sprintf("proxy %d does not answer", i+1)
		case v.Leader == "" || !v.Writes || v.Step != "" || v.Acks != w.acks || name != "" && name != v.Leader:
			return nil, fmt.Sprintf("proxy %d: %+v", i+1, v)
		}
		name, held = v.Leader, held || v.Coordinates
	}
	if !held {
		return nil, "nobody coordinates"
	}
	return w.Node(name), ""
}

// sick are the nodes that do not do what they should by what some proxy says.
func (w *world) sick(leader *cluster.Node) (names []string) {
	seen := map[string]bool{}
	for i := range w.proxies {
		var v admin.TopologyView
		if err := getJSON(w.proxies[i].AdminURL+"/v1/topology", &v); err != nil {
			return []string{leader.Name()}
		}
		for _, n := range v.Nodes {
			well := n.Eligible
			if n.Name == leader.Name() {
				well = v.Leader != nil && *v.Leader == n.Name && n.State == "up"
			}
			if !well && !seen[n.Name] {
				seen[n.Name] = true
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// nurse does for a node what docs/failover.md tells an operator to do.
func (w *world) nurse(n, leader *cluster.Node) {
	if n == leader {
		return
	}
	if w.hangs(n) {
		w.t.Logf("    %s is restarted: its commits wait for ever", n.Name())
		w.restarts++
		cluster.Must(w.t, n.Kill(), n.Start())
		return
	}
	saved := w.rescues(n.Name())
	fresh := slices.ContainsFunc(saved, func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, "gtids"))
		cluster.Must(w.t, err)
		return time.Since(info.ModTime()) <= mending
	})
	if len(saved) > w.copied[n.Name()] && !fresh {
		w.copied[n.Name()] = len(saved)
		w.t.Logf("    %s has transactions of its own and is copied anew from %s", n.Name(), leader.Name())
		w.copyAnew(n)
	}
}

// hangs says that a node that does not lead has commits that wait for an acknowledgement.
func (w *world) hangs(n *cluster.Node) bool {
	var count int
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := n.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for semi-sync ACK%'").Scan(&count)
	if err != nil || count == 0 {
		return false
	}
	for i := range w.proxies {
		var list []struct{ Events []struct{ Node, Text string } }
		_ = getJSON(w.proxies[i].AdminURL+"/v1/incidents", &list)
		if v, ok := w.state(i); ok && v.Leader != n.Name() {
			return true
		}
	}
	return false
}

// rescues are the folders of what was saved of a node, by any proxy.
func (w *world) rescues(node string) (dirs []string) {
	for _, p := range w.proxies {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(p.ConfigPath), "bellwether-data", "rescue", node+"-epoch*", "gtids"))
		for _, f := range found {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	return dirs
}

// repair lets the engine make a node a copy of the leader, as `bellwether repair` does.
func (w *world) repair(n *cluster.Node) {
	for i := range w.proxies {
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.proxies[i].AdminURL+"/v1/replication/repair", strings.NewReader(`{"node":"`+n.Name()+`"}`))
		cluster.Must(w.t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		cancel()
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			return
		}
	}
	delete(w.copied, n.Name()) // nobody owns it now
}

// copyAnew makes a node a copy of the leader, as `bellwether clone --overwrite` does.
func (w *world) copyAnew(n *cluster.Node) {
	if w.Options.Engine {
		w.repair(n)
		return
	}
	cfg, err := configs.Load(w.proxies[0].ConfigPath)
	cluster.Must(w.t, err)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	access := &maintenance.Access{Config: cfg, User: sandbox.AdminAccount.User, Password: sandbox.AdminAccount.Password}
	var last error
	for range 5 { // as an operator who gives the command again
		if _, last = maintenance.Clone(ctx, access, maintenance.CloneOptions{Node: n.Name(), Overwrite: true, Follow: true}); last == nil {
			return
		}
		w.t.Logf("    the copy failed: %v", last)
		time.Sleep(time.Second)
	}
	w.t.Fatalf("copy %s anew: %v", n.Name(), last)
}

// rescued reads what was saved of nodes: rows of the ledger that were inserted there.
// answered says of each whether the proxy says that its client was told; not there where it does not know.
func rescuedRows(t *testing.T, dir string) (rows []row, answered map[row]bool) {
	t.Helper()
	answered = map[row]bool{}
	text, err := os.ReadFile(filepath.Join(dir, "transactions.jsonl"))
	cluster.Must(t, err)
	for line := range strings.Lines(string(text)) {
		var tx struct {
			Answered *bool
			Changes  []struct {
				Kind, Table string
				After       []map[string]any
			}
		}
		cluster.Must(t, json.Unmarshal([]byte(line), &tx))
		for _, c := range tx.Changes {
			if c.Kind != "insert" || c.Table != "ledger" {
				continue
			}
			for _, r := range c.After {
				client, ok1 := r["client"].(float64)
				n, ok2 := r["n"].(float64)
				if !ok1 || !ok2 {
					t.Fatalf("a rescued row without its columns: %v", r)
				}
				rows = append(rows, row{int(client), int(n)})
				if tx.Answered != nil {
					answered[row{int(client), int(n)}] = *tx.Answered
				}
			}
		}
	}
	return rows, answered
}
