package lineage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// Server is one of the two.
type Server struct {
	// Binlog says how its binlog is read: an account with REPLICATION SLAVE. ServerID and
	// Loose are set here.
	Binlog stream.Options
	// Executed and Purged are MySQL's gtid_executed and gtid_purged.
	Executed, Purged gtid.Set
	// Written is MariaDB's gtid_binlog_state.
	Written gtid.BinlogState
}

// Fork is where the histories of two servers part though the numbers go on alike.
type Fork struct {
	Writer gtid.Writer // MariaDB: whose numbers they are
	// First is the number of the first transaction that is known to differ, Last that of the last
	// that both have by number.
	First, Last uint64
	Common      gtid.Set // MySQL: First to Last
	Why         string   // in what Last differs, for people
	name        string
}

// String is for people: the GTIDs, and in what they differ.
func (f Fork) String() string {
	return fmt.Sprintf("%s to %d name other transactions there (of the last, %s)", f.name, f.Last, f.Why)
}

// patience bounds the reading of one binlog: a server whose binlog was begun anew behind
// what is looked for says nothing until it has something.
const patience = 3 * time.Second

// Find compares the last transaction that node and leader have in common of each writer. It
// returns the forks that are certain: what neither has in its binlog any more is none. Errors
// are of the connections.
func Find(ctx context.Context, node, leader *Server) ([]Fork, error) {
	lines := common(node, leader)
	last := make([]uint64, len(lines))
	for i, l := range lines {
		last[i] = l.last
	}
	verdicts, err := compare(ctx, node, leader, lines, last)
	if err != nil {
		return nil, err
	}
	var out []Fork
	for i, l := range lines {
		if !verdicts[i].differs {
			continue
		}
		first, err := begin(ctx, node, leader, l)
		if err != nil {
			return nil, err
		}
		f := Fork{Writer: l.writer, First: first, Last: l.last, Why: verdicts[i].why, name: l.name(first)}
		if l.flavor() == gtid.MySQL {
			f.Common = l.source.Span(first, l.last)
		}
		out = append(out, f)
	}
	return out, nil
}

// begin looks for the first transaction of a line that differs, given that the last does:
// back in growing steps to one that is the same or not to be had, and by halves from there.
func begin(ctx context.Context, node, leader *Server, l line) (uint64, error) {
	differs := func(n uint64) (bool, error) {
		v, err := compare(ctx, node, leader, []line{l}, []uint64{n})
		return err == nil && v[0].differs, err
	}
	high, low := l.last, uint64(0)
	for step := uint64(1); high > step; step *= 2 {
		d, err := differs(high - step)
		if err != nil {
			return 0, err
		}
		if !d {
			low = high - step
			break
		}
		high -= step
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		d, err := differs(middle)
		if err != nil {
			return 0, err
		}
		if d {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// verdict is what came of comparing one transaction.
type verdict struct {
	differs bool
	why     string
}

// compare reads one transaction of each line on both servers.
func compare(ctx context.Context, node, leader *Server, lines []line, numbers []uint64) ([]verdict, error) {
	out := make([]verdict, len(lines))
	if len(lines) == 0 {
		return out, nil
	}
	a, err := read(ctx, node, lines, numbers)
	if err != nil {
		return nil, err
	}
	b, err := read(ctx, leader, lines, numbers)
	if err != nil {
		return nil, err
	}
	for i := range lines {
		switch x, y := a[i], b[i]; {
		case x.txn != nil && y.txn != nil:
			out[i].why = differ(x.txn, y.txn)
			out[i].differs = out[i].why != ""
		case x.txn != nil && y.passed, x.passed && y.txn != nil:
			// The writer has left the number out on one side, and went on behind it.
			out[i] = verdict{true, "only one of them has it"}
		}
	}
	return out, nil
}

// found is a transaction, or that the binlog goes on without it.
type found struct {
	txn    *transaction
	passed bool
}

// read looks for a transaction of each line in a server's binlog. What is not there is no error.
func read(ctx context.Context, s *Server, lines []line, numbers []uint64) ([]found, error) {
	out := make([]found, len(lines))
	pos, err := position(s, lines, numbers)
	if err != nil {
		return nil, err
	}
	rctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := s.Binlog
	o.ServerID, o.Loose = stream.NewServerID(), true
	dump, err := stream.Open(rctx, o, pos)
	switch {
	case errors.Is(err, stream.ErrPurged):
		return out, nil
	case err != nil:
		return nil, err
	}
	defer dump.Close()
	src := stream.NewSource(dump, 1<<20)
	for left := len(lines); left > 0; {
		p, err := src.Next(rctx)
		if err != nil {
			if ctx.Err() == nil && (rctx.Err() != nil || errors.Is(err, stream.ErrPurged)) {
				return out, nil
			}
			return nil, err
		}
		i := lineOf(lines, &p.Txn.GTID)
		switch {
		case i < 0 || out[i] != (found{}):
			if o.Flavor == gtid.MySQL {
				return out, nil // what is looked for comes first
			}
			continue
		case !lines[i].is(&p.Txn.GTID, numbers[i]):
			out[i].passed = p.Txn.GTID.Seq > numbers[i]
		default:
			if out[i].txn, err = transactionOf(rctx, src, p, o.Flavor); err != nil {
				return nil, err
			}
		}
		left--
	}
	return out, nil
}

// transactionOf reads a transaction whose first part has come.
func transactionOf(ctx context.Context, src *stream.Source, p *binlog.Part, f gtid.Flavor) (*transaction, error) {
	r := newReader(f)
	for {
		more, err := r.take(p)
		if err != nil || !more {
			return r.txn, err
		}
		if p, err = src.Next(ctx); err != nil {
			return nil, err
		}
	}
}

// position is where a server's binlog is to be read from, so that what is looked for
// comes first of its line.
func position(s *Server, lines []line, numbers []uint64) (gtid.Set, error) {
	if s.Binlog.Flavor == gtid.MySQL {
		pos := s.Executed
		for i, l := range lines {
			pos = pos.Subtract(l.source.Span(numbers[i], numbers[i]))
		}
		return pos, nil
	}
	at := map[uint32]string{}
	high := map[uint32]uint64{}
	for w, n := range s.Written {
		if n >= high[w.Domain] {
			high[w.Domain], at[w.Domain] = n, fmt.Sprintf("%s-%d", w, n)
		}
	}
	for i, l := range lines {
		if delete(at, l.writer.Domain); numbers[i] > 1 {
			at[l.writer.Domain] = l.name(numbers[i] - 1)
		}
	}
	var items []string
	for _, text := range at {
		items = append(items, text)
	}
	return gtid.Parse(gtid.MariaDB, strings.Join(items, ","))
}
