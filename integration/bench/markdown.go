package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// table is a table in Markdown, padded so that it reads well in a terminal too.
// Its first row is the head.
type table [][]string

func (t table) print(w io.Writer) {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c), 3)
		}
	}
	for n, row := range t {
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if t.left(i) {
				fmt.Fprint(w, "| ", c, pad, " ")
			} else {
				fmt.Fprint(w, "| ", pad, c, " ")
			}
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i := range row {
				if t.left(i) {
					fmt.Fprint(w, "|-", strings.Repeat("-", width[i]), "-")
				} else {
					fmt.Fprint(w, "|-", strings.Repeat("-", width[i]), ":")
				}
			}
			fmt.Fprintln(w, "|")
		}
	}
}

// left reports whether a column holds words; the first one always does.
func (t table) left(column int) bool {
	if column == 0 {
		return true
	}
	for _, row := range t[1:] {
		if c := row[column]; c != "" && (c[0] < '0' || c[0] > '9') && c[0] != '-' && c[0] != '<' && c[0] != '>' {
			return true
		}
	}
	return false
}

// cell formats a figure; empty where there is none.
func cell(v float64, format string) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// print prints a workload's figures.
func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s: %s\n\n", r.Name, r.Title)
	if r.Idle {
		r.printIdle(w)
	} else {
		r.printLoad(w)
	}
	for _, t := range r.Targets {
		for _, e := range t.Errors {
			fmt.Fprintf(w, "\n%s failed: %s\n", t.Name, strings.TrimSpace(e))
		}
	}
	fmt.Fprintln(w)
}

func (r *result) printLoad(w io.Writer) {
	t := table{{"target", r.Unit + "/s", "p50 ms", "p95 ms", "p99 ms", "CPU µs/" + r.Unit, "in user space", "to " + r.Base, "RSS MB", "on followers"}}
	for _, x := range r.Targets {
		m := x.Median
		share := ""
		if strings.HasPrefix(x.Name, bellwether) {
			share = cell(100*m.Followers, "%.0f %%")
		}
		t = append(t, []string{
			x.Name, cell(m.Rate, "%.0f"), cell(m.P50, "%.2f"), cell(m.P95, "%.2f"), cell(m.P99, "%.2f"), cell(m.CPU, "%.1f"), cell(m.User, "%.1f"),
			cell(float64(x.Ratio), "%.2f"), cell(m.Memory/(1<<20), "%.1f"), share,
		})
	}
	t.print(w)
}

func (r *result) printIdle(w io.Writer) {
	t := table{{"target", "KiB per session"}}
	for _, x := range r.Targets {
		if len(x.Rounds) > 0 {
			t = append(t, []string{x.Name, cell(x.Median.Memory/1024, "%.1f")})
		}
	}
	t.print(w)
}

// print prints the goals, after the workloads' own tables.
func (r *report) print(w io.Writer) {
	if len(r.Goals) > 0 {
		fmt.Fprintf(w, "## Goals\n\n")
		t := table{{"what", "goal", "reached", "beside", ""}}
		for _, v := range r.Goals {
			t = append(t, []string{v.What, v.Goal, v.Reached, v.Beside, v.Met})
		}
		t.print(w)
	}
	fmt.Fprintf(w, "\nMedians of %d rounds of %g s. %s.\n", r.Rounds, r.Seconds, r.Machine)
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s), Linux %s; %s; %s; load at the start: %s",
		m.Cores, m.CPU, m.Kernel, strings.Join(m.Programs, "; "), m.Go, m.Load)
}

// markdown writes everything.
func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Benchmark of %s\n\n", r.Time.Format("2006-01-02 15:04 MST"))
	for _, x := range r.Workloads {
		x.print(w)
	}
	r.print(w)
}
