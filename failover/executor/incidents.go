package executor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
)

// Incident is one change of leader, or attempt at one: what was seen before it, what
// was decided and done, and how long each step took.
type Incident struct {
	Kind     string    `json:"kind"` // failover | switchover | adopt
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	TookMS   float64   `json:"took_ms"`
	Epoch    uint64    `json:"epoch"`
	From     string    `json:"from"`
	To       string    `json:"to,omitempty"`
	Outcome  string    `json:"outcome"` // finished | undone | dropped
	Text     string    `json:"text"`
	Position string    `json:"position,omitempty"` // that the new leader was opened with
	Events   []Note    `json:"events"`
}

// Note is one thing that was seen, decided or done. AtMS is since the incident began;
// what was seen before it is negative.
type Note struct {
	AtMS  float64 `json:"at_ms"`
	Event string  `json:"event"`
	Node  string  `json:"node,omitempty"`
	Code  string  `json:"code,omitempty"`
	Text  string  `json:"text,omitempty"`

	at time.Time
}

// Bounds of what is kept.
const (
	mostIncidents = 500
	mostNotes     = 200
	before        = time.Minute // what was seen so long before belongs to an incident
	mostLine      = 1 << 20
)

// Incidents is a file of incidents, a JSON object in each line, the newest last.
type Incidents struct {
	path string

	mu      sync.Mutex // guards all below, and the file
	lines   int
	recent  []Note
	present *Incident
}

// OpenIncidents opens the file in a folder, which is made where it is missing.
func OpenIncidents(dir string) (*Incidents, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of incidents: %w", err)
	}
	i := &Incidents{path: filepath.Join(dir, "incidents.jsonl")}
	all, err := i.read()
	i.lines = len(all)
	return i, err
}

// Report takes a report of the machine. What ends an incident writes it down, and returns it.
func (i *Incidents) Report(a failover.Action, now time.Time) (ended *Incident, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := Note{Event: a.Event, Node: a.Node, Code: a.Code, Text: a.Text, at: now}
	switch a.Event {
	case "failover", "switchover", "adopt":
		i.present = &Incident{Kind: a.Event, Began: now.Round(0).UTC(), Epoch: a.Epoch, From: a.Node, Text: a.Text}
		for _, r := range i.recent {
			if now.Sub(r.at) <= before {
				i.present.add(r, now)
			}
		}
		i.present.Outcome = "finished"
	case "undo":
		if i.present != nil {
			i.present.Outcome = "undone"
		}
	}
	p := i.present
	if p == nil {
		i.recent = append(i.recent, n)
		i.recent = slices.Clone(i.recent[max(0, len(i.recent)-mostNotes/4):])
		return nil, nil
	}
	p.add(n, p.Began)
	if a.Event != "finished" && a.Event != "dropped" {
		return nil, nil
	}
	i.present, i.recent = nil, nil
	p.Ended, p.TookMS, p.Text = now.Round(0).UTC(), ms(now.Sub(p.Began)), p.Text+"; "+a.Text
	if a.Event == "dropped" {
		p.Outcome = "dropped"
	} else {
		p.To, p.Position = a.Node, a.Until.String()
	}
	return p, i.write(p)
}

func (p *Incident) add(n Note, began time.Time) {
	if len(p.Events) < mostNotes {
		n.AtMS = ms(n.at.Sub(began))
		p.Events = append(p.Events, n)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// write appends one incident, durably; a file that has grown too long loses its older half.
func (i *Incidents) write(p *Incident) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the incident: %w", err)
	}
	if i.lines >= mostIncidents {
		if err := i.shorten(); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(i.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the incident: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the incident: %w", err)
	}
	i.lines++
	return nil
}

func (i *Incidents) shorten() error {
	lines, err := i.read()
	if err != nil {
		return err
	}
	lines = lines[len(lines)/2:]
	tmp := i.path + ".new"
	if err := os.WriteFile(tmp, append(bytes.Join(lines, []byte("\n")), '\n'), 0o600); err != nil {
		return fmt.Errorf("shorten the incidents: %w", err)
	}
	i.lines = len(lines)
	return os.Rename(tmp, i.path)
}

// read returns the lines of the file.
func (i *Incidents) read() ([][]byte, error) {
	f, err := os.Open(i.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the incidents: %w", err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, mostLine)
	var out [][]byte
	for sc.Scan() {
		out = append(out, bytes.Clone(sc.Bytes()))
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read the incidents: %w", err)
	}
	return out, nil
}

// Latest returns the newest incidents, at most limit, the newest last.
func (i *Incidents) Latest(limit int) ([]Incident, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	lines, err := i.read()
	if err != nil {
		return nil, err
	}
	out := []Incident{}
	for _, line := range lines[max(0, len(lines)-limit):] {
		var p Incident
		if json.Unmarshal(line, &p) == nil { // a line that a crash cut short is left out
			out = append(out, p)
		}
	}
	return out, nil
}
