package failover

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden decisions of testdata with what is decided now")

// A scenario is a script: commands, a line of four dashes, and the decisions that
// they lead to, up to an empty line. testdata/README says what the commands are.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScenario(t, string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(b), got); diff != "" {
				t.Errorf("other decisions than in %s (-rewrite takes them over):\n%s", file, diff)
			}
		})
	}
}

// script runs the commands of one scenario.
type script struct {
	t     *testing.T
	w     *world
	m     *Machine
	cfg   Config
	start time.Time
	stop  string // the coordinator dies when it gives an action that begins with this
	died  bool
	owed  []Done
	other []Sight // what another proxy sees, until told otherwise
	asked uint64
	out   strings.Builder
}

func runScenario(t *testing.T, text string) string {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &script{t: t, start: start, w: &world{now: start, etcd: true, fail: map[string]string{}}}
	var out strings.Builder
	golden := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case golden && trimmed != "":
			continue
		case golden:
			golden = false
			out.WriteString("\n")
			continue
		case trimmed == "----":
			golden = true
			out.WriteString("----\n" + s.out.String())
			s.out.Reset()
			continue
		}
		out.WriteString(line)
		if trimmed != "" && trimmed[0] != '#' {
			s.command(strings.Fields(trimmed))
		}
	}
	return out.String()
}

func (s *script) command(words []string) {
	s.t.Helper()
	switch words[0] {
	case "config":
		s.config(words[1:])
	case "record":
		s.record(words[1:])
	case "set":
		s.set(words[1], words[2:])
	case "coordinate":
		s.step(Coordination{Held: words[1] == "held", NoLease: len(words) > 2, Record: s.w.stored.Clone()})
	case "run":
		s.run(s.duration(words[1]))
	case "sleep":
		s.w.now = s.w.now.Add(s.duration(words[1]))
	case "etcd":
		s.w.etcd = words[1] == "up"
	case "fail":
		s.w.fail[words[1]+" "+words[2]] = strings.Join(words[3:], " ")
	case "mend":
		delete(s.w.fail, words[1]+" "+words[2])
	case "other":
		s.other = nil
		for _, name := range words[1:] {
			s.other = append(s.other, Sight{Observer: "p2", Node: name})
		}
	case "die-at":
		s.stop = strings.Join(words[1:], " ")
	case "successor":
		s.m, s.owed, s.stop, s.died = New(s.cfg), nil, "", false
		s.step(Coordination{Held: true, Record: s.w.stored.Clone()})
	case "ask":
		s.ask(words[1], words[2:])
	case "show":
		for _, n := range s.w.nodes {
			fmt.Fprintf(&s.out, "%s\n", strings.ReplaceAll(n.describe(), uuidA, "A"))
		}
		fmt.Fprintf(&s.out, "record epoch=%d leader=%s reign=%d change=%v members=%v acks=%d\n", s.w.stored.Epoch, s.w.stored.Leader, s.w.stored.Reign, s.w.stored.Change != nil, s.w.stored.Members, s.w.stored.Acks)
	case "counting":
		fmt.Fprintf(&s.out, "counting %v\n", s.m.Counting())
	default:
		s.t.Fatalf("unknown command %q", words[0])
	}
}

func (s *script) duration(word string) time.Duration {
	d, err := time.ParseDuration(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *script) number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// config makes the policy, the nodes and the machine: all nodes but the first follow it.
func (s *script) config(words []string) {
	s.cfg = Defaults()
	s.cfg.Self = "p1"
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "nodes":
			for i, name := range strings.Split(value, ",") {
				s.cfg.Nodes = append(s.cfg.Nodes, NodeConfig{Name: name})
				n := &server{name: name, reach: ReachAnswers, writes: WritesWork, executed: s.set1("A:1-10"), booted: s.start.Add(-time.Hour), mark: 1}
				if i > 0 {
					n.readOnly, n.source, n.linkUp, n.applying, n.heard = true, s.cfg.Nodes[0].Name, true, true, s.start
				}
				s.w.nodes = append(s.w.nodes, n)
			}
		case "acks":
			s.cfg.Acks = int(s.number(value))
			s.w.nodes[0].acks = s.cfg.Acks
		case "lease":
			s.cfg.LeaseTTL = s.duration(value)
		case "compare":
			s.cfg.Compare = true
		case "manual":
			s.cfg.Automatic = false
		case "min-interval":
			s.cfg.MinInterval = s.duration(value)
		case "disk-full":
			s.cfg.DiskFullTimeout = s.duration(value)
		default:
			s.t.Fatalf("unknown key %q", key)
		}
	}
	s.m = New(s.cfg)
}

func (s *script) set1(v string) gtid.Set { return mysqlSet(s.t, strings.ReplaceAll(v, ";", ",")) }

func (s *script) record(words []string) {
	r := topology.Record{Revision: 1, Settled: true, Acks: s.cfg.Acks}
	for _, n := range s.cfg.Nodes {
		r.Members = append(r.Members, n.Name)
	}
	r.Leader, r.Epoch, r.Reign = words[0], s.number(words[1]), s.number(words[1])
	s.w.stored = r
}

func (s *script) set(name string, words []string) {
	n := s.w.node(name)
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "killed":
			n.dead, n.reach = true, ReachRefused
		case "silent":
			n.dead, n.reach = true, ReachSilent
		case "back":
			n.dead, n.reach = false, ReachAnswers
		case "restarted":
			n.dead, n.reach, n.booted, n.readOnly = false, ReachAnswers, s.w.now, true
		case "cut":
			n.reach = ReachSilent
		case "too-many":
			n.reach = ReachTooMany
		case "read-only":
			n.readOnly = value != "off"
		case "writes":
			n.writes = map[string]Writes{"work": WritesWork, "hang": WritesHang, "full": WritesDiskFull}[value]
		case "executed":
			n.executed = s.set1(value)
		case "received":
			n.received = s.set1(value)
		case "errant":
			n.errant = s.set1(value)
			n.executed = n.executed.Union(n.errant)
		case "unseen":
			n.unseen = s.set1(value)
		case "link":
			n.linkUp = value == "up"
		case "source":
			n.source = value
		case "lag":
			n.lag = s.duration(value)
		case "restarted-writable":
			n.booted = s.w.now
		case "forked-of":
			n.forkedOf = value
		case "cut-from":
			n.cutFrom = strings.Split(value, ",")
		default:
			s.t.Fatalf("unknown key %q", key)
		}
	}
}

func (s *script) ask(kind string, words []string) {
	s.asked++
	r := Request{ID: s.asked, Kind: map[string]RequestKind{"switchover": AskSwitchover, "failover": AskFailover, "unblock": AskUnblock}[kind]}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "to":
			r.To = value
		case "dry":
			r.DryRun = true
		case "force":
			r.Force = true
		}
	}
	s.step(r)
}

// run lets probes and results come in every 100 ms.
func (s *script) run(d time.Duration) {
	for end := s.w.now.Add(d); s.w.now.Before(end) && !s.died; {
		s.w.now = s.w.now.Add(100 * time.Millisecond)
		owed := s.owed
		s.owed = nil
		for _, d := range owed {
			s.step(d)
		}
		for _, o := range s.other {
			s.step(Seen{s.w.sight("p2", s.w.node(o.Node), ReachAnswers)})
		}
		for _, n := range s.w.nodes {
			s.step(Seen{s.w.sight("p1", n, n.reach)})
		}
		s.step(Tick{})
	}
}

func (s *script) step(ev Event) {
	if s.died {
		return
	}
	for _, a := range s.m.Step(ev, s.w.now) {
		text := strings.ReplaceAll(a.String(), uuidA, "A")
		if a.Kind == RunHook && a.Event == "fence" {
			continue
		}
		if s.stop != "" && strings.HasPrefix(text, s.stop) {
			fmt.Fprintf(&s.out, "%6dms the coordinator dies before: %s\n", s.w.now.Sub(s.start).Milliseconds(), text)
			s.died = true
			return
		}
		fmt.Fprintf(&s.out, "%6dms %s\n", s.w.now.Sub(s.start).Milliseconds(), text)
		if d, ok := s.w.perform(a); ok {
			s.owed = append(s.owed, d)
		}
	}
}
