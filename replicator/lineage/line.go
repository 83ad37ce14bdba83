package lineage

import (
	"fmt"

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

func (l *line) flavor() gtid.Flavor {
	if l.mysql {
		return gtid.MySQL
	}
	return gtid.MariaDB
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

// lineOf is the line in whose source or domain a GTID is; -1 for none.
func lineOf(lines []line, g *binlog.GTID) int {
	for i := range lines {
		l := &lines[i]
		if l.mysql && g.Set().Highest(l.source) != 0 || !l.mysql && g.Domain == l.writer.Domain {
			return i
		}
	}
	return -1
}

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
