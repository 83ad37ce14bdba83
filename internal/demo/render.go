package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// style is how a span looks on a terminal: the parameters of SGR (ECMA-48).
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

type span struct {
	text  string
	style style
}

// line is one line of the screen.
type line []span

func text(format string, args ...any) line { return line{{fmt.Sprintf(format, args...), plain}} }

func styled(s style, format string, args ...any) line { return line{{fmt.Sprintf(format, args...), s}} }

func (l line) and(s style, format string, args ...any) line {
	return append(l, span{fmt.Sprintf(format, args...), s})
}

// encode is the line's text with at most width characters, and with escape
// sequences where colour is on.
func (l line) encode(width int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		runes := []rune(s.text)
		if len(runes) > width {
			runes = runes[:width]
		}
		width -= len(runes)
		if colour && s.style != plain && len(runes) > 0 {
			b.WriteString("\x1b[" + string(s.style) + "m" + string(runes) + "\x1b[0m")
		} else {
			b.WriteString(string(runes))
		}
	}
	return b.String()
}

// render lays the view out for a screen of that many rows. Each row is a line;
// what does not fit is left out, from the least important on.
func render(v *View, rows int) []line {
	top := slices.Concat(renderHead(v), renderNodes(v))
	load := renderLoad(v)
	keys := renderKeys(v)
	free := rows - len(top) - len(load) - len(keys)
	if v.Help {
		return fit(slices.Concat(top, load, clip(helpText(v), free)), keys, rows)
	}
	events := renderEvents(v)
	whys := renderRoutes(v)
	if v.Turn != nil {
		whys = nil
		load = append(load, renderTurn(v.Turn)...)
		free -= 3
	}
	// The last few events are worth more than the rarest reasons.
	room := max(free-min(len(events), 5), min(free, 5), 0)
	whys = clip(whys, room)
	if left := free - len(whys); left >= 2 {
		events = append(events[:min(len(events), 2):min(len(events), 2)], last(events[min(len(events), 2):], left-2)...)
	} else {
		events = nil
	}
	return fit(slices.Concat(top, load, whys, events), keys, rows)
}

// fit puts the bottom lines on the last rows.
func fit(body, bottom []line, rows int) []line {
	body = clip(body, max(rows-len(bottom), 0))
	for len(body)+len(bottom) < rows {
		body = append(body, nil)
	}
	return clip(append(body, bottom...), rows)
}

func clip(lines []line, n int) []line { return lines[:min(len(lines), max(n, 0))] }

func last(lines []line, n int) []line { return lines[len(lines)-min(len(lines), max(n, 0)):] }

func renderHead(v *View) []line {
	when := "running " + clock(v.Running)
	if v.Left > 0 {
		when += ", " + clock(v.Left) + " left"
	}
	lines := []line{
		styled(bold, "Bellwether demo").and(plain, "   %s, %s   %s", v.Version, count(len(v.Nodes), "node"), when),
		nil,
		text("connect  ").and(bold, "%s", v.Client),
	}
	if v.Admin != "" {
		lines = append(lines, text("watch    ").and(bold, "%s", v.Admin))
	}
	if v.Config != "" {
		lines = append(lines, text("change   ").and(bold, "%s", v.Config).and(dim, "   applied when saved"))
	}
	return append(lines, nil)
}

func renderNodes(v *View) []line {
	lines := []line{styled(dim, "node   role      state     reads/s  writes/s       lag   behind  share of reads")}
	sum := 0.0
	for i := range v.Nodes {
		sum += v.Nodes[i].Reads
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		look := green
		switch {
		case n.State != "up":
			look = red
		case n.Role == "follower" && !n.Eligible:
			look = yellow
		}
		l := text("%-6s %-9s ", n.Name, n.Role).and(look, "%-8s ", n.State)
		if n.Known {
			l = l.and(plain, "%8.0f %9.0f", n.Reads, n.Writes)
		} else {
			l = l.and(plain, "%8s %9s", "-", "-")
		}
		lag, behind := lagText(n)
		l = l.and(plain, " %9s %8s  ", lag, behind)
		if sum > 0 {
			l = l.and(look, "%s", strings.Repeat("#", int(n.Reads/sum*15+0.5)))
		}
		lines = append(lines, l)
	}
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Role != "leader" && n.Why != "" {
			lines = append(lines, styled(yellow, "%s gets no reads: %s", n.Name, n.Why))
		}
	}
	return append(lines, nil)
}

// lagText is a follower's lag in time and in transactions.
func lagText(n *NodeView) (lag, behind string) {
	switch {
	case n.Role == "leader":
		return "", ""
	case !n.Lag.Known:
		return "unknown", "-"
	default:
		return short(n.Lag.Behind), fmt.Sprintf("%d tx", n.Lag.Tx)
	}
}

func renderLoad(v *View) []line {
	l := text("load     %.0f statements/s", v.Rate)
	if v.Latency.Known {
		l = l.and(plain, ", half within %s, 95%% within %s", short(v.Latency.P50), short(v.Latency.P95))
	}
	look := green
	if v.Load.Errors > 0 {
		look = red
	}
	l = l.and(plain, ", ").and(look, "%s", count(int(v.Load.Errors), "error"))
	lines := []line{l}
	if v.Load.ReadBack > 0 {
		lines = append(lines, text("         %s right after an own write saw it", count(int(v.Load.ReadBack), "read")))
	}
	for _, e := range v.Load.ErrorTexts {
		lines = append(lines, styled(red, "         %s", e))
	}
	return append(lines, nil)
}

// renderTurn says what a change of the leader meant for clients.
func renderTurn(t *Turn) []line {
	head := styled(bold, "%s", t.Did).and(plain, " %.1f s ago", t.Since.Seconds())
	writes := styled(yellow, "writes   wait for a new leader")
	if t.Leader != "" {
		head = head.and(plain, "; ").and(green, "%s leads", t.Leader)
		writes = text("writes   wait for the first acknowledgement")
	}
	if t.First > 0 {
		writes = text("writes   the first one was acknowledged ").and(bold, "%s", short(t.First)).
			and(plain, " after, the longest wait was %s", short(t.Longest))
		if t.Unknown > 0 {
			writes = writes.and(plain, ", %s of unknown outcome", count(int(t.Unknown), "write"))
		}
	}
	look := green
	if t.Failed > 0 {
		look = red
	}
	reads := text("reads    %s answered since, ", thousands(t.Reads)).and(look, "%s failed", thousands(t.Failed))
	return []line{head, writes, reads}
}

func renderRoutes(v *View) []line {
	lines := []line{styled(dim, "went to   because                  per second       in all")}
	for i := range v.Routes {
		r := &v.Routes[i]
		lines = append(lines, text("%-9s %-24s %10.0f %12d", r.Target, r.Reason, r.Rate, r.Count))
	}
	return lines
}

func renderEvents(v *View) []line {
	if len(v.Events) == 0 {
		return nil
	}
	lines := []line{nil, styled(dim, "what happened")}
	for _, e := range v.Events {
		lines = append(lines, text("%s  %s", e.At.Format(time.TimeOnly), e.Text))
	}
	return lines
}

func renderKeys(v *View) []line {
	var l line
	for _, k := range v.Keys {
		l = l.and(bold, "%c", k.Key).and(dim, " %s   ", k.Does)
	}
	if l == nil {
		return nil
	}
	return []line{l}
}

func helpText(v *View) []line {
	return []line{
		styled(dim, "what this is"),
		text("A small shop works through Bellwether at %s as if it were one server.", v.Address),
		text("Reads and writes are counted by the servers themselves; SELECT ... FOR UPDATE is a read to them."),
		text("Writes go to the leader. Reads go to followers that are not further behind than max_lag."),
		text("A reason says why a statement went where it went; ask for any with EXPLAIN ROUTE SELECT ..."),
		text("Stop replication on a follower, or kill one: reads leave it, and come back when it has caught up."),
		text("Kill the leader: a follower takes over with all that was acknowledged. The old one is started again, and follows."),
	}
}

// renderPlain is the view as two lines of text.
func renderPlain(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ", clock(v.Running))
	for i := range v.Nodes {
		n := &v.Nodes[i]
		fmt.Fprintf(&b, " %s %s", n.Name, n.Role)
		if n.State != "up" {
			fmt.Fprintf(&b, " (%s)", n.State)
		}
		if n.Known {
			fmt.Fprintf(&b, " %.0f reads/s %.0f writes/s", n.Reads, n.Writes)
		}
		if n.Role == "follower" {
			lag, _ := lagText(n)
			fmt.Fprintf(&b, " lag %s", lag)
		}
		b.WriteString(" |")
	}
	fmt.Fprintf(&b, " %s\n", count(int(v.Load.Errors), "error"))
	fmt.Fprintf(&b, "      %s\n", strings.Join(topRoutes(v, 6), ", "))
	return b.String()
}

// topRoutes are the most frequent reasons of the last interval.
func topRoutes(v *View, n int) []string {
	routes := slices.Clone(v.Routes)
	slices.SortStableFunc(routes, func(a, b RouteView) int { return int(b.Rate - a.Rate) })
	var out []string
	for _, r := range routes[:min(n, len(routes))] {
		out = append(out, fmt.Sprintf("%s because %s %.0f/s", r.Target, r.Reason, r.Rate))
	}
	return out
}

// renderSummary is what is left to read after the end.
func renderSummary(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s statements in %s, %s", thousands(v.Load.Statements), clock(v.Running), count(int(v.Load.Errors), "error"))
	if v.Load.Retried > 0 {
		fmt.Fprintf(&b, ", %s run again after a deadlock or a lost leader", count(int(v.Load.Retried), "transaction"))
	}
	b.WriteString("\n")
	if v.Load.Unknown > 0 {
		fmt.Fprintf(&b, "  %s whose leader was lost before it answered: outcome unknown\n", count(int(v.Load.Unknown), "write"))
	}
	if v.Load.Ended > 0 {
		fmt.Fprintf(&b, "  %s with user variables on a leader that was lost\n", count(int(v.Load.Ended), "session"))
	}
	for _, e := range v.Load.ErrorTexts {
		fmt.Fprintf(&b, "  error: %s\n", e)
	}
	b.WriteString("\nnode   role           reads     writes\n")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		fmt.Fprintf(&b, "%-6s %-9s %10s %10s\n", n.Name, n.Role, thousands(n.AllReads), thousands(n.AllWrites))
	}
	b.WriteString("\nwent to   because                  statements\n")
	for _, r := range v.Routes {
		fmt.Fprintf(&b, "%-9s %-24s %10s\n", r.Target, r.Reason, thousands(r.Count))
	}
	if v.Load.ReadBack > 0 {
		fmt.Fprintf(&b, "\n%s right after an own write saw it\n", count(int(v.Load.ReadBack), "read"))
	}
	return b.String()
}

func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// short is a duration in a few characters.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

func count(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	default:
		return thousands(uint64(n)) + " " + noun + "s"
	}
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
