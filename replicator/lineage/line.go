package lineage

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// line is the numbers of one writer: of a source on MySQL, of a server in a domain on MariaDB.
type line struct {
	source gtid.Source // MySQL
	writer gtid.Writer // MariaDB
	mysql  bool
	last   uint64 // that both servers have
}

// name is the GTID of that number.
func (l *line) name(n uint64) string {
	if l.mysql {
		return l.source.Span(n, n).String()
	}
	return fmt.Sprintf("%s-%d", l.writer, n)
}

// is reports whether a GTID is that number of the line.
func (l *line) is(g *binlog.GTID, n uint64) bool { return g.String() == l.name(n) }

// common is what can be compared: each source of MySQL with what neither server has purged,
// and of each domain of MariaDB the writer of the last transaction that both have by number.
func common(follower, leader *server) []line {
	var out []line
	if !follower.mariadb() {
		both := follower.executed.Subtract(follower.executed.Subtract(leader.executed))
		for _, m := range both.Subtract(follower.purged.Union(leader.purged)).Lasts() {
			out = append(out, line{source: m.Source, mysql: true, last: m.Number})
		}
		return out
	}
	last := map[uint32]line{}
	for w, n := range follower.written {
		if n = min(n, leader.written[w]); n > last[w.Domain].last {
			last[w.Domain] = line{writer: w, last: n}
		}
	}
	for _, l := range last {
		out = append(out, l)
	}
	return out
}

// place is a transaction to compare.
type place struct {
	line   line
	number uint64
}

// starts are the first transactions of the binlog files of both servers, each once, as far as
// both have them by number; those of a line in their order. lines is what they have in common.
func starts(follower, leader *server, lines []line) []place {
	var out []place
	seen := map[place]bool{}
	add := func(p place) {
		if p.number <= p.line.last && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	for _, before := range slices.Concat(follower.starts, leader.starts) {
		if !follower.mariadb() {
			for _, l := range lines {
				add(place{l, before.executed.Highest(l.source) + 1})
			}
			continue
		}
		high := map[uint32]uint64{}
		for w, n := range before.written {
			high[w.Domain] = max(high[w.Domain], n)
		}
		for w, n := range follower.written { // numbers go on from server to server: whoever wrote it
			add(place{line{writer: w, last: min(n, leader.written[w])}, high[w.Domain] + 1})
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Compare(a.number, b.number) })
	return out
}
