package lineage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/stream"
)

// holding is what a server has.
type holding struct {
	executed gtid.Set         // MySQL: gtid_executed
	written  gtid.BinlogState // MariaDB: gtid_binlog_state
}

// server is one of the two.
type server struct {
	binlog stream.Options // how its binlog is read
	holding
	purged gtid.Set  // MySQL: gtid_purged
	starts []holding // what was in the binlog before each of its latest files
	silent bool      // it did not tell of its files in time
}

func (s *server) mariadb() bool { return s.binlog.Flavor == gtid.MariaDB }

// Fork is where the histories of two servers part though the numbers go on alike.
type Fork struct {
	Writer gtid.Writer // MariaDB: whose numbers they are
	// First is the number of the first transaction that is known to differ, Last that of the last
	// that both have by number. Between them some may be the same: a follower may have been
	// connected to what had forked.
	First, Last uint64
	Common      gtid.Set // MySQL: First to Last
	Why         string   // in what one of them differs, for people
	name        string
}

// String is for people: the GTIDs, and in what they differ.
func (f Fork) String() string {
	return fmt.Sprintf("%s to %d are not all the same transactions there (%s)", f.name, f.Last, f.Why)
}

// patience bounds the reading of one binlog: a server whose binlog was begun anew behind
// what is looked for says nothing until it has something.
const patience = 3 * time.Second

// find compares what both servers have in common by number: the last transaction of each
// writer, and the first in each of their latest binlog files, for a server that starts begins a
// new file, and whatever it numbers anew begins there. It returns the forks that are certain: what
// neither has in its binlog any more is none. Errors are of the connections.
func find(ctx context.Context, follower, leader *server) ([]Fork, error) {
	var out []Fork
	note := func(l line, first uint64, why string) {
		f := Fork{Writer: l.writer, First: first, Last: l.last, Why: why, name: l.name(first)}
		if l.mysql {
			f.Common = l.source.Span(first, l.last)
		}
		out = append(out, f)
	}
	lines := common(follower, leader)
	places := starts(follower, leader, lines)
	for _, l := range lines {
		places = append(places, place{l, l.last})
	}
	why, err := compareAll(ctx, follower, leader, places)
	if err != nil {
		return nil, err
	}
	found := map[line]bool{}
	for i, p := range places[:len(places)-len(lines)] { // the lowest of a line first
		if why[i] != "" && !found[p.line] {
			found[p.line] = true
			note(p.line, p.number, why[i])
		}
	}
	for i, l := range lines {
		text := why[len(places)-len(lines)+i]
		if text == "" || found[l] {
			continue
		}
		first, err := begin(ctx, follower, leader, l)
		if err != nil {
			return nil, err
		}
		note(l, first, text)
	}
	return out, nil
}

// atOnce is how many places are looked at at a time: servers may be far away, and each is a
// connection of its own.
const atOnce = 6

func compareAll(ctx context.Context, follower, leader *server, places []place) ([]string, error) {
	why := make([]string, len(places))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, p := range places {
		g.Go(func() (err error) {
			why[i], err = compare(ctx, follower, leader, p)
			return err
		})
	}
	return why, g.Wait()
}

// begin looks for the first transaction of a line that differs, given that the last does:
// back in growing steps to one that is the same or not to be had, and by halves from there.
func begin(ctx context.Context, follower, leader *server, l line) (uint64, error) {
	differs := func(n uint64) (bool, error) {
		why, err := compare(ctx, follower, leader, place{l, n})
		return why != "", err
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

// compare reads one transaction on both servers, and says in what they differ; empty where
// nothing says that they do.
func compare(ctx context.Context, follower, leader *server, p place) (why string, err error) {
	var x, y found
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { x, err = read(gctx, follower, p); return err })
	g.Go(func() (err error) { y, err = read(gctx, leader, p); return err })
	if err := g.Wait(); err != nil {
		return "", err
	}
	switch {
	case x.txn != nil && y.txn != nil:
		return differ(x.txn, y.txn), nil
	case x.txn != nil && y.passed, x.passed && y.txn != nil:
		return "only one of them has it", nil // the other went on without the number
	default:
		return "", nil
	}
}

// found is a transaction, or that the binlog goes on without it.
type found struct {
	txn    *transaction
	passed bool
}

// read looks for a transaction in a server's binlog. What is not there is no error.
func read(ctx context.Context, s *server, p place) (found, error) {
	pos, err := before(s, p)
	if err != nil {
		return found{}, err
	}
	rctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := s.binlog
	o.ServerID, o.Loose = stream.NewServerID(), true
	dump, err := stream.Open(rctx, o, pos)
	if err != nil {
		return found{}, known(err)
	}
	defer dump.Close()
	src := stream.NewSource(dump, 1<<20)
	for {
		part, err := src.Next(rctx)
		if err != nil {
			if ctx.Err() == nil && rctx.Err() != nil {
				return found{}, nil // it has nothing there
			}
			return found{}, known(err)
		}
		g := &part.Txn.GTID
		switch {
		case p.line.is(g, p.number):
			txn, err := transactionOf(rctx, src, part, o.Flavor)
			return found{txn: txn}, err
		case p.line.mysql:
			return found{}, nil // what is looked for would have come first
		case g.Domain == p.line.writer.Domain:
			return found{passed: g.Seq > p.number}, nil
		}
	}
}

// known is nil for an error that says that something is not there any more.
func known(err error) error {
	if errors.Is(err, stream.ErrPurged) {
		return nil
	}
	return err
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

// before is a position from which a server's binlog can be read so that a transaction comes first
// of its line. On MariaDB another server may have written the number before it; what is asked for
// then is what comes behind it (Loose).
func before(s *server, p place) (gtid.Set, error) {
	if p.line.mysql {
		return s.executed.Subtract(p.line.source.Span(p.number, p.number)), nil
	}
	at, high := map[uint32]string{}, map[uint32]uint64{}
	for w, n := range s.written {
		if w.Domain != p.line.writer.Domain && n >= high[w.Domain] {
			high[w.Domain], at[w.Domain] = n, fmt.Sprintf("%s-%d", w, n)
		}
	}
	if p.number > 1 {
		at[p.line.writer.Domain] = p.line.name(p.number - 1)
	}
	return gtid.Parse(gtid.MariaDB, strings.Join(slices.Collect(maps.Values(at)), ","))
}
