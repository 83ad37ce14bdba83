package executor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/coord"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

type rows = []map[string]string

func mariadbAnswer(edit func(t [][]map[string]string)) [][]map[string]string {
	t := [][]map[string]string{
		{{"version": "10.11.19-MariaDB-log", "server_id": "2", "read_only": "1", "uuid": "", "executed": "0-1-15", "written": "0-1-15,0-2-3"}},
		{{"Variable_name": "Uptime", "Value": "8"}, {"Variable_name": "Rpl_semi_sync_master_clients", "Value": "1"}},
		{
			{"Variable_name": "rpl_semi_sync_master_enabled", "Value": "ON"},
			{"Variable_name": "rpl_semi_sync_master_timeout", "Value": "4294967295"},
			{"Variable_name": "rpl_semi_sync_master_wait_no_slave", "Value": "ON"},
			{"Variable_name": "rpl_semi_sync_master_wait_point", "Value": "AFTER_SYNC"},
		},
		{{
			"Connection_name": "", "Master_Host": "db1", "Master_Port": "3306", "Master_Server_Id": "1", "Slave_IO_Running": "Connecting",
			"Slave_SQL_Running": "Yes", "Gtid_IO_Pos": "0-1-16", "Slave_heartbeat_period": "1.000", "Slave_received_heartbeats": "4",
			"Slave_SQL_State": "Slave has read all relay log; waiting for more updates", "Last_IO_Error": "gone",
		}},
		{{"epoch": "7"}},
	}
	if edit != nil {
		edit(t)
	}
	return t
}

func TestParseState(t *testing.T) {
	s, err := parseState(gtid.MariaDB, mariadbAnswer(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Channel
	if !s.ReadOnly || s.Uptime != 8*time.Second || s.Ackers != 1 || s.Acks != 1 || s.Mark != 7 || s.Written[gtid.Writer{Server: 2}] != 3 || s.Executed.String() != "0-1-15" {
		t.Errorf("%+v", s)
	}
	if c == nil || c.Receiving || !c.Started || !c.Applying || !c.Drained || c.Heartbeat != time.Second || c.Source != "db1:3306" || c.Error != "gone" {
		t.Errorf("%+v", c)
	}
	missing := errors.New("error 1146: no such table")
	if s, err := parseState(gtid.MariaDB, mariadbAnswer(nil)[:4], missing); err != nil || s.Mark != 0 {
		t.Errorf("without a mark: %+v, %v", s, err)
	}
	for name, edit := range map[string]func([][]map[string]string){
		"a position that is none": func(t [][]map[string]string) { t[0][0]["executed"] = "x" },
		"a state that is none":    func(t [][]map[string]string) { t[0][0]["written"] = "0-1-x" },
		"a mark that is none":     func(t [][]map[string]string) { t[4][0]["epoch"] = "-1" },
	} {
		if s, err := parseState(gtid.MariaDB, mariadbAnswer(edit), nil); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for n := range 4 {
		if s, err := parseState(gtid.MariaDB, mariadbAnswer(nil)[:n], missing); err == nil {
			t.Errorf("%d result sets: %+v", n, s)
		}
	}
}

func TestAcksOf(t *testing.T) {
	variables := func(over ...string) rows {
		v := map[string]string{
			"rpl_semi_sync_source_enabled": "ON", "rpl_semi_sync_source_timeout": "4294967295", "rpl_semi_sync_source_wait_no_replica": "ON",
			"rpl_semi_sync_source_wait_point": "AFTER_SYNC", "rpl_semi_sync_source_wait_for_replica_count": "2",
		}
		for i := 0; i < len(over); i += 2 {
			v["rpl_semi_sync_source_"+over[i]] = over[i+1]
		}
		var out rows
		for k, x := range v {
			out = append(out, map[string]string{"Variable_name": k, "Value": x})
		}
		return out
	}
	for _, c := range []struct {
		name string
		rows rows
		want int
	}{
		{"two", variables(), 2},
		{"no plugin", nil, 0},
		{"off", variables("enabled", "OFF"), 0},
		{"a timeout, after which it goes on without", variables("timeout", "10000"), 0},
		{"goes on when nobody is connected", variables("wait_no_replica", "OFF"), 0},
		{"visible before it is acknowledged", variables("wait_point", "AFTER_COMMIT"), 0},
	} {
		if got := acksOf(c.rows); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestDivergent(t *testing.T) {
	node := func(f gtid.Flavor, server, executed, written string) *state {
		e, err := gtid.Parse(f, executed)
		if err != nil {
			t.Fatal(err)
		}
		w, err := gtid.ParseBinlogState(written)
		if err != nil {
			t.Fatal(err)
		}
		return &state{Flavor: f, ServerID: server, UUID: "3e11fa47-71ca-11e1-9e33-c80aa9429562", Executed: e, Written: w}
	}
	const u, other = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		name           string
		node, leader   *state
		errant, beyond string
	}{
		{"mariadb, clean", node(gtid.MariaDB, "1", "0-1-100", "0-1-100"), node(gtid.MariaDB, "2", "0-2-150", "0-1-100,0-2-150"), "", ""},
		{"mariadb, wrote alone: the number is lower than the leader's", node(gtid.MariaDB, "1", "0-1-105", "0-1-105"), node(gtid.MariaDB, "2", "0-2-150", "0-1-100,0-2-150"), "0-1-101..105", "0-1-101..105"},
		{"mariadb, has what another one wrote", node(gtid.MariaDB, "1", "0-3-9", "0-1-5,0-3-9"), node(gtid.MariaDB, "2", "0-2-150", "0-1-5,0-2-150"), "", "0-3-9"},
		{"mariadb, a reign that was lost whole", node(gtid.MariaDB, "2", "0-2-173", "0-1-170,0-2-173"), node(gtid.MariaDB, "3", "0-3-180", "0-1-170,0-3-180"), "0-2-171..173", "0-2-171..173"},
		{"mysql, clean", node(gtid.MySQL, "1", u+":1-9", ""), node(gtid.MySQL, "2", u+":1-9,"+other+":1-3", ""), "", ""},
		{"mysql, wrote alone", node(gtid.MySQL, "1", u+":1-9", ""), node(gtid.MySQL, "2", u+":1-7,"+other+":1-3", ""), u + ":8-9", u + ":8-9"},
		{"mysql, has what another one wrote", node(gtid.MySQL, "1", u+":1-7,"+other+":1-4", ""), node(gtid.MySQL, "2", u+":1-7,"+other+":1-3", ""), "", other + ":4"},
	} {
		if got := errant(c.node, c.leader).String(); got != c.errant {
			t.Errorf("%s: errant %q, want %q", c.name, got, c.errant)
		}
		got := divergent(c.node, c.leader).String()
		if c.beyond == "0-3-9" {
			c.beyond = strings.Replace(got, got, c.beyond, 1)
			if !strings.HasPrefix(got, "0-3-") {
				t.Errorf("%s: divergent %q", c.name, got)
			}
			continue
		}
		if got != c.beyond {
			t.Errorf("%s: divergent %q, want %q", c.name, got, c.beyond)
		}
	}
}

func TestHeartbeatWrites(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	since := ago(time.Minute)
	for _, c := range []struct {
		name  string
		beat  Heartbeat
		since time.Time
		want  failover.Writes
	}{
		{"none so far", Heartbeat{}, since, failover.WritesUnknown},
		{"of another node", Heartbeat{Address: "b", Began: ago(1), Ended: now, Written: true}, since, failover.WritesUnknown},
		{"written", Heartbeat{Address: "a", Began: ago(2), Ended: ago(1), Written: true}, since, failover.WritesWork},
		{"another proxy's turn", Heartbeat{Address: "a", Began: ago(2), Ended: ago(1)}, since, failover.WritesUnknown},
		{"began before acknowledgements were asked for", Heartbeat{Address: "a", Began: ago(2), Ended: ago(1), Written: true}, ago(1), failover.WritesUnknown},
		{"long ago", Heartbeat{Address: "a", Began: ago(time.Minute), Ended: ago(time.Minute - 1), Written: true}, ago(time.Hour), failover.WritesUnknown},
		{"under way", Heartbeat{Address: "a", Began: ago(time.Millisecond)}, since, failover.WritesUnknown},
		{"hangs", Heartbeat{Address: "a", Began: ago(2 * time.Second)}, since, failover.WritesHang},
		{"was given up", Heartbeat{Address: "a", Began: ago(11 * time.Second), Ended: ago(time.Second), Err: errors.New("no answer")}, since, failover.WritesHang},
	} {
		if got := c.beat.writes("a", c.since, now, 2*time.Second); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// A follower is heard to hear its leader by what changes between two looks, and only
// where its leader has to say something within the timeout.
func TestHeard(t *testing.T) {
	c := cluster{"db1": {address: "db1:3306"}, "db2": {address: "db2:3306"}}
	at := time.Unix(1000, 0)
	see := func(beats, period string) *failover.Link {
		at = at.Add(time.Second)
		st, err := parseState(gtid.MariaDB, mariadbAnswer(func(t [][]map[string]string) {
			t[3][0]["Slave_IO_Running"], t[3][0]["Slave_received_heartbeats"], t[3][0]["Slave_heartbeat_period"] = "Yes", beats, period
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := seen{node: "db2", sent: at, at: at, old: failover.ReachAnswers, state: st}
		return c.sight("p", "db1", &s, &Heartbeat{}, 3*time.Second, 2*time.Second).Link
	}
	first := see("1", "1.000")
	if first.Source != "db1" || !first.Heard.Equal(at) {
		t.Errorf("at first: %+v", first)
	}
	then := at
	if l := see("1", "1.000"); !l.Heard.Equal(then) {
		t.Errorf("nothing new was heard: %+v", l)
	}
	if l := see("2", "1.000"); !l.Heard.Equal(at) {
		t.Errorf("a heartbeat was heard: %+v", l)
	}
	if l := see("2", "30.000"); !l.Heard.IsZero() {
		t.Errorf("nothing need be heard for 30 s: %+v", l)
	}
}

func TestIncidents(t *testing.T) {
	dir := t.TempDir()
	i, err := OpenIncidents(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(5000, 0)
	for n := range mostIncidents + 10 {
		for _, a := range []failover.Action{
			{Event: "problem", Node: "db1", Code: "leader-gone"},
			{Event: "failover", Node: "db1", Epoch: uint64(n + 1), Text: "leader-gone"},
			{Event: "step", Text: "revoke"},
			{Event: "finished", Node: "db2", Text: "db2 leads"},
		} {
			now = now.Add(time.Second)
			if _, err := i.Report(a, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	again, err := OpenIncidents(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.Latest(1000)
	if err != nil || len(list) > mostIncidents || len(list) < mostIncidents/2 {
		t.Fatalf("%d incidents, %v", len(list), err)
	}
	last := list[len(list)-1]
	if last.Epoch != mostIncidents+10 || last.From != "db1" || last.To != "db2" || last.Outcome != "finished" || last.TookMS != 2000 ||
		len(last.Events) != 4 || last.Events[0].AtMS != -1000 || last.Events[0].Code != "leader-gone" {
		t.Errorf("%+v", last)
	}
}

func TestHearsay(t *testing.T) {
	now := time.Unix(1000, 0)
	got := hearsay([]coord.Report{
		{Observer: "p2", Received: now.Add(-time.Second), Seen: []byte(`{"last_alive_ms":{"db1":500,"db2":-7}}`)},
		{Observer: "p3", Received: now, Seen: []byte(`nonsense`)},
	}, now)
	for _, c := range []struct {
		seen   string
		stream failover.Reach
		listen failover.Reach
		age    time.Duration
	}{
		{`{"last_alive_ms":{"db1":500},"refuses_ms":{"db1":20}}`, failover.ReachUnknown, failover.ReachRefused, 20 * time.Millisecond},
		{`{"last_alive_ms":{"db1":20},"refuses_ms":{"db1":500}}`, failover.ReachAnswers, failover.ReachUnknown, 20 * time.Millisecond},
		{`{"last_alive_ms":{"db1":20},"refuses_ms":{"db1":-5}}`, failover.ReachAnswers, failover.ReachUnknown, 20 * time.Millisecond},
		{`{"last_alive_ms":{"db1":20},"refuses_ms":{"db2":5}}`, failover.ReachAnswers, failover.ReachUnknown, 20 * time.Millisecond},
	} {
		s := hearsay([]coord.Report{{Observer: "p2", Received: now, Seen: []byte(c.seen)}}, now)
		if len(s) != 1 || s[0].Stream != c.stream || s[0].New != c.listen || !s[0].At.Equal(now.Add(-c.age)) {
			t.Errorf("%s: %+v", c.seen, s)
		}
	}
	if len(got) != 1 || got[0].Observer != "p2" || got[0].Node != "db1" || !got[0].At.Equal(now.Add(-1500*time.Millisecond)) || got[0].New != failover.ReachUnknown {
		t.Errorf("%+v", got)
	}
}
