package router

import (
	"strconv"
	"strings"
	"time"
)

// Target is where a statement goes.
type Target uint8

// Targets.
const (
	TargetNone     Target = iota // not decided; in a hint or a rule: no wish
	TargetLeader                 // the home connection
	TargetFollower               // a follower; Decision.Node says which
	TargetRefuse                 // an error: no follower is eligible, and the policy forbids the leader

	numTargets
)

var targetNames = [...]string{"none", "leader", "follower", "refuse"}

// NumTargets is how many targets there are, for arrays of counters.
const NumTargets = int(numTargets)

func (t Target) String() string {
	if int(t) < len(targetNames) {
		return targetNames[t]
	}
	return "unknown"
}

// Hint is what a leading comment asks for:
//
//	/* bellwether: target=follower max_lag=200ms node=db2 */ SELECT ...
//
//	/* bellwether: consistency=global */ SELECT ...
//
// Pairs are separated by spaces or commas. Keys and targets are not
// case-sensitive; the name of a node is.
type Hint struct {
	Present bool
	Target  Target
	MaxLag  time.Duration // 0: the policy's
	Node    string
	Level   Level
	Token   string // a token that another session was given
	Session string // the key of a floor that is shared by all sessions that bear it
	Err     string // why the hint could not be understood; then it has no effect
}

// maxSessionKey bounds what is remembered of a hint's session, bytes.
const maxSessionKey = 64

// leadingHint decodes the hint comment of the text.
func (s *scanner) leadingHint() Hint {
	if s.hints > 1 {
		return Hint{Present: true, Err: "more than one hint"}
	}
	return ParseHint(s.b[s.hint.Off:s.hint.End])
}

// ParseHint decodes what follows "bellwether:" in a comment. Where anything in
// it cannot be understood, nothing of it counts, and Err says what it was.
func ParseHint(b []byte) Hint {
	h := Hint{Present: true}
	for len(b) > 0 {
		if c := b[0]; isSpace(c) || c == ',' {
			b = b[1:]
			continue
		}
		n := 0
		for n < len(b) && !isSpace(b[n]) && b[n] != ',' {
			n++
		}
		if err := h.pair(string(b[:n])); err != "" {
			return Hint{Present: true, Err: err}
		}
		b = b[n:]
	}
	if h == (Hint{Present: true}) {
		return Hint{Present: true, Err: "the hint is empty"}
	}
	return h
}

// pair takes in one key=value, and returns what is wrong with it.
func (h *Hint) pair(p string) string {
	key, value, ok := strings.Cut(p, "=")
	if !ok || value == "" {
		return printable(p) + " is not of the form key=value"
	}
	switch lower(key) {
	case "target":
		if h.Target != TargetNone {
			return "target is given twice"
		}
		switch lower(value) {
		case "leader":
			h.Target = TargetLeader
		case "follower":
			h.Target = TargetFollower
		default:
			return "target is " + printable(value) + ", want leader or follower"
		}
	case "max_lag":
		d, err := time.ParseDuration(value)
		switch {
		case h.MaxLag != 0:
			return "max_lag is given twice"
		case err != nil || d <= 0:
			return "max_lag is " + printable(value) + ", want a duration over zero such as 200ms"
		}
		h.MaxLag = d
	case "node":
		if h.Node != "" {
			return "node is given twice"
		}
		h.Node = value
	case "consistency":
		l, ok := ParseLevel(value)
		switch {
		case h.Level != LevelNone:
			return "consistency is given twice"
		case !ok:
			return "consistency is " + printable(value) + ", want eventual, session, causal, global or strong"
		}
		h.Level = l
	case "token":
		if h.Token != "" {
			return "token is given twice"
		}
		h.Token = value
	case "session":
		switch {
		case h.Session != "":
			return "session is given twice"
		case len(value) > maxSessionKey:
			return "session is longer than 64 bytes"
		}
		h.Session = value
	default:
		return "the key " + printable(key) + " is not known"
	}
	return ""
}

// printable quotes a part of a client's text for a message, cut to a bound.
func printable(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToASCII(s)
}
