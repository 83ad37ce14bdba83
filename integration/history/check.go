package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// vector is by key the least version that must be seen.
type vector []int32

func (v vector) raise(w vector) {
	for k, n := range w {
		v[k] = max(v[k], n)
	}
}

// past is what a session must see, by the reason why.
type past struct {
	own, read, mw, wfr, token vector
}

// stamp is what comes with a write: its session's earlier writes, and what the
// session had seen otherwise.
type stamp struct{ mw, wfr vector }

// checker holds the state of one walk. Vectors that are stored in stamps,
// inherited and tokens are never changed again.
type checker struct {
	keys      int
	ops       []Op
	sessions  map[int]*past
	stamps    map[int]stamp   // by the write's index in ops
	versions  []map[int]int   // by key: version to index in ops
	inherited [][]stamp       // by key and version
	tokens    map[int]vector  // by id
	acked     vector          // the highest acknowledged version by key
	due       map[int][]int32 // by a read's index: acked for its keys when it began
	writers   map[int]int     // write id to index in ops
	report    *Report
}

// Check checks a history over keys 0 to keys-1. The operations of one session
// must not overlap.
func Check(keys int, ops []Op) *Report {
	c := &checker{
		keys: keys, ops: ops, sessions: make(map[int]*past), stamps: make(map[int]stamp),
		versions: make([]map[int]int, keys), inherited: make([][]stamp, keys), tokens: make(map[int]vector),
		acked: make(vector, keys), due: make(map[int][]int32), writers: make(map[int]int), report: &Report{},
	}
	for k := range c.versions {
		c.versions[k] = make(map[int]int)
		c.inherited[k] = []stamp{{make(vector, keys), make(vector, keys)}} // nobody wrote version 0
	}
	c.index()
	for _, e := range events(ops) {
		if e.end {
			c.ends(e.op)
		} else {
			c.begins(e.op)
		}
	}
	return c.report
}

type event struct {
	at  time.Duration
	end bool
	op  int
}

// events are the beginnings and ends of operations in their order in time. What
// begins when another ends is taken to be concurrent with it.
func events(ops []Op) []event {
	out := make([]event, 0, 2*len(ops))
	for i, op := range ops {
		out = append(out, event{op.Start, false, i}, event{op.End, true, i})
	}
	slices.SortFunc(out, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b2i(a.end), b2i(b.end)), cmp.Compare(a.op, b.op))
	})
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// index learns which write made which version; of a write whose answer was lost,
// from those who read it.
func (c *checker) index() {
	for i, op := range c.ops {
		if op.Kind != Write {
			continue
		}
		c.writers[op.ID] = i
		if op.Failed {
			continue
		}
		s := op.Seen[0]
		if first, twice := c.versions[s.Key][s.Version]; twice {
			c.report.add(Violation{
				Guarantee: Integrity, Op: op, Key: s.Key, Want: s.Version + 1, Got: s.Version,
				Detail: fmt.Sprintf("session %d made that version too", c.ops[first].Session),
			})
		}
		c.versions[s.Key][s.Version] = i
	}
	for _, op := range c.ops {
		if op.Kind != Read || op.Failed {
			continue
		}
		for _, s := range op.Seen {
			if w, ok := c.writers[s.Writer]; ok && c.ops[w].Failed && c.ops[w].Seen[0].Key == s.Key {
				c.versions[s.Key][s.Version] = w
			}
		}
	}
}

func (c *checker) session(id int) *past {
	p := c.sessions[id]
	if p == nil {
		all := make(vector, 5*c.keys)
		n := c.keys
		p = &past{all[:n:n], all[n : 2*n : 2*n], all[2*n : 3*n : 3*n], all[3*n : 4*n : 4*n], all[4*n:]}
		c.sessions[id] = p
	}
	return p
}

func (c *checker) begins(i int) {
	op := &c.ops[i]
	switch op.Kind {
	case Write:
		p := c.session(op.Session)
		st := stamp{slices.Clone(p.own), slices.Clone(p.read)}
		st.mw.raise(p.mw)
		st.wfr.raise(p.wfr)
		st.wfr.raise(p.token)
		c.stamps[i] = st
	case Read:
		due := make([]int32, len(op.Seen))
		for j, s := range op.Seen {
			due[j] = c.acked[s.Key]
		}
		c.due[i] = due
	case Give, Take:
	}
}

func (c *checker) ends(i int) {
	op := &c.ops[i]
	if op.Failed {
		return
	}
	p := c.session(op.Session)
	switch op.Kind {
	case Write:
		s := op.Seen[0]
		if int(p.own[s.Key]) >= s.Version {
			c.report.add(Violation{
				Guarantee: MonotonicWrites, Op: *op, Key: s.Key, Want: int(p.own[s.Key]) + 1, Got: s.Version,
				Detail: "a session's later write came before its earlier one",
			})
		}
		c.inherit(p, s)
		p.own[s.Key] = max(p.own[s.Key], int32(s.Version))
		c.acked[s.Key] = max(c.acked[s.Key], int32(s.Version))
	case Read:
		c.read(i, op, p)
	case Give:
		v := slices.Clone(p.own)
		for _, w := range []vector{p.read, p.mw, p.wfr, p.token} {
			v.raise(w)
		}
		c.tokens[op.ID] = v
	case Take:
		p.token.raise(c.tokens[op.ID])
	}
}

// read checks a read, and lets its session inherit what it saw. What one
// snapshot shows must agree with itself: it inherits first.
func (c *checker) read(i int, op *Op, p *past) {
	c.report.Reads[op.Level]++
	for _, s := range op.Seen {
		c.inherit(p, s)
		c.genuine(op, s)
	}
	for _, w := range []struct {
		g Guarantee
		v vector
	}{{ReadYourWrites, p.own}, {MonotonicReads, p.read}, {MonotonicWrites, p.mw}, {WritesFollowReads, p.wfr}, {CausalOrder, p.token}} {
		for _, s := range op.Seen {
			if want := int(w.v[s.Key]); s.Version < want {
				c.report.add(Violation{Guarantee: w.g, Op: *op, Key: s.Key, Want: want, Got: s.Version})
				break // one read breaks a guarantee once
			}
		}
	}
	for j, s := range op.Seen {
		if want := int(c.due[i][j]); s.Version < want {
			c.report.add(Violation{Guarantee: RealTime, Op: *op, Key: s.Key, Want: want, Got: s.Version})
			break
		}
	}
	delete(c.due, i)
	for _, s := range op.Seen {
		p.read[s.Key] = max(p.read[s.Key], int32(s.Version))
	}
}

// genuine checks that the row is what its writer wrote.
func (c *checker) genuine(op *Op, s Seen) {
	bad := func(detail string) {
		c.report.add(Violation{Guarantee: Integrity, Op: *op, Key: s.Key, Want: s.Version, Got: s.Version, Detail: detail})
	}
	if s.Version == 0 {
		if s.Writer != 0 {
			bad("a row that nobody wrote names a writer")
		}
		return
	}
	w, ok := c.writers[s.Writer]
	switch {
	case !ok:
		bad(fmt.Sprintf("no write %d", s.Writer))
	case c.ops[w].Seen[0].Key != s.Key || !c.ops[w].Failed && c.ops[w].Seen[0].Version != s.Version:
		bad(fmt.Sprintf("write %d did not make that version", s.Writer))
	case c.ops[w].Start > op.End:
		bad(fmt.Sprintf("write %d began later", s.Writer))
	}
}

// inherit adds what comes with version s.Version of a key: the stamps of all its
// versions so far, and those versions' own.
func (c *checker) inherit(p *past, s Seen) {
	in := c.inherited[s.Key]
	for v := len(in); v <= s.Version; v++ {
		st := in[v-1]
		if i, ok := c.versions[s.Key][v]; ok {
			if with, ok := c.stamps[i]; ok {
				st = stamp{slices.Clone(st.mw), slices.Clone(st.wfr)}
				st.mw.raise(with.mw)
				st.wfr.raise(with.wfr)
				delete(c.stamps, i)
			}
		}
		in = append(in, st)
	}
	c.inherited[s.Key] = in
	p.mw.raise(in[s.Version].mw)
	p.wfr.raise(in[s.Version].wfr)
}
