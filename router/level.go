package router

import "strings"

// Level is what a read may be older than; docs/consistency.md is the manual.
type Level uint8

// Levels, from the weakest to the strongest.
const (
	LevelNone     Level = iota // no wish
	LevelEventual              // anything within the limit of lag
	LevelSession               // not older than the session's own writes, and than what it has read
	LevelCausal                // the same, and not older than the tokens that the session was handed
	LevelGlobal                // not older than any write that was acknowledged anywhere before the read came
	LevelStrong                // the leader's present

	numLevels
)

var levelNames = [numLevels]string{"", "eventual", "session", "causal", "global", "strong"}

func (l Level) String() string {
	if l < numLevels {
		return levelNames[l]
	}
	return "unknown"
}

// ParseLevel reads a level's name, in capitals or not.
func ParseLevel(s string) (Level, bool) {
	for l := LevelEventual; l < numLevels; l++ {
		if strings.EqualFold(s, levelNames[l]) {
			return l, true
		}
	}
	return LevelNone, false
}

// Consistency is the level of sessions that chose none.
func (p *Policy) Consistency() Level { return p.consistency }

// level is what holds for a statement: the hint goes before what the session was
// SET to, that before the rule, and that before the policy. A token binds in any case.
func (p *Policy) level(v *SessionView, h *Hint, rule Level) Level {
	l := p.consistency
	if rule != LevelNone {
		l = rule
	}
	if v.Level != LevelNone {
		l = v.Level
	}
	if h.Err == "" && h.Level != LevelNone {
		l = h.Level
	}
	if (h.Token != "" || h.Session != "") && h.Err == "" && h.Level == LevelNone {
		l = max(l, LevelCausal)
	}
	return l
}
