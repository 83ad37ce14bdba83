package relay

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Cursor gives the transactions behind a position, in the leader's order. It is used by one
// goroutine.
type Cursor struct {
	log   *Log
	began uint64
	seg   *segment
	in    window
	r     *bufio.Reader
	at    int64 // in the segment, of what was taken out of r

	pos   gtid.Set // what is in it is left out,
	until *segment // up to here
	upTo  int64
	group binlog.Group // of what is left out
	leave bool

	dec   decoder
	asm   *binlog.Assembler
	ready []*binlog.Part
}

// window reads a file up to a limit that moves.
type window struct {
	file      *os.File
	at, limit int64
}

func (w *window) Read(b []byte) (int, error) {
	if w.at >= w.limit {
		return 0, io.EOF
	}
	n, err := w.file.ReadAt(b[:min(int64(len(b)), w.limit-w.at)], w.at)
	w.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Cursor begins behind pos, in parts of about partSize bytes; 0 for binlog.DefaultPartSize. It
// fails with ErrNotHere where the log does not follow the leader now, begins behind pos, or ends
// before it.
func (l *Log) Cursor(pos gtid.Set, partSize int) (*Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running || !l.end.Contains(pos) {
		return nil, ErrNotHere
	}
	c := &Cursor{log: l, began: l.began.Load(), pos: pos, asm: binlog.NewAssembler(partSize)}
	for _, s := range l.segments {
		if pos.Contains(s.before) {
			c.seg = s
		}
	}
	if c.seg == nil {
		return nil, ErrNotHere
	}
	c.until = l.segments[len(l.segments)-1]
	c.upTo = c.until.size
	var err error
	if l.shown != nil && pos.Contains(l.end) {
		err = c.openEnd(l.shown)
	} else {
		err = c.open()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// openEnd begins to read at the end of the log, behind that format description.
func (c *Cursor) openEnd(format []byte) error {
	f, err := binlog.ParseFormatDescription(format)
	if err != nil {
		return err
	}
	c.dec.format = f
	c.asm.Format(f)
	c.seg, c.at, c.until = c.until, c.upTo, nil
	if err := c.open(); err != nil {
		return err
	}
	c.at, c.in.at = c.upTo, c.upTo
	c.r.Reset(&c.in)
	return nil
}

// open begins to read c.seg, which is there as long as the Log's mu is held.
func (c *Cursor) open() error {
	file, err := os.Open(c.seg.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	c.Close()
	c.in = window{file: file, limit: c.seg.size}
	c.r = bufio.NewReaderSize(&c.in, 1<<16)
	if _, c.at, err = readHeader(c.r); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	return nil
}

// Close gives up the file that is open. Next must not be called any more.
func (c *Cursor) Close() {
	if c.in.file != nil {
		_ = c.in.file.Close()
	}
}

// Next returns the next part, when there is one. It fails when ctx ends, with ErrNotHere where
// the log no longer holds it, and, when all that is here was returned, with the error for which
// the leader is not followed any more.
func (c *Cursor) Next(ctx context.Context) (*binlog.Part, error) {
	for {
		if c.began != c.log.began.Load() {
			return nil, ErrNotHere
		}
		if len(c.ready) > 0 {
			break
		}
		if c.at >= c.in.limit {
			if err := c.wait(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.read(); err != nil {
			return nil, fmt.Errorf("relay log %s: %w", c.seg.path, err)
		}
	}
	p := c.ready[0]
	c.ready = c.ready[1:]
	return p, nil
}

// wait returns when there is more to read.
func (c *Cursor) wait(ctx context.Context) error {
	l := c.log
	for {
		l.mu.Lock()
		grown, running, why := l.grown, l.running, l.why
		next := c.follow()
		var err error
		switch {
		case next == nil:
			err = ErrNotHere
		case next != c.seg:
			c.seg = next
			err = c.open()
		default:
			c.in.limit = c.seg.size
		}
		l.mu.Unlock()
		if err != nil || c.at < c.in.limit {
			return err
		}
		if !running {
			return why
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// follow is the segment to read in: the present one while it has more or is the last, else the
// one behind it; nil where that is gone. It is called with the Log's mu held.
func (c *Cursor) follow() *segment {
	segments := c.log.segments
	if c.at < c.seg.size || len(segments) > 0 && c.seg == segments[len(segments)-1] {
		return c.seg
	}
	for _, s := range segments {
		if s.number == c.seg.number+1 {
			return s
		}
	}
	return nil
}

// read takes in the next event.
func (c *Cursor) read() error {
	payload, n, err := readRecord(c.r)
	if err != nil {
		return err
	}
	ev, fresh, err := c.dec.event(payload)
	if err != nil {
		return err
	}
	c.at += n
	if fresh {
		c.asm.Format(c.dec.format)
		return nil
	}
	if c.until != nil && ev.Type.IsGTID() {
		if c.seg == c.until && c.at > c.upTo || c.seg.number > c.until.number {
			c.until = nil
		} else {
			h, err := binlog.ParseGTID(ev)
			if err != nil {
				return err
			}
			c.leave = c.pos.Contains(h.GTID.Set())
		}
	}
	if c.leave {
		place, err := c.group.Step(ev)
		c.leave = place != binlog.Last
		return err
	}
	return c.asm.Add(ev, func(p *binlog.Part) error {
		c.ready = append(c.ready, p)
		return nil
	})
}
