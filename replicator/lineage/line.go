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
func common(node, leader *Server) []line {
	var out []line
	if node.Binlog.Flavor == gtid.MySQL {
		both := node.Executed.Subtract(node.Executed.Subtract(leader.Executed))
		for _, m := range both.Subtract(node.Purged.Union(leader.Purged)).Lasts() {
			out = append(out, line{source: m.Source, mysql: true, last: m.Number})
		}
		return out
	}
	last := map[uint32]line{}
	for w, n := range node.Written {
		if n = min(n, leader.Written[w]); n > last[w.Domain].last {
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
// both have them by number; those of a line in their order.
func starts(node, leader *Server) []place {
	var out []place
	seen := map[place]bool{}
	add := func(p place) {
		if p.number <= p.line.last && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	for _, text := range slices.Concat(node.Starts, leader.Starts) {
		if node.Binlog.Flavor == gtid.MySQL {
			before, err := gtid.Parse(gtid.MySQL, text)
			if err != nil {
				continue
			}
			for _, l := range common(node, leader) {
				add(place{l, before.Highest(l.source) + 1})
			}
			continue
		}
		before, err := gtid.ParseBinlogState(text)
		if err != nil {
			continue
		}
		high := map[uint32]uint64{}
		for w, n := range before {
			high[w.Domain] = max(high[w.Domain], n)
		}
		for w, n := range node.Written { // numbers go on from server to server: whoever wrote it
			add(place{line{writer: w, last: min(n, leader.Written[w])}, high[w.Domain] + 1})
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Compare(a.number, b.number) })
	return out
}
