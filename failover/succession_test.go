package failover

import (
	"strings"
	"testing"
)

// Scenario 37: the coordinator dies before each of its actions, after those before
// were done. A successor that knows the record only finishes the change or undoes
// it: one leader, open, followed by the others, with everything that was there.
func TestScenario37CoordinatorDiesAtEveryStep(t *testing.T) {
	tests := []struct {
		kind, prepare, begin string
		leaders              []string // who may lead in the end
		dead                 string
	}{
		{"failover", "set b received=A:1-12", "set a killed", []string{"b"}, "a"},
		{"switchover", "set a executed=A:1-12", "ask switchover to=c", []string{"a", "c"}, ""},
	}
	steps := []string{
		"publish epoch=2 leader=a", "fence node=a", "revoke node=b", "revoke node=c", "drain", "publish epoch=2 leader=b", "publish epoch=2 leader=c",
		"open", "repoint", "release-writes node=b", "release-writes node=c", "report event=finished",
	}
	for _, tt := range tests {
		deaths := 0
		for _, step := range steps {
			text := strings.Join([]string{
				"config nodes=a,b,c acks=1", "record a 1", "coordinate held", tt.prepare, "run 500ms",
				"die-at " + step, tt.begin, "run 4s", "successor", "run 8s", "show", "----", "",
			}, "\n")
			out := runScenario(t, text)
			if !strings.Contains(out, "the coordinator dies before") {
				continue // the change has no such step
			}
			deaths++
			end := out[strings.LastIndex(out, "record epoch="):]
			ok := false
			for _, l := range tt.leaders {
				followers := 0
				for _, f := range []string{"a", "b", "c"} {
					if f != l && f != tt.dead && strings.Contains(out, "\n"+f+" epoch=") && strings.Contains(lastLine(out, f), "read-only follows="+l) {
						followers++
					}
				}
				open := !strings.Contains(lastLine(out, l), "read-only") && strings.Contains(lastLine(out, l), "executed=A:1-12")
				want := 2
				if tt.dead != "" {
					want = 1
				}
				ok = ok || strings.Contains(end, " leader="+l+" ") && strings.Contains(end, "change=false") && open && followers == want
			}
			if !ok {
				t.Errorf("%s, dead before %q: neither finished nor undone:\n%s", tt.kind, step, out)
			}
		}
		if deaths < 7 {
			t.Errorf("%s: the coordinator died at %d steps only", tt.kind, deaths)
		}
	}
}

// lastLine is how the node stood in the end.
func lastLine(out, node string) string {
	at := strings.LastIndex(out, "\n"+node+" epoch=")
	line, _, _ := strings.Cut(out[at+1:], "\n")
	return line
}
