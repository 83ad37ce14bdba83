package failover

import (
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// The model: two coordinators that may both believe that they coordinate, servers
// that go on taking writes from clients with an old record, actions that are
// performed at any later time or never. With one coordinator that may die, and what it
// had sent still under way, every order is visited; with two that both act there are too
// many, and random walks are taken.
//
// Two things must hold in every state: in one epoch one server is written at
// most; and who reigns, once opened, holds every write that was acknowledged.

// modelServer is a server; sets of writes are bits.
type modelServer struct {
	executed, received uint16 // received has executed in it
	readOnly           bool
	source             int // index; -1 none
	link               bool
	mark, opened       uint64 // opened: the epoch in which it takes, or took, writes
	acks               int
	proved             bool // a write was acknowledged since it was opened
	dead, cut          bool // cut: coordinators cannot reach it; clients and servers can
}

// model is one state. flight is the actions that are under way, by coordinator.
type model struct {
	engine  bool // followers commit what they acknowledge
	servers []modelServer
	stored  topology.Record
	acked   uint16
	writers map[uint64]int
	cs      [2]*Machine
	flight  [2][]Action
	now     time.Time

	kinds                                                 []RequestKind // that are asked for
	writes, asks, crashes, takeovers, kills, waits, drops int           // what may still happen
}

var modelNames = []string{"a", "b", "c", "d", "e"}

func newModel(n, acks int, engine bool) *model {
	s := &model{engine: engine, kinds: []RequestKind{AskFailover, AskSwitchover}, writers: map[uint64]int{1: 0}, now: time.Unix(1000, 0)}
	s.stored = topology.Record{Epoch: 1, Reign: 1, Leader: "a", Members: modelNames[:n], Acks: acks, Settled: true, Revision: 1}
	for i := range n {
		s.servers = append(s.servers, modelServer{readOnly: i > 0, source: -1, mark: 1})
		if i > 0 {
			s.servers[i].source, s.servers[i].link = 0, true
		}
	}
	s.servers[0].opened, s.servers[0].acks = 1, acks
	cfg := Defaults()
	cfg.Acks, cfg.Automatic = acks, false
	for _, name := range modelNames[:n] {
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: name})
	}
	for i := range s.cs {
		cfg.Self = fmt.Sprintf("p%d", i+1)
		s.cs[i] = New(cfg)
		s.give(i, Coordination{Held: i == 0, Record: s.stored.Clone()})
	}
	return s
}

func (m *Machine) clone() *Machine {
	c := *m
	c.rec = m.rec.Clone()
	c.sights = slices.Clone(m.sights)
	c.aliveAt = maps.Clone(m.aliveAt)
	c.problems = slices.Clone(m.problems)
	c.requests = slices.Clone(m.requests)
	c.pending = slices.Clone(m.pending)
	c.repairs = slices.Clone(m.repairs)
	c.pointed = slices.Clone(m.pointed)
	c.produced = nil
	if m.op != nil {
		o := *m.op
		o.revoked, o.names, o.pointed = slices.Clone(o.revoked), slices.Clone(o.names), slices.Clone(o.pointed)
		c.op = &o
	}
	return &c
}

func (s *model) clone() *model {
	c := *s
	c.servers = slices.Clone(s.servers)
	c.stored = s.stored.Clone()
	c.stored.Revision = s.stored.Revision
	c.writers = maps.Clone(s.writers)
	for i := range s.cs {
		c.cs[i] = s.cs[i].clone()
		c.flight[i] = slices.Clone(s.flight[i])
	}
	return &c
}

// key tells states apart.
func (s *model) key() string {
	var b strings.Builder
	fmt.Fprint(&b, s.servers, s.acked, s.writes, s.asks, s.crashes, s.takeovers, s.kills, s.waits, s.drops, s.now.Unix())
	record := func(r *topology.Record) {
		fmt.Fprint(&b, "|", r.Revision, r.Epoch, r.Reign, r.Leader, r.Members, r.Acks, r.Settled, len(r.Past))
		if r.Change != nil {
			fmt.Fprint(&b, *r.Change)
		}
	}
	record(&s.stored)
	for i, m := range s.cs {
		record(&m.rec)
		fmt.Fprint(&b, m.held, m.pointed, m.rebooted, m.floor)
		if o := m.op; o != nil {
			fmt.Fprint(&b, *o)
		}
		for _, p := range m.pending {
			fmt.Fprint(&b, p.action.Kind, p.action.Node, p.action.Epoch, ",")
		}
		for _, r := range m.repairs {
			fmt.Fprint(&b, r.node, r.id != 0, r.tries, r.notTil.Unix())
		}
		for _, a := range s.flight[i] {
			b.WriteString(a.String())
		}
	}
	return b.String()
}

var bitSets = func() (sets [256]gtid.Set) {
	for i := range sets {
		var items []string
		for b := range 8 {
			if i&(1<<b) != 0 {
				items = append(items, fmt.Sprintf("%s:%d", uuidA, b+1))
			}
		}
		sets[i], _ = gtid.Parse(gtid.MySQL, strings.Join(items, ","))
	}
	return sets
}()

func (s *model) index(name string) int { return slices.Index(modelNames, name) }

// give steps a coordinator, with all that it can see before.
func (s *model) give(c int, ev Event) {
	m := s.cs[c]
	events := []Event{}
	for i := range s.servers {
		events = append(events, Seen{s.sight(m.cfg.Self, i)})
	}
	for _, e := range append(events, ev) {
		for _, a := range m.Step(e, s.now) {
			switch a.Kind {
			case HoldWrites, ReleaseWrites, Report, Answer:
			case RunHook:
				m.pending = slices.DeleteFunc(m.pending, func(p pending) bool { return p.action.ID == a.ID })
			default:
				s.flight[c] = append(s.flight[c], a)
			}
		}
	}
}

func (s *model) sight(self string, i int) Sight {
	n := &s.servers[i]
	out := Sight{Observer: self, Node: modelNames[i], Sent: s.now, At: s.now, New: ReachSilent, Old: ReachSilent}
	if n.dead {
		out.New = ReachRefused
	}
	if n.dead || n.cut {
		return out
	}
	out.New, out.Old, out.ReadOnly, out.Epoch, out.Acks = ReachAnswers, ReachAnswers, n.readOnly, n.mark, n.acks
	out.Executed, out.Received = bitSets[n.executed], bitSets[n.received]
	if !n.readOnly && n.proved {
		out.Writes = WritesWork
	}
	if n.source >= 0 {
		out.Link = &Link{Source: modelNames[n.source], Receiving: n.link && !s.servers[n.source].dead, Applying: true}
	}
	return out
}

// perform does what the action says if the node can be reached and holds no higher
// epoch: marks and ownership are checked by the node at the moment of the change.
func (s *model) perform(a Action) Done {
	d := Done{ID: a.ID}
	if a.Kind == Publish {
		err := s.stored.Follows(&a.Record)
		switch {
		case a.Record.Revision != s.stored.Revision:
			d.Err, d.Conflict = "replaced", true
		case err != nil:
			panic(fmt.Sprintf("the machine asked for a record that cannot follow: %v", err))
		default:
			rev := s.stored.Revision + 1
			s.stored = a.Record.Clone()
			s.stored.Revision = rev
		}
		d.Record = s.stored.Clone()
		return d
	}
	n := &s.servers[s.index(a.Node)]
	if n.dead || n.cut {
		d.Err = "cannot be reached"
		return d
	}
	if n.mark > a.Epoch {
		d.Err, d.Mark = "a higher epoch is there", n.mark
		return d
	}
	n.mark = a.Epoch
	switch a.Kind {
	case Fence:
		n.readOnly = true
	case Revoke:
		n.link = false
	case Drain:
		if a.From != "" {
			f := &s.servers[s.index(a.From)]
			if !f.dead {
				n.received |= f.executed | f.received
			}
		}
		n.executed |= n.received
	case Open:
		if n.opened != a.Epoch {
			n.proved = false
		}
		n.readOnly, n.source, n.link, n.acks, n.opened = false, -1, false, a.Acks, a.Epoch
	case RequireAcks:
		n.acks = a.Acks
	case RescueAndRejoin:
		l := &s.servers[s.index(a.Leader)]
		if l.dead || l.mark > a.Epoch || l.opened != a.Epoch {
			d.Err = "the leader is not what it should be"
			return d
		}
		n.executed, n.received = l.executed, l.executed
		n.readOnly, n.source, n.link = true, s.index(a.Leader), true
	case Repoint:
		n.readOnly, n.source, n.link = true, s.index(a.Leader), true
	default:
		panic(a.Kind.String())
	}
	d.Executed, d.Received = bitSets[n.executed], bitSets[n.received|n.executed]
	return d
}

// replicate lets a follower receive all that its source has, and the source tell its clients.
func (s *model) replicate(i int) bool {
	f := &s.servers[i]
	if !f.link || f.source < 0 || f.dead || s.servers[f.source].dead {
		return false
	}
	src := &s.servers[f.source]
	before := *f
	f.received |= src.executed | f.executed
	if s.engine {
		f.executed = f.received
	}
	for b := range 8 {
		w := uint16(1) << b
		have := 0
		for j := range s.servers {
			if g := &s.servers[j]; g.link && g.source == f.source && !g.dead && g.received&w != 0 {
				have++
			}
		}
		if src.executed&w != 0 && src.opened > 0 && have >= src.acks && src.acks > 0 {
			s.acked |= w
			src.proved = src.proved || s.writtenBy(w) == src.opened
		}
	}
	return before != *f
}

// Each write's epoch is kept in the order of writes, so that proved means this reign's.
func (s *model) writtenBy(w uint16) uint64 {
	for e, set := range s.writtenIn() {
		if set&w != 0 {
			return e
		}
	}
	return 0
}

func (s *model) writtenIn() map[uint64]uint16 {
	out := map[uint64]uint16{}
	for k, v := range s.writers {
		if k >= 1000 {
			out[uint64(v)] |= 1 << (k - 1000)
		}
	}
	return out
}

// write is a client's, sent by whatever it last knew. ok is false if two servers
// would be written in one epoch.
func (s *model) write(i int) (ok bool) {
	n := &s.servers[i]
	b := len(s.writtenIn())
	for _, set := range s.writtenIn() {
		b += bits.OnesCount16(set) - 1
	}
	n.executed |= 1 << b
	n.received |= n.executed
	s.writers[1000+uint64(b)] = int(n.opened)
	if w, taken := s.writers[n.opened]; taken && w != i {
		return false
	}
	s.writers[n.opened] = i
	return true
}

func (s *model) check() error {
	l := s.index(s.stored.Leader)
	if n := &s.servers[l]; n.opened == s.stored.Reign && s.acked&^n.executed != 0 {
		return fmt.Errorf("%s reigns in epoch %d without acknowledged writes: acknowledged %b, there %b", s.stored.Leader, s.stored.Reign, s.acked, n.executed)
	}
	return nil
}

// moves lists what can happen next. Each is done on a clone.
func (s *model) moves() (names []string, do []func(*model) error) {
	add := func(name string, f func(*model) error) { names, do = append(names, name), append(do, f) }
	plain := func(f func(*model)) func(*model) error { return func(m *model) error { f(m); return nil } }
	for c := range s.flight {
		for i, a := range s.flight[c] {
			take := func(m *model) Action {
				m.flight[c] = slices.Delete(m.flight[c], i, i+1)
				return a
			}
			add(fmt.Sprintf("p%d performs %v", c+1, a), plain(func(m *model) {
				d := m.perform(take(m))
				m.give(c, d)
			}))
			if s.drops > 0 {
				add(fmt.Sprintf("p%d performs %v, the answer is lost", c+1, a), plain(func(m *model) {
					m.drops--
					m.perform(take(m))
					m.give(c, Done{ID: a.ID, Err: "lost"})
				}))
			}
		}
	}
	for i := range s.servers {
		n := &s.servers[i]
		if s.writes > 0 && !n.readOnly && !n.dead && n.opened > 0 {
			add("write on "+modelNames[i], func(m *model) error {
				m.writes--
				if !m.write(i) {
					return fmt.Errorf("two servers were written in epoch %d", n.opened)
				}
				return nil
			})
		}
		if c := s.clone(); c.replicate(i) {
			add(modelNames[i]+" receives", plain(func(m *model) { m.replicate(i) }))
		}
		if s.kills > 0 && !n.dead {
			add(modelNames[i]+" dies", plain(func(m *model) { m.kills--; m.servers[i].dead = true }))
			add(modelNames[i]+" is cut off", plain(func(m *model) { m.kills--; m.servers[i].cut = true }))
		}
	}
	for c, m := range s.cs {
		if s.asks > 0 && m.held && m.op == nil && m.rec.Change == nil {
			for _, kind := range s.kinds {
				add(fmt.Sprintf("p%d is asked for %d", c+1, kind), plain(func(m *model) {
					m.asks--
					m.give(c, Request{ID: 1, Kind: kind})
				}))
			}
		}
		if s.crashes > 0 && m.held {
			add(fmt.Sprintf("p%d dies and starts", c+1), plain(func(m *model) {
				m.crashes--
				m.cs[c] = New(m.cs[c].cfg) // what it had sent may still arrive; its results go nowhere
				m.cs[c].nextID = 100 * uint64(1+m.crashes)
				m.give(c, Coordination{Held: true, Record: m.stored.Clone()})
			}))
		}
		if s.takeovers > 0 && !m.held {
			add(fmt.Sprintf("p%d takes over unknown to the other", c+1), plain(func(m *model) {
				m.takeovers--
				m.give(c, Coordination{Held: true, Record: m.stored.Clone()})
			}))
		}
		if s.waits > 0 && m.held {
			add(fmt.Sprintf("time passes for p%d", c+1), plain(func(m *model) {
				m.waits--
				m.now = m.now.Add(time.Second)
				m.give(c, Tick{})
			}))
		}
	}
	return names, do
}

// explore visits every state that can be reached, at most most of them.
func (s *model) explore(t *testing.T, most int) (states, opened int) {
	t.Helper()
	type node struct {
		s    *model
		path []string
	}
	seen := map[string]bool{s.key(): true}
	stack := []node{{s: s}}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		names, do := n.s.moves()
		for i := range do {
			c := n.s.clone()
			err := do[i](c)
			if err == nil {
				err = c.check()
			}
			if err != nil {
				t.Fatalf("%v\nafter\n  %s", err, strings.Join(append(n.path, names[i]), "\n  "))
			}
			if k := c.key(); !seen[k] {
				seen[k] = true
				if c.stored.Reign > 1 && c.stored.Change == nil {
					opened++
				}
				stack = append(stack, node{c, append(slices.Clip(n.path), names[i])})
			}
		}
		if len(seen) > most {
			t.Fatalf("more than %d states: the bounds are too wide to visit all", most)
		}
	}
	return len(seen), opened
}

func TestEveryInterleaving(t *testing.T) {
	tests := []struct {
		name                                                  string
		n, acks                                               int
		engine, cut                                           bool
		writes, asks, crashes, takeovers, kills, waits, drops int
	}{
		{name: "a coordinator dies at any step, native", n: 3, acks: 1, writes: 1, asks: 1, crashes: 1},
		{name: "a coordinator dies at any step, engine", n: 3, acks: 1, engine: true, writes: 1, asks: 1, crashes: 1},
		{name: "the leader is cut off and takes writes", n: 3, acks: 1, writes: 1, asks: 1, crashes: 1, cut: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newModel(tt.n, tt.acks, tt.engine)
			s.writes, s.asks, s.crashes, s.takeovers, s.kills, s.waits, s.drops = tt.writes, tt.asks, tt.crashes, tt.takeovers, tt.kills, tt.waits, tt.drops
			if s.servers[0].cut = tt.cut; tt.cut {
				s.kinds = s.kinds[:1]
			}
			states, opened := s.explore(t, 50_000)
			t.Logf("%d states, %d after a change", states, opened)
			if opened == 0 {
				t.Error("no change came to its end: this shows nothing")
			}
		})
	}
}

// Random walks go further than every order can be followed.
func TestRandomWalks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("BELLWETHER_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	walks := 200
	if os.Getenv("BELLWETHER_LONG") != "" {
		walks = 40_000
	}
	randomWalks(t, seed, walks)
}

// TestWalksThatFailed walks again where a fault was found:
// a claim whose answer was lost was made again under another one's leader.
func TestWalksThatFailed(t *testing.T) {
	for _, seed := range []uint64{1795574493805141352} {
		randomWalks(t, seed, 200)
	}
}

func randomWalks(t *testing.T, seed uint64, walks int) {
	t.Helper()
	t.Logf("BELLWETHER_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	changes := uint64(0)
	for range walks {
		n := 3 + r.IntN(3)
		s := newModel(n, 1+r.IntN(n-1), r.IntN(2) == 0)
		s.writes, s.asks, s.crashes, s.takeovers, s.kills, s.waits, s.drops = 6, 5, 3, 1, 2, 40, 4
		var path []string
		for range 250 {
			names, do := s.moves()
			if len(do) == 0 {
				break
			}
			i := r.IntN(len(do))
			path = append(path, names[i])
			err := do[i](s)
			if err == nil {
				err = s.check()
			}
			if err != nil {
				t.Fatalf("BELLWETHER_SEED=%d: %v\nafter\n  %s", seed, err, strings.Join(path, "\n  "))
			}
		}
		changes += s.stored.Reign - 1
	}
	t.Logf("%d walks, %d changes of leader", walks, changes)
	if changes < uint64(walks)/4 {
		t.Errorf("only %d changes in %d walks: this shows little", changes, walks)
	}
}
