package history

import (
	"math/rand/v2"
	"testing"
	"time"
)

// oracle finds bad reads by searching the graph of operations from each read, and
// by looking at every pair: slow, and obvious. It returns, by the index of a read
// in ops, the guarantees that it breaks; causality is one of them (anyCausal),
// as the oracle does not tell by which reason a path led to a write.
type oracle struct {
	ops  []Op
	into [][]int // by operation: those that it follows
}

const anyCausal = guarantees

func newOracle(ops []Op) *oracle {
	o := &oracle{ops: ops, into: make([][]int, len(ops))}
	for i, a := range ops {
		for j, b := range ops {
			if o.follows(b, a) {
				o.into[j] = append(o.into[j], i)
			}
		}
	}
	return o
}

// follows reports whether b follows a directly.
func (o *oracle) follows(b, a Op) bool {
	switch {
	case a.Failed || b.Failed:
		return false
	case a.Session == b.Session && a.End <= b.Start:
		return true
	case a.Kind == Give && b.Kind == Take:
		return a.ID == b.ID
	case a.Kind == Write:
		for _, s := range b.Seen {
			if s.Key == a.Seen[0].Key && (b.Kind == Read && s.Version >= a.Seen[0].Version || b.Kind == Write && s.Version > a.Seen[0].Version) {
				return true
			}
		}
	}
	return false
}

// before are all operations that a path leads from to op.
func (o *oracle) before(op int) []int {
	seen := make(map[int]bool)
	var out []int
	for queue := []int{op}; len(queue) > 0; queue = queue[1:] {
		for _, i := range o.into[queue[0]] {
			if !seen[i] {
				seen[i] = true
				out, queue = append(out, i), append(queue, i)
			}
		}
	}
	return out
}

func (o *oracle) version(read Op, key int) (int, bool) {
	for _, s := range read.Seen {
		if s.Key == key {
			return s.Version, true
		}
	}
	return 0, false
}

func (o *oracle) breaks(read int) map[Guarantee]bool {
	r := o.ops[read]
	out := make(map[Guarantee]bool)
	for _, a := range o.ops {
		if a.Failed {
			continue
		}
		for _, s := range a.Seen {
			got, reads := o.version(r, s.Key)
			if !reads || got >= s.Version {
				continue
			}
			mine := a.Session == r.Session && a.End <= r.Start
			switch {
			case a.Kind == Write && mine:
				out[ReadYourWrites] = true
			case a.Kind == Read && mine:
				out[MonotonicReads] = true
			}
			if a.Kind == Write && a.End < r.Start {
				out[RealTime] = true
			}
		}
	}
	for _, i := range o.before(read) {
		if a := o.ops[i]; a.Kind == Write {
			if got, reads := o.version(r, a.Seen[0].Key); reads && got < a.Seen[0].Version {
				out[anyCausal] = true
			}
		}
	}
	return out
}

// world is a leader and replicas that apply its writes in order, each at its own pace.
type world struct {
	r        *rand.Rand
	keys     int
	log      []Op
	versions []int // on the leader
	applied  []int // by replica: how much of the log
}

// at is the version of a key after the first n writes of the log.
func (w *world) at(n, key int) Seen {
	s := Seen{Key: key}
	for _, op := range w.log[:n] {
		if op.Seen[0].Key == key {
			s.Version, s.Writer = op.Seen[0].Version, op.ID
		}
	}
	return s
}

// invent makes a history of one operation after the other. With floors, sessions
// read only from replicas that have what they saw; else from any.
func invent(r *rand.Rand, n int, floors bool) (keys int, ops []Op) {
	w := &world{r: r, keys: 1 + r.IntN(4)}
	w.versions, w.applied = make([]int, w.keys), make([]int, 2+r.IntN(2))
	sessions := 2 + r.IntN(4)
	floor := make([]int, sessions)
	tokens := []int{}
	for i := range n {
		for f := range w.applied {
			if r.IntN(3) == 0 {
				w.applied[f] += r.IntN(len(w.log) - w.applied[f] + 1)
			}
		}
		op := Op{Session: r.IntN(sessions), Start: time.Duration(10 * i), End: time.Duration(10*i + 5), ID: i + 1}
		switch k := r.IntN(10); {
		case k < 3:
			key := r.IntN(w.keys)
			w.versions[key]++
			op.Kind, op.Seen = Write, []Seen{{Key: key, Version: w.versions[key]}}
			w.log = append(w.log, op)
			floor[op.Session] = len(w.log)
		case k == 3:
			op.Kind, op.ID = Give, len(tokens)
			tokens = append(tokens, floor[op.Session])
		case k == 4 && len(tokens) > 0:
			op.Kind, op.ID = Take, r.IntN(len(tokens))
			floor[op.Session] = max(floor[op.Session], tokens[op.ID])
		default:
			op.Kind, op.Level = Read, Causal
			at := w.applied[r.IntN(len(w.applied))]
			if floors && at < floor[op.Session] {
				at = len(w.log)
			}
			floor[op.Session] = max(floor[op.Session], at)
			for key := range w.keys {
				if r.IntN(2) == 0 {
					op.Seen = append(op.Seen, w.at(at, key))
				}
			}
		}
		ops = append(ops, op)
	}
	return w.keys, ops
}

func TestCheckAgainstOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	found := 0
	for range 400 {
		keys, ops := invent(r, 60, r.IntN(2) == 0)
		if r.IntN(2) == 0 { // replicas that are no prefix either
			op := &ops[r.IntN(len(ops))]
			if op.Kind == Read && len(op.Seen) > 0 {
				s := &op.Seen[r.IntN(len(op.Seen))]
				*s = Seen{Key: s.Key}
			}
		}
		var want, got [guarantees + 1]int
		o := newOracle(ops)
		for i, op := range ops {
			if op.Kind != Read {
				continue
			}
			for g := range o.breaks(i) {
				want[g]++
				found++
			}
			// The rest of the history cannot matter to a read, but for the writes that it names.
			before := Check(keys, ops[:i])
			after := Check(keys, ops[:i+1])
			causal := false
			for g := range guarantees {
				n := after.Violations[Causal][g] - before.Violations[Causal][g]
				got[g] += n
				causal = causal || n > 0 && g != RealTime
			}
			if causal {
				got[anyCausal]++
			}
		}
		for _, g := range []Guarantee{ReadYourWrites, MonotonicReads, RealTime, anyCausal} {
			if want[g] != got[g] {
				t.Fatalf("guarantee %d: the oracle finds %d reads, Check %d, in\n%+v", g, want[g], got[g], ops)
			}
		}
	}
	if found == 0 {
		t.Error("no history had a violation")
	}
}

// Sessions with floors over replicas that apply in order break nothing.
func TestFloorsKeepThePromise(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	for range 200 {
		keys, ops := invent(r, 120, true)
		if rep := Check(keys, ops); rep.Count() > 0 {
			t.Fatalf("%s\n%v\n%+v", rep, rep.Broken, ops)
		}
	}
}
