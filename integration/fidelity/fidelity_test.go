package fidelity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/corpus"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// schemas are those that the corpus works in. They are made anew for each pass.
var schemas = []string{"mydb", "foo", "fid"}

// dialects are capability sets of real clients.
var dialects = []struct {
	name string
	caps wire.Capability
}{
	{"old", wire.ClientMultiStatements | wire.ClientMultiResults | wire.ClientPSMultiResults},
	{"new", wire.ClientMultiStatements | wire.ClientMultiResults | wire.ClientPSMultiResults | wire.ClientDeprecateEOF |
		wire.ClientSessionTrack | wire.ClientQueryAttributes | wire.ClientFoundRows |
		wire.MariaDBClientExtendedMetadata | wire.MariaDBClientStmtBulkOperations},
}

// TestCorpus runs every statement of the corpus twice on the leader and once
// through the proxy, each script in the same sequence after the same set-up, and
// compares the bytes of the answers. What differs between the two direct runs
// (times, ids) is not compared.
func TestCorpus(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		o.ExtraArgs = limits(o.Flavor)
		c := cluster.Start(t, o)
		makeAccount(t, c)
		p := cluster.StartProxy(t, c, "monitor: {interval: 10ms}\nrouting: {max_lag: 5s}")
		scripts := load(t, o.Flavor)
		for _, d := range dialects {
			t.Run(d.name, func(t *testing.T) {
				r := run{t: t, c: c, proxy: p, caps: d.caps}
				for i := range scripts {
					r.script(&scripts[i])
				}
				r.report()
			})
		}
	})
}

// load returns the scripts to run: in the short form a share of them, for each is
// run three times in schemas made anew, which takes long, most of all on MySQL.
func load(t *testing.T, flavor string) []corpus.Script {
	scripts, err := corpus.Load(context.Background())
	if errors.Is(err, corpus.ErrMissing) && os.Getenv("CI") == "" {
		t.Logf("part of the corpus is missing: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	scripts = append(scripts, own...)
	share := 12
	if strings.HasPrefix(flavor, "mysql") {
		share = 24
	}
	if os.Getenv("BELLWETHER_LONG") != "" {
		share = 1
	}
	var out []corpus.Script
	for i, s := range scripts {
		if !testing.Short() && i%share == 0 || s.Source == ownSource {
			out = append(out, s)
		}
	}
	return out
}

// limits keep statements that run for long or take much from doing so.
func limits(flavor string) []string {
	if strings.HasPrefix(flavor, "mysql") {
		return []string{"--max-execution-time=3000", "--lock-wait-timeout=2", "--innodb-lock-wait-timeout=2"}
	}
	return []string{"--max-statement-time=3", "--lock-wait-timeout=2", "--innodb-lock-wait-timeout=2"}
}

const user, password = "fid", "fid-secret"

func makeAccount(t *testing.T, c *cluster.Cluster) {
	c.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", user, password))
	for _, s := range schemas {
		c.Exec(t, "CREATE DATABASE IF NOT EXISTS "+s)
		c.Exec(t, fmt.Sprintf("GRANT ALL ON %s.* TO '%s'@'%%'", s, user))
	}
	c.WaitReplicated(t)
}

// unfit are statements that are left out: they wait, they stop others, or what
// they answer depends on what ran before on the server.
var unfit = regexp.MustCompile(`(?i)\b(sleep|benchmark|get_lock|is_(free|used)_lock|shutdown|kill|restart|master_pos_wait|wait_for_executed_gtid_set|` +
	`processlist|global|persist|connection_id|uuid|uuid_short|rand|last_gtid|status|engine_log|statistics|load\s+data|outfile|dumpfile|` +
	`binlog|master|slave|replica|replication|handler_read\w*|thread_id|pseudo_\w+|server_id|hostname|port|socket|datadir|pid_file|analyze|` +
	`optimizer_trace|innodb_\w+|performance_schema|information_schema|sys|profil\w*|timestamp|now|sysdate|cur\w+|utc_\w+|localtime\w*|unix_timestamp|` +
	`flush|reset|purge|change|start\s+slave|stop|install|uninstall|clone|user|identified|lock\s+instance|backup|xa|random_bytes)\b`)

// run is one comparison of the corpus with one set of capabilities.
type run struct {
	t     *testing.T
	c     *cluster.Cluster
	proxy *cluster.ProxyProcess
	caps  wire.Capability

	compared, unstable, differ int
}

// result is the answer to one statement.
type result struct {
	statement string
	answer    []byte
	err       error
}

// script runs one script three times and compares.
func (r *run) script(s *corpus.Script) {
	direct := r.c.Leader().DirectAddr()
	first := r.pass(s, direct, false)
	second := r.pass(s, direct, false)
	proxied := r.pass(s, r.proxy.Addr, true)
	for i := range first {
		a, b, p := &first[i], &second[i], &proxied[i]
		if !same(a, b) {
			r.unstable++
			continue
		}
		r.compared++
		if !same(a, p) {
			r.differ++
			if r.differ <= 20 {
				r.t.Errorf("%s: %s\nthrough the proxy differs for %.500q\ndirect  %s\nproxied %s",
					s.Source, s.Name, a.statement, describe(a, p), describe(p, a))
			}
		}
	}
}

// describe shows an answer around its first difference from other.
func describe(a, other *result) string {
	at := 0
	for at < len(a.answer) && at < len(other.answer) && a.answer[at] == other.answer[at] {
		at++
	}
	from := max(0, at-24)
	return fmt.Sprintf("%d bytes, at %d: %q, err %v", len(a.answer), at, a.answer[from:min(len(a.answer), at+60)], a.err)
}

func same(a, b *result) bool {
	return (a.err == nil) == (b.err == nil) && (bytes.Equal(a.answer, b.answer) || bytes.Equal(sorted(a.answer), sorted(b.answer)))
}

// sorted brings an OK packet's session state into an order: the servers keep it in
// a hash, whose order depends on what else is tracked.
func sorted(answer []byte) []byte {
	var ok wire.OK
	caps := wire.ClientProtocol41 | wire.ClientSessionTrack
	if len(answer) < wire.HeaderLen || answer[wire.HeaderLen] != wire.HeaderOK || wire.DecodeOK(answer[wire.HeaderLen:], caps, &ok) != nil {
		return nil
	}
	var entries []string
	var e wire.StateEntry
	for r := wire.NewStateReader(ok.State); r.Next(&e); {
		entries = append(entries, string(wire.AppendStateEntry(nil, &e)))
	}
	slices.Sort(entries)
	ok.State = []byte(strings.Join(entries, ""))
	return wire.AppendOK(nil, answer[3], &ok, caps)
}

// pass runs the script once against one address, in schemas made anew.
func (r *run) pass(s *corpus.Script, address string, proxied bool) []result {
	for _, name := range schemas {
		r.c.Exec(r.t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name)
	}
	dial := func() *rawclient.Client {
		c, err := rawclient.Dial(rawclient.Options{
			Address: address, User: user, Password: password, Schema: "mydb", Caps: r.caps, Timeout: 20 * time.Second,
		})
		if err != nil {
			r.t.Fatalf("log in at %s: %v", address, err)
		}
		return c
	}
	if proxied {
		r.c.WaitReplicated(r.t)
	}
	c := dial()
	defer func() { c.Close() }()
	var out []result
	for _, sql := range s.SetUp {
		if unfit.MatchString(sql) {
			continue
		}
		if _, err := c.Query(sql); err != nil {
			c.Close()
			c = dial()
		}
	}
	if proxied {
		r.c.WaitReplicated(r.t)
		awaitFollower(c)
	}
	for _, sql := range s.Statements {
		if unfit.MatchString(sql) || len(sql) > 1<<16 {
			continue
		}
		answer, err := c.Query(sql)
		out = append(out, result{sql, answer, err})
		if err == nil {
			out = append(out, r.binary(c, sql))
			err = out[len(out)-1].err
		}
		if err != nil {
			c.Close()
			c = dial()
		}
	}
	return out
}

// binary runs a statement that reads once more as a prepared one.
func (r *run) binary(c *rawclient.Client, sql string) result {
	if !reads.MatchString(sql) {
		return result{statement: "(not prepared) " + sql}
	}
	id, prepared, err := c.Prepare(sql)
	out := result{"(prepared) " + sql, prepared, err}
	if err != nil || id == 0 {
		return out
	}
	clear(prepared[wire.HeaderLen+1 : wire.HeaderLen+5]) // MySQL numbers what could not be prepared, too
	for _, flags := range []byte{0, 1} {                 // plain, and with a cursor
		executed, err := c.Execute(id, flags)
		out.answer = append(out.answer, executed...)
		if out.err = err; err != nil {
			return out
		}
	}
	arg := []byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)}
	fetched, err := c.Command(wire.ComStmtFetch, append(slices.Clone(arg), 2, 0, 0, 0))
	out.answer = append(out.answer, fetched...)
	if out.err = err; err == nil {
		out.err = c.Send(wire.ComStmtClose, arg)
	}
	return out
}

var reads = regexp.MustCompile(`(?i)^\s*\(*\s*(select|with|values|show)\b`)

// awaitFollower waits until a plain read of this session goes to a follower. The
// test stays right where it does not: it would only compare the leader with itself.
func awaitFollower(c *rawclient.Client) {
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		answer, err := c.Query("EXPLAIN ROUTE SELECT 1")
		if err != nil || bytes.Contains(answer, []byte("\x08follower")) {
			return
		}
	}
}

// report checks that there was something to compare, on followers too.
func (r *run) report() {
	stats := r.stats()
	r.t.Logf("%d answers compared, %d differ, %d are never the same twice; statements by target %v", r.compared, r.differ, r.unstable, stats)
	if r.compared < 500 && !testing.Short() {
		r.t.Errorf("only %d answers were compared", r.compared)
	}
	if stats["follower"] < 100 && !testing.Short() {
		r.t.Errorf("only %d statements ran on followers: the comparison shows little", stats["follower"])
	}
}

func (r *run) stats() map[string]uint64 {
	_, body := r.proxy.Get("/v1/stats")
	var v struct {
		Reasons []struct {
			Target string
			Count  uint64
		}
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		r.t.Fatal(err)
	}
	out := map[string]uint64{}
	for _, x := range v.Reasons {
		out[x.Target] += x.Count
	}
	return out
}
