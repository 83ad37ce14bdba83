package proxy

import (
	"fmt"
	"testing"
	"time"
)

func TestAnswered(t *testing.T) {
	var a answered
	start := time.Unix(1000, 0)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	ask := func(n int, yes, known bool) {
		t.Helper()
		if gotYes, gotKnown := a.has(fmt.Sprintf("0-1-%d", n), at(n)); gotYes != yes || gotKnown != known {
			t.Errorf("%d: %v, %v, want %v, %v", n, gotYes, gotKnown, yes, known)
		}
	}
	ask(0, false, false) // nothing is known at first
	for n := 1; n <= 10; n++ {
		a.note(fmt.Sprintf("0-1-%d", n), at(n))
	}
	ask(0, false, false)
	ask(1, true, true)
	ask(11, false, true)
	for n := 12; n < mostAnswered+5; n++ {
		a.note(fmt.Sprintf("0-1-%d", n), at(n))
	}
	ask(3, false, false) // forgotten
	ask(11, false, true)
	ask(20, true, true)
	ask(mostAnswered+4, true, true)
	ask(mostAnswered+5, false, true)
}
