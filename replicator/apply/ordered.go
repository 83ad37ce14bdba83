package apply

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// ordered executes several transactions at a time, each on a lane of its own, and lets them
// commit in the leader's order.
//
// It need not know which transactions depend on each other. Rows stay locked until their
// transaction commits, and nothing commits out of turn; so where two touch the same rows in
// the wrong order, either the later one does not find what it should, or the earlier one waits
// for a lock of the later one. The later one rolls back then, and runs again when its turn has
// come. Only what fails when it was executed after all before it had committed is divergence.
// What the leader tells of dependencies saves most of such rollbacks.
type ordered struct {
	opts    *Options
	lanes   []*lane
	parts   <-chan *binlog.Part
	results <-chan result
	log     *slog.Logger

	queue  []*turn
	bytes  int
	width  int           // lanes in use: fewer after rollbacks, up to all
	smooth int           // commits since width changed
	usual  time.Duration // of executing a transaction, a moving average
	stall  *time.Timer
	armed  bool // stall runs
}

// turn is a transaction, or a part of one, in the queue.
type turn struct {
	flight
	part    *binlog.Part
	barrier bool // nothing runs beside it
	solo    bool // goes when all before it have committed
	clean   bool // was sent when they had
	state   turnState
	lane    *lane
	sent    time.Time
}

type turnState uint8

const (
	turnWaits turnState = iota // to be sent
	turnExecutes
	turnReady // all but COMMIT is done
	turnCommits
	turnRollsBack
)

const (
	turnsPerLane = 8  // in the queue
	smoothEnough = 64 // commits without a rollback, for one more lane
	leastStall   = 2 * time.Millisecond
	mostStall    = 250 * time.Millisecond // far less than the servers wait for locks
)

func newOrdered(a *Applier, parts <-chan *binlog.Part, results <-chan result) *ordered {
	o := &ordered{opts: &a.opts, lanes: a.lanes, parts: parts, results: results, log: a.log, width: len(a.lanes), stall: time.NewTimer(time.Hour)}
	o.stall.Stop()
	return o
}

func (o *ordered) run(ctx context.Context) error {
	defer o.stall.Stop()
	for {
		if err := o.dispatch(); err != nil {
			return err
		}
		o.watch()
		if o.parts == nil && len(o.queue) == 0 {
			return errOver
		}
		in := o.parts
		if len(o.queue) > 0 && (len(o.queue) >= turnsPerLane*len(o.lanes) || o.bytes >= o.opts.WindowBytes) {
			in = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p, ok := <-in:
			if !ok {
				o.parts = nil
			} else {
				o.take(p)
			}
		case r := <-o.results:
			if err := o.answered(r.lane.turn, r.err); err != nil {
				return err
			}
		case <-o.stall.C:
			o.armed = false
			if err := o.yield(); err != nil {
				return err
			}
		}
	}
}

func (o *ordered) take(p *binlog.Part) {
	t := &turn{part: p, barrier: o.alone(p)}
	t.gtid, t.whole, t.last, t.bytes = p.Txn.GTID, p.First && p.Last, p.Last, p.Bytes
	t.solo = p.Txn.GTID.Flavor == gtid.MariaDB && p.Txn.Flags&binlog.FlagWaited != 0
	o.queue = append(o.queue, t)
	o.bytes += p.Bytes
}

// alone reports whether nothing may run beside it: statements, and with them DDL; what the
// leader was told to keep so; what comes in several commands; and sequences, whose rows no
// transaction locks.
func (o *ordered) alone(p *binlog.Part) bool {
	h := p.Txn
	switch {
	case !p.First || !p.Last || p.End != binlog.EndXid && p.End != binlog.EndCommit:
		return true
	case h.GTID.Flavor == gtid.MariaDB && (h.Flags&binlog.FlagAllowParallel == 0 || h.Flags&binlog.FlagDDL != 0):
		return true
	case base64.StdEncoding.EncodedLen(p.Bytes) > o.lanes[0].enc.maxText/8:
		return true
	}
	for _, ev := range p.Events {
		if ev.Type == binlog.TypeQuery {
			if q, _, err := creates(p); err != nil || q != nil {
				return true
			}
		}
		if ev.Type != binlog.TypeTableMap {
			continue
		}
		if m, err := binlog.ParseTableMap(ev, h.GTID.Flavor); err != nil || isSequence(m) {
			return true
		}
	}
	return false
}

// isSequence reports whether a table may be one of MariaDB's sequences, by its columns.
func isSequence(m *binlog.TableMap) bool {
	const long, tiny = binlog.ColLongLong, binlog.ColTiny
	want := [...]uint8{long, long, long, long, long, long, tiny, long}
	if len(m.Columns) != len(want) {
		return false
	}
	for i, c := range m.Columns {
		if c.Type != want[i] {
			return false
		}
	}
	return true
}

// dispatch sends what may run: in order, so that the lanes hold the oldest ones.
func (o *ordered) dispatch() error {
	for i, t := range o.queue {
		switch {
		case i >= o.width:
			return nil
		case t.state != turnWaits:
		case i > 0 && (t.barrier || t.solo || !o.beside(t)):
			return nil
		default:
			if err := o.send(t, i == 0); err != nil {
				return err
			}
		}
		if t.barrier || t.err != nil {
			return nil
		}
	}
	return nil
}

// beside reports whether t may run beside all before it by what MySQL's leader tells: all that
// it depends on is up to LastCommitted. MariaDB's tells only of waits that there were.
func (o *ordered) beside(t *turn) bool {
	head, h := o.queue[0].part.Txn, t.part.Txn
	return h.GTID.Flavor == gtid.MariaDB || head.SequenceNumber < h.SequenceNumber && head.SequenceNumber > h.LastCommitted
}

// send lets t execute. What cannot be applied stops the follower when its turn has come.
func (o *ordered) send(t *turn, head bool) error {
	if t.lane == nil {
		t.lane = o.free(t.barrier)
		t.lane.turn = t
	}
	if t.commands == nil && t.err == nil {
		t.commands, t.err = t.lane.enc.part(t.part)
	}
	if t.err != nil {
		if head {
			return &StopError{GTID: t.gtid, Err: t.err}
		}
		return nil
	}
	t.state, t.clean, t.next, t.sent = turnExecutes, head, 0, time.Now()
	return t.put()
}

// free returns a lane that is not in use. What runs alone, which comes in parts that belong on
// one connection, gets the first.
func (o *ordered) free(first bool) *lane {
	for _, l := range o.lanes {
		if l.turn == nil || first {
			return l
		}
	}
	panic("apply: more transactions run than there are lanes")
}

// put sends the next command of t.
func (t *turn) put() error {
	if err := t.lane.command(&t.commands[t.next]); err != nil {
		return err
	}
	return t.lane.conn.W.Flush()
}

// answered takes the answer to what t sent last.
func (o *ordered) answered(t *turn, err error) error {
	switch {
	case err != nil && t.state == turnRollsBack:
		return fmt.Errorf("roll back transaction %s: %w", t.gtid, err)
	case err != nil:
		return o.failed(t, err)
	case t.state == turnRollsBack:
		t.state = turnWaits
		return nil
	}
	t.next++
	switch {
	case t.next == len(t.commands):
		return o.done(t)
	case t.barrier:
		return t.put()
	}
	o.usual += (time.Since(t.sent) - o.usual) / 8
	t.state = turnReady
	return o.commit()
}

// commit commits the head, if that is ready.
func (o *ordered) commit() error {
	if len(o.queue) == 0 || o.queue[0].state != turnReady {
		return nil
	}
	t := o.queue[0]
	t.state, t.clean = turnCommits, true
	return t.put()
}

// done takes the head off the queue.
func (o *ordered) done(t *turn) error {
	o.queue, t.lane.turn, o.armed = o.queue[1:], nil, false
	o.bytes -= t.bytes
	if o.smooth++; o.smooth >= smoothEnough && o.width < len(o.lanes) {
		o.width, o.smooth = o.width+1, 0
	}
	if t.last && o.opts.Committed != nil {
		o.opts.Committed(t.gtid)
	}
	return o.commit()
}

// failed decides what an error means: of one that ran beside others nothing can be said before
// it has run again in its turn.
func (o *ordered) failed(t *turn, err error) error {
	switch v := judge(err); {
	case v == verdictLost, t.clean && !t.whole && v == verdictAgain:
		return fmt.Errorf("apply transaction %s: %w", t.gtid, err)
	case t.clean && v != verdictAgain:
		return &StopError{GTID: t.gtid, Divergence: v == verdictDiverge, Err: err}
	case t.clean:
		o.log.Info("a transaction is applied again", "gtid", t.gtid.String(), "error", err)
	}
	return o.rollBack(t)
}

func (o *ordered) rollBack(t *turn) error {
	o.log.Debug("a transaction waits for its turn", "gtid", t.gtid.String(), "clean", t.clean)
	t.state, t.solo = turnRollsBack, true
	o.width, o.smooth = max(1, o.width/2), 0
	return t.lane.rollback(o.opts.Flavor)
}

// watch lets stall run while the head executes and others, which may have locks that it needs,
// wait for it.
func (o *ordered) watch() {
	wait := false
	if len(o.queue) > 0 && o.queue[0].state == turnExecutes {
		for _, t := range o.queue[1:] {
			wait = wait || t.state == turnReady
		}
	}
	switch {
	case wait && !o.armed:
		o.stall.Reset(min(max(leastStall, 8*o.usual), mostStall))
	case !wait && o.armed:
		o.stall.Stop()
	}
	o.armed = wait
}

// yield rolls back all that wait for the head: it takes so long that it waits for one of them.
func (o *ordered) yield() error {
	for _, t := range o.queue[1:] {
		if t.state == turnReady {
			if err := o.rollBack(t); err != nil {
				return err
			}
		}
	}
	return nil
}
