package history

import (
	"fmt"
	"strings"
	"time"
)

// Level is the consistency that a session asked for.
type Level uint8

// Levels, weakest first.
const (
	Eventual Level = iota
	Session
	Causal
	Global
	Strong
	levels
)

func (l Level) String() string {
	return [...]string{"eventual", "session", "causal", "global", "strong"}[l]
}

// Guarantee is one thing that a read may be promised.
type Guarantee uint8

// Guarantees.
const (
	ReadYourWrites    Guarantee = iota
	MonotonicReads              // never older than what the session has read
	MonotonicWrites             // who sees a session's write sees its earlier ones
	WritesFollowReads           // who sees a write sees what its session had read before it
	CausalOrder                 // what was in a token that the session took
	RealTime                    // every write that was acknowledged before the read began
	Integrity                   // what is read was written, once
	guarantees
)

func (g Guarantee) String() string {
	return [...]string{
		"read your writes", "monotonic reads", "monotonic writes", "writes follow reads",
		"causal order", "real time", "integrity",
	}[g]
}

// Promised reports whether a read of that level is promised g.
func Promised(l Level, g Guarantee) bool {
	switch g {
	case Integrity:
		return true
	case RealTime:
		return l >= Global
	default:
		// A session that takes a token is bound to it at every level above eventual.
		return l >= Session
	}
}

// Kind is what an operation does.
type Kind uint8

// Kinds of operations.
const (
	Write Kind = iota // one key
	Read              // some keys, in one statement: one snapshot
	Give              // asks for the session's token
	Take              // takes a token that another session got
)

// Op is one operation of a session. A session runs one after the other, in the
// order of the history.
type Op struct {
	Session    int
	Kind       Kind
	Level      Level         // of a Read
	Failed     bool          // no answer: a Write may have happened; all else counts for nothing
	Start, End time.Duration // since the start of the run: before it was sent, after it was answered
	ID         int           // Write: as stored in the row, over 0, unique; Give and Take: the token's
	Seen       []Seen        // Write: the key, and the version that it made; Read: what it found
	Node       string        // Read: who answered
}

// Seen is one key's row.
type Seen struct {
	Key     int
	Version int // how often it was written; 0: never
	Writer  int // Read: the ID in the row
}

// Violation is a read that broke a guarantee, promised or not.
type Violation struct {
	Guarantee Guarantee
	Op        Op
	Key       int
	Want, Got int // versions: at least, and found
	Detail    string
}

func (v Violation) String() string {
	s := fmt.Sprintf("%s: session %d (%s) at %v to %v read key %d on %s: version %d, must see %d",
		v.Guarantee, v.Op.Session, v.Op.Level, v.Op.Start, v.Op.End, v.Key, v.Op.Node, v.Got, v.Want)
	if v.Detail != "" {
		s += ": " + v.Detail
	}
	return s
}

// Report is what Check found.
type Report struct {
	Reads      [levels]int             // checked, by level
	Violations [levels][guarantees]int // reads that broke it, promised or not
	Broken     []Violation             // of promises, the first ones
}

// maxBroken bounds Report.Broken.
const maxBroken = 20

// Count is the number of promises that were broken.
func (r *Report) Count() int {
	n := 0
	for l := range levels {
		for g := range guarantees {
			if Promised(l, g) {
				n += r.Violations[l][g]
			}
		}
	}
	return n
}

func (r *Report) add(v Violation) {
	r.Violations[v.Op.Level][v.Guarantee]++
	if Promised(v.Op.Level, v.Guarantee) && len(r.Broken) < maxBroken {
		r.Broken = append(r.Broken, v)
	}
}

// String is a line for every level that was read at.
func (r *Report) String() string {
	var s strings.Builder
	for l := range levels {
		if r.Reads[l] == 0 {
			continue
		}
		fmt.Fprintf(&s, "%-8s %8d reads", l, r.Reads[l])
		for g := range guarantees {
			if n := r.Violations[l][g]; n > 0 {
				allowed := " (allowed)"
				if Promised(l, g) {
					allowed = ""
				}
				fmt.Fprintf(&s, ", %s broken %d times%s", g, n, allowed)
			}
		}
		s.WriteString("\n")
	}
	return s.String()
}
