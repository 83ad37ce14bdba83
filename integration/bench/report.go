package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is all that was measured.
type report struct {
	Time      time.Time
	Machine   machine
	Short     bool
	Rounds    int
	Seconds   float64 // of a slice
	Workloads []*result
	Goals     []verdict

	outputs []string
}

type machine struct {
	Cores    int
	CPU      string // model
	Kernel   string
	Go       string // that bench was built with
	Programs []string
	Load     string // /proc/loadavg at the start: others at work spoil the figures
}

// result is one workload's figures.
type result struct {
	Name, Title, Unit string
	Goal              float64 `json:",omitempty"`
	Idle              bool
	Base              string // the target that CPU is compared with
	Targets           []*targetResult
}

type targetResult struct {
	Name   string
	Rounds []figures
	Median figures
	Ratio  number   // of its CPU to the base's
	Errors []string `json:",omitempty"`
}

func newResult(w workload, b *bench) *result {
	r := &result{Name: w.name, Title: w.title, Unit: w.unit, Goal: w.goal, Idle: w.idle != nil, Base: haproxy1}
	for _, t := range w.of(b.targets) {
		if t.name == haproxyFollower || t.name == eventual {
			r.Base = t.name
		}
		r.Targets = append(r.Targets, &targetResult{Name: t.name, Median: noFigures(), Ratio: number(math.NaN())})
	}
	return r
}

// target returns the figures of a target; nil where it did not take part.
func (r *result) target(name string) *targetResult {
	for _, t := range r.Targets {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (r *result) fail(t *target, err error) {
	tr := r.target(t.name)
	tr.Errors = append(tr.Errors, err.Error())
}

// add adds a round, and brings medians and ratios up to date.
func (r *result) add(t *target, f figures) {
	tr := r.target(t.name)
	tr.Rounds = append(tr.Rounds, f)
	tr.Median = median(tr.Rounds)
	base := r.target(r.Base)
	if base == nil {
		return
	}
	for _, t := range r.Targets {
		t.Ratio = number(t.Median.CPU / base.Median.CPU)
	}
}

// verdict is one goal and what was reached. The goals are those of the project,
// not of the machine: they are never asserted.
type verdict struct {
	What    string
	Goal    string
	Reached string
	Beside  string // the same of another form of the target
	Met     string // met, missed, or why it cannot be said
}

// judge compares what was measured with the goals. CPU is compared where reads
// go to one follower, as HAProxy has one server; throughput, with two followers.
func (r *report) judge() {
	for _, w := range r.Workloads {
		if w.Idle {
			r.judgeIdle(w)
			continue
		}
		r.judgeCPU(w)
		r.judgeLevel(w)
		r.judgeRate(w)
	}
}

func (r *report) judgeCPU(w *result) {
	one, ha := w.target(bellwetherOne), w.target(haproxy1)
	if w.Goal == 0 || one == nil || w.target(w.Base) == nil {
		return
	}
	v := verdict{What: w.Title + ": CPU per " + w.Unit + " to HAProxy's", Goal: fmt.Sprintf("<= %.2f", w.Goal)}
	v.Reached = cell(float64(one.Ratio), "%.2f")
	var beside []string
	if w.Base != haproxy1 && ha != nil {
		beside = append(beside, cell(one.Median.CPU/ha.Median.CPU, "%.2f to HAProxy before the leader"))
	}
	if two := w.target(bellwether); two != nil {
		beside = append(beside, cell(float64(two.Ratio), "%.2f with two followers"))
	}
	v.Beside = strings.Join(beside, ", ")
	v.Met = met(float64(one.Ratio), float64(one.Ratio) <= w.Goal)
	r.Goals = append(r.Goals, v)
}

// levelGoal is the most CPU that the level session may take, to eventual's.
const levelGoal = 1.05

func (r *report) judgeLevel(w *result) {
	one := w.target(bellwetherOne)
	if w.Base != eventual || one == nil {
		return
	}
	q := float64(one.Ratio)
	r.Goals = append(r.Goals, verdict{
		What: w.Title + ": CPU", Goal: fmt.Sprintf("<= %.2f", levelGoal), Reached: cell(q, "%.2f"), Met: met(q, q <= levelGoal),
	})
}

func (r *report) judgeRate(w *result) {
	two, ha := w.target(bellwether), w.target(haproxy1)
	if two == nil || ha == nil || !strings.HasPrefix(w.Name, "point-") && !strings.HasPrefix(w.Name, "read-only-") {
		return
	}
	q := two.Median.Rate / ha.Median.Rate
	v := verdict{
		What: w.Title + ": throughput with two followers to HAProxy's with one node", Goal: ">= 1.00",
		Reached: cell(q, "%.2f"), Met: met(q, q >= 1),
	}
	if all := w.target(haproxyAll); all != nil {
		v.Beside = cell(two.Median.Rate/all.Median.Rate, "%.2f to HAProxy with its default threads")
	}
	r.Goals = append(r.Goals, v)
}

func (r *report) judgeIdle(w *result) {
	t := w.target(bellwether)
	if t == nil {
		return
	}
	v := verdict{
		What: w.Title + ": memory per session", Goal: fmt.Sprintf("<= %d KiB", idleGoal>>10),
		Reached: cell(t.Median.Memory/1024, "%.1f KiB"), Met: met(t.Median.Memory, t.Median.Memory <= idleGoal),
	}
	if ha := w.target(haproxy1); ha != nil {
		v.Beside = cell(ha.Median.Memory/1024, "HAProxy: %.1f KiB")
	}
	r.Goals = append(r.Goals, v)
}

func met(v float64, ok bool) string {
	switch {
	case math.IsNaN(v):
		return "not measured"
	case ok:
		return "met"
	}
	return "missed"
}

// failures are the workloads that could not be run.
func (r *report) failures() error {
	var all []error
	for _, w := range r.Workloads {
		for _, t := range w.Targets {
			if len(t.Errors) > 0 {
				all = append(all, fmt.Errorf("%s, %s: %s", w.Name, t.Name, t.Errors[0]))
			}
		}
	}
	return errors.Join(all...)
}

func newReport(ctx context.Context, o options) *report {
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second), Short: o.short, Rounds: o.rounds, Seconds: o.slice.Seconds(),
		outputs: o.outputs, Machine: machine{Cores: runtime.NumCPU(), Go: runtime.Version()},
	}
	r.Machine.Kernel = firstLine("/proc/sys/kernel/osrelease", "")
	r.Machine.CPU = strings.TrimLeft(firstLine("/proc/cpuinfo", "model name"), "\t :")
	r.Machine.Load = firstLine("/proc/loadavg", "")
	for _, cmd := range [][]string{{"mariadbd", "--no-defaults", "--version"}, {"haproxy", "-v"}, {"sysbench", "--version"}} {
		if path, err := find(cmd[0]); err == nil {
			out, _ := exec.CommandContext(ctx, path, cmd[1:]...).Output()
			line, _, _ := strings.Cut(string(out), "\n")
			line = strings.TrimSpace(strings.TrimPrefix(line, path))
			r.Machine.Programs = append(r.Machine.Programs, line)
		}
	}
	return r
}

// write writes the report to files, in the form that their names ask for.
func (r *report) write(paths []string) error {
	for _, path := range paths {
		var text []byte
		if strings.HasSuffix(path, ".md") {
			var b strings.Builder
			r.markdown(&b)
			text = []byte(b.String())
		} else {
			var err error
			if text, err = json.MarshalIndent(r, "", "  "); err != nil {
				return err
			}
			text = append(text, '\n')
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
