package demo

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// testView is a demo some minutes after its start.
func testView() *View {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	v := &View{
		Version: "mariadb-10.11.6", Running: 83 * time.Second, Left: 37 * time.Second,
		Address: "127.0.0.1:3307", Client: "mariadb -h 127.0.0.1 -P 3307 -u app -papp shop",
		Admin: "http://127.0.0.1:9307/", Config: "/tmp/bellwether-demo-1-2/bellwether.yaml",
		Keys: []Key{{'q', "quit"}, {'s', "stop replication on db3"}, {'k', "kill db2"}, {'h', "help"}},
		Events: []Event{
			{at, "you stopped replication on db3"},
			{at.Add(time.Second), "db3 gets no reads: replication is stopped"},
		},
	}
	snap := &topology.Snapshot{Nodes: []*topology.Node{
		{Name: "db1", Role: topology.RoleLeader, State: topology.StateUp},
		{
			Name: "db2", Role: topology.RoleFollower, State: topology.StateUp, Eligible: true,
			Lag: topology.Lag{Known: true, Behind: 1500 * time.Microsecond, Tx: 2},
		},
		{Name: "db3", Role: topology.RoleFollower, State: topology.StateBroken, Why: "replication is stopped"},
	}}
	before := sample{
		At:     at,
		Nodes:  map[string]nodeCounts{"db1": {true, 100, 1000}, "db2": {true, 5000, 0}, "db3": {true, 400, 0}},
		Routes: map[routeKey]uint64{{"follower", "read"}: 5400, {"leader", "write"}: 1000, {"leader", "for_update"}: 100},
		Load:   loadSample{Statements: 6500},
	}
	after := sample{
		At:     at.Add(2 * time.Second),
		Nodes:  map[string]nodeCounts{"db1": {true, 140, 1200}, "db2": {true, 6060, 0}, "db3": {true, 500, 0}},
		Routes: map[routeKey]uint64{{"follower", "read"}: 6560, {"leader", "write"}: 1200, {"leader", "for_update"}: 140},
		Load:   loadSample{Statements: 7900, Retried: 2, ReadBack: 1640},
	}
	for range 90 {
		after.Load.Latency[bucket(300*time.Microsecond)]++
	}
	for range 10 {
		after.Load.Latency[bucket(3*time.Millisecond)]++
	}
	v.measure(&before, &after, snap)
	return v
}

func TestRender(t *testing.T) {
	tests := []struct {
		name        string
		width, rows int
		change      func(*View)
	}{
		{name: "80x24", width: 80, rows: 24},
		{name: "120x40", width: 120, rows: 40},
		{name: "small", width: 40, rows: 10},
		{name: "tiny", width: 5, rows: 2},
		{name: "help", width: 100, rows: 24, change: func(v *View) { v.Help = true }},
		{name: "errors", width: 100, rows: 24, change: func(v *View) {
			v.Load.Errors, v.Load.ErrorTexts = 1234, []string{"order: Error 1290: read-only"}
			v.Nodes[1].State, v.Nodes[1].Known, v.Nodes[1].Lag.Known = "down", false, false
		}},
		{name: "leader killed", width: 100, rows: 30, change: func(v *View) {
			v.Turn = &Turn{Did: "db1, the leader, was killed", Since: 120 * time.Millisecond, Reads: 40}
		}},
		{name: "new leader", width: 110, rows: 30, change: func(v *View) {
			v.Turn = &Turn{
				Did: "db1, the leader, was killed", Since: 3 * time.Second, Leader: "db2", Reads: 1340, Unknown: 1,
				First: 361 * time.Millisecond, Longest: 358 * time.Millisecond,
			}
		}},
		{name: "at the start", width: 80, rows: 24, change: func(v *View) {
			*v = View{Version: v.Version, Client: v.Client, Nodes: v.Nodes}
			for i := range v.Nodes {
				v.Nodes[i].Reads, v.Nodes[i].Writes = 0, 0
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := testView()
			if tt.change != nil {
				tt.change(v)
			}
			lines := render(v, tt.rows)
			if len(lines) != tt.rows {
				t.Errorf("%d lines on %d rows", len(lines), tt.rows)
			}
			var b strings.Builder
			for _, l := range lines {
				s := l.encode(tt.width, false)
				if len([]rune(s)) > tt.width {
					t.Errorf("wider than %d: %q", tt.width, s)
				}
				b.WriteString(strings.TrimRight(s, " ") + "\n")
			}
			golden(t, "screen-"+strings.ReplaceAll(tt.name, " ", "-"), b.String())
		})
	}
	t.Run("plain", func(t *testing.T) { golden(t, "plain", renderPlain(testView())) })
	t.Run("summary", func(t *testing.T) { golden(t, "summary", renderSummary(testView())) })
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -rewrite:\n%s", path, diff)
	}
}

func TestFrame(t *testing.T) {
	lines := []line{text("one ").and(red, "two"), nil, styled(bold, "abcdef")}
	tests := []struct {
		name   string
		width  int
		colour bool
		want   string
	}{
		{"colour", 80, true, "\x1b[Hone \x1b[31mtwo\x1b[0m\x1b[K\r\n\x1b[K\r\n\x1b[1mabcdef\x1b[0m\x1b[K\x1b[J"},
		{"none", 80, false, "\x1b[Hone two\x1b[K\r\n\x1b[K\r\nabcdef\x1b[K\x1b[J"},
		{"narrow: no escape sequence is cut", 4, true, "\x1b[Hone \x1b[K\r\n\x1b[K\r\n\x1b[1mabcd\x1b[0m\x1b[K\x1b[J"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(frame(lines, tt.width, tt.colour)); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 ms": 0, "0.3 ms": 300 * time.Microsecond, "12 ms": 12*time.Millisecond + 345*time.Microsecond, "1.5 s": 1500 * time.Millisecond,
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", d, got, want)
		}
	}
	for want, n := range map[string]uint64{"0": 0, "999": 999, "1,000": 1000, "12,345,678": 12345678} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	i := &executor.Incident{Began: at.Add(240 * time.Millisecond), From: "db1", Events: []executor.Note{
		{AtMS: -900, Event: "problem", Node: "db1", Text: "before the kill"},
		{AtMS: -210, Event: "problem", Node: "db3", Text: "does not replicate"},
		{AtMS: -205, Event: "problem", Node: "db1", Text: "connections are refused and nobody has a stream from it"},
		{AtMS: 0, Event: "failover", Node: "db1", Text: "leader-gone"},
		{AtMS: 1, Event: "step", Text: "revoke"},
		{AtMS: 30, Event: "chosen", Node: "db2", Text: "holds everything that the others hold"},
		{AtMS: 40, Event: "problem", Node: "db1", Text: "does not answer"},
		{AtMS: 50, Event: "finished", Node: "db2", Text: "db2 leads in epoch 2 after 50ms"},
	}}
	want := []string{
		" +0.035 s  db1: connections are refused and nobody has a stream from it",
		" +0.241 s  followers stop receiving from the old leader",
		" +0.270 s  db2 is chosen: holds everything that the others hold",
		" +0.290 s  db2 leads in epoch 2 after 50ms",
	}
	if diff := cmp.Diff(want, steps(i, at)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
