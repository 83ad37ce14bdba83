package history

import (
	"slices"
	"testing"
	"time"
)

// story builds a history in which operations follow each other, each a tick long.
type story struct {
	ops  []Op
	now  time.Duration
	made map[int]int // by key: the last version
}

func tell() *story { return &story{made: make(map[int]int)} }

func (s *story) add(op Op) *story {
	op.Start, op.End = s.now+1, s.now+2
	s.now += 2
	s.ops = append(s.ops, op)
	return s
}

func (s *story) writer(k, v int) int {
	for _, op := range s.ops {
		if op.Kind == Write && op.Seen[0] == (Seen{Key: k, Version: v}) {
			return op.ID
		}
	}
	return 0
}

func (s *story) write(session, key int) *story {
	s.made[key]++
	return s.add(Op{Session: session, Kind: Write, ID: len(s.ops) + 1, Seen: []Seen{{Key: key, Version: s.made[key]}}})
}

// read takes keys and versions by turns.
func (s *story) read(session int, l Level, seen ...int) *story {
	op := Op{Session: session, Kind: Read, Level: l}
	for i := 0; i < len(seen); i += 2 {
		op.Seen = append(op.Seen, Seen{seen[i], seen[i+1], s.writer(seen[i], seen[i+1])})
	}
	return s.add(op)
}

func (s *story) give(session, id int) *story { return s.add(Op{Session: session, Kind: Give, ID: id}) }

func (s *story) take(session, id int) *story { return s.add(Op{Session: session, Kind: Take, ID: id}) }

func TestPlantedViolations(t *testing.T) {
	const x, y, z = 0, 1, 2
	for _, c := range []struct {
		name string
		s    *story
		want []Guarantee
	}{
		{"nothing", tell(), nil},
		{"own write seen", tell().write(1, x).read(1, Session, x, 1), nil},
		{"own write missed", tell().write(1, x).read(1, Session, x, 0), []Guarantee{ReadYourWrites}},
		{"own second write missed", tell().write(1, x).write(1, x).read(1, Session, x, 1), []Guarantee{ReadYourWrites}},
		{"another's write missed", tell().write(1, x).read(2, Session, x, 0), nil},
		{"another's write missed, global", tell().write(1, x).read(2, Global, x, 0), []Guarantee{RealTime}},
		{"back in time", tell().write(1, x).read(2, Session, x, 1).read(2, Session, x, 0), []Guarantee{MonotonicReads}},
		{"another session is behind", tell().write(1, x).read(2, Session, x, 1).read(3, Session, x, 0), nil},
		{"the later write without the earlier", tell().write(1, x).write(1, y).read(2, Session, y, 1, x, 0), []Guarantee{MonotonicWrites}},
		{"the later write, then not the earlier", tell().write(1, x).write(1, y).read(2, Session, y, 1).read(2, Session, x, 0), []Guarantee{MonotonicWrites}},
		{"the earlier write alone", tell().write(1, x).write(1, y).read(2, Session, y, 0, x, 1), nil},
		{"a write without what it followed", tell().write(1, x).read(2, Session, x, 1).write(2, y).read(3, Session, y, 1, x, 0), []Guarantee{WritesFollowReads}},
		{
			"over two sessions", tell().write(1, x).read(2, Session, x, 1).write(2, y).read(3, Session, y, 1).write(3, z).read(4, Session, z, 1).read(4, Session, x, 0),
			[]Guarantee{WritesFollowReads},
		},
		{
			"the earlier write, over two sessions", tell().write(1, x).write(1, y).read(2, Session, y, 1).write(2, z).read(3, Session, z, 1).read(3, Session, x, 0),
			[]Guarantee{MonotonicWrites},
		},
		{"by a later version of the key", tell().write(1, x).write(1, y).write(5, y).read(2, Session, y, 2, x, 0), []Guarantee{MonotonicWrites}},
		{"a token obeyed", tell().write(1, x).give(1, 9).take(2, 9).read(2, Causal, x, 1), nil},
		{"a token ignored", tell().write(1, x).give(1, 9).take(2, 9).read(2, Causal, x, 0), []Guarantee{CausalOrder}},
		{"a token of what was read, ignored", tell().write(1, x).read(3, Session, x, 1).give(3, 9).take(2, 9).read(2, Causal, x, 0), []Guarantee{CausalOrder}},
		{"a token handed on, ignored", tell().write(1, x).give(1, 9).take(2, 9).give(2, 8).take(3, 8).read(3, Causal, x, 0), []Guarantee{CausalOrder}},
		{"a token from before the write", tell().give(1, 9).write(1, x).take(2, 9).read(2, Causal, x, 0), nil},
		{"a write after a token, without what was in it", tell().write(1, x).give(1, 9).take(2, 9).write(2, y).read(3, Session, y, 1, x, 0), []Guarantee{WritesFollowReads}},
		{"a row that nobody wrote", tell().add(Op{Session: 1, Kind: Read, Level: Eventual, Seen: []Seen{{x, 1, 77}}}), []Guarantee{Integrity}},
		{"a write acknowledged twice", tell().write(1, x).add(Op{Session: 2, Kind: Write, ID: 50, Seen: []Seen{{Key: x, Version: 1}}}), []Guarantee{Integrity}},
		{"a session's writes in the wrong order", tell().add(Op{Session: 1, Kind: Write, ID: 50, Seen: []Seen{{Key: x, Version: 2}}}).
			add(Op{Session: 1, Kind: Write, ID: 51, Seen: []Seen{{Key: x, Version: 1}}}), []Guarantee{MonotonicWrites}},
		{"a failed write that happened", tell().add(Op{Session: 1, Kind: Write, ID: 50, Failed: true, Seen: []Seen{{Key: x}}}).
			add(Op{Session: 2, Kind: Read, Level: Session, Seen: []Seen{{x, 1, 50}}}), nil},
		{"what a failed write followed is missing", tell().write(1, y).add(Op{Session: 1, Kind: Write, ID: 50, Failed: true, Seen: []Seen{{Key: x}}}).
			add(Op{Session: 2, Kind: Read, Level: Session, Seen: []Seen{{x, 1, 50}, {y, 0, 0}}}), []Guarantee{MonotonicWrites}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Check(3, c.s.ops)
			var got []Guarantee
			for l := range levels {
				for g := range guarantees {
					// That another's write is missed is worth a word only where it is promised.
					if r.Violations[l][g] > 0 && (g != RealTime || Promised(l, g)) {
						got = append(got, g)
					}
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v\n%s", got, c.want, r)
			}
		})
	}
}

// Under eventual the same reads are counted, and break no promise.
func TestEventualBreaksNoPromise(t *testing.T) {
	s := tell().write(1, 0).read(1, Eventual, 0, 0).read(1, Eventual, 0, 1).read(1, Eventual, 0, 0)
	r := Check(1, s.ops)
	if r.Count() != 0 || len(r.Broken) != 0 {
		t.Errorf("broken promises:\n%s", r)
	}
	if v := r.Violations[Eventual]; v[ReadYourWrites] != 2 || v[MonotonicReads] != 1 || r.Reads[Eventual] != 3 {
		t.Errorf("counted %v", v)
	}
	s = tell().write(1, 0).read(1, Session, 0, 0)
	if r := Check(1, s.ops); r.Count() != 1 || len(r.Broken) != 1 {
		t.Errorf("a broken promise is not told:\n%s", r)
	}
}

func TestLinearizable(t *testing.T) {
	overlap := func(op Op, from, to time.Duration) Op {
		op.Start, op.End = from, to
		return op
	}
	write := Op{Session: 1, Kind: Write, ID: 1, Seen: []Seen{{Version: 1}}}
	lost := Op{Session: 1, Kind: Write, ID: 1, Failed: true, Seen: []Seen{{}}}
	read := func(session, version int) Op {
		return Op{Session: session, Kind: Read, Level: Strong, Seen: []Seen{{Version: version}}}
	}
	for _, c := range []struct {
		name string
		ops  []Op
		ok   bool
	}{
		{"after the write", []Op{overlap(write, 0, 1), overlap(read(2, 1), 2, 3)}, true},
		{"stale", []Op{overlap(write, 0, 1), overlap(read(2, 0), 2, 3)}, false},
		{"while it is written, old", []Op{overlap(write, 0, 9), overlap(read(2, 0), 2, 3)}, true},
		{"while it is written, new and then old", []Op{overlap(write, 0, 9), overlap(read(2, 1), 2, 3), overlap(read(3, 0), 4, 5)}, false},
		{"a lost answer, written later", []Op{overlap(lost, 0, 1), overlap(read(2, 0), 2, 3), overlap(read(2, 1), 4, 5)}, true},
		{"a lost answer, never written", []Op{overlap(lost, 0, 1), overlap(read(2, 0), 2, 3)}, true},
		{"a lost answer, written and undone", []Op{overlap(lost, 0, 1), overlap(read(2, 1), 2, 3), overlap(read(2, 0), 4, 5)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken, undecided, reads := Linearizable(1, c.ops, time.Minute)
			if (len(broken) == 0) != c.ok || len(undecided) != 0 || reads == 0 {
				t.Errorf("broken %v, undecided %v, %d reads", broken, undecided, reads)
			}
		})
	}
}
