package coord

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

func TestLocalKeepsTheRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "topology.json")
	l, err := OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(path); !errors.Is(err, ErrTaken) {
		t.Errorf("a second process gets %v, want ErrTaken", err)
	}
	changed := l.Changed()
	first, err := l.Swap(t.Context(), topology.Record{Epoch: 1, Reign: 1, Leader: "a", Members: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
	stale := first
	stale.Revision, stale.Epoch = 0, 2
	if got, err := l.Swap(t.Context(), stale); !errors.Is(err, ErrConflict) || got.Revision != first.Revision {
		t.Errorf("an old revision: %v, %v; want ErrConflict with the present record", got, err)
	}
	usurper := first
	usurper.Leader = "b"
	if _, err := l.Swap(t.Context(), usurper); !errors.Is(err, ErrRefused) {
		t.Errorf("another leader in the same epoch: %v, want ErrRefused", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st := l.Status()
	if !st.Held || st.Record.Leader != "a" || st.Record.Revision != first.Revision || !st.MayWrite(time.Now()) {
		t.Errorf("after opening again: %+v", st)
	}
}

func TestLocalRefusesADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "topology.json")
	if err := os.WriteFile(path, []byte(`{"revision": 3, "record": {"epo`), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := OpenLocal(path); err == nil {
		l.Close()
		t.Error("half a record was taken for one")
	}
}

// A process that is killed while it replaces the record leaves a whole one, and
// never an older one than it had told of.
func TestLocalSurvivesKills(t *testing.T) {
	if os.Getenv("COORD_CRASH_FILE") != "" {
		crashHelper(t)
		return
	}
	path := filepath.Join(t.TempDir(), "topology.json")
	last := uint64(0)
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLocalSurvivesKills$")
		cmd.Env = append(os.Environ(), "COORD_CRASH_FILE="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told := make([]byte, 1)
		for range 3 + round { // each byte is a Swap that was answered
			if _, err := out.Read(told); err != nil {
				t.Fatal(err)
			}
			last++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		l, err := OpenLocal(path)
		if err != nil {
			t.Fatal(err)
		}
		got := l.Status().Record.Epoch
		l.Close()
		if got < last {
			t.Fatalf("round %d: epoch %d is there, and %d was answered", round, got, last)
		}
		last = got
	}
}

func crashHelper(t *testing.T) {
	l, err := OpenLocal(os.Getenv("COORD_CRASH_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		next := l.Status().Record
		next.Epoch++
		next.Reign, next.Leader = next.Epoch, "a"
		if _, err := l.Swap(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stdout.Write([]byte(".")); err != nil {
			return
		}
	}
}
