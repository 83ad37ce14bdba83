package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/disk"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Options say where a log is, and how large it may become.
type Options struct {
	Dir    string
	Flavor gtid.Flavor
	// MaxSize is how many bytes all segments have together, but for one transaction; 0: 1 GiB.
	MaxSize int64
	// SegmentSize is from how many bytes on a segment is followed by the next; 0: an eighth of
	// MaxSize, 64 MiB at most.
	SegmentSize int64
}

// Errors that callers tell apart.
var (
	// ErrNotHere says that the log does not hold what comes behind a position, or not any more.
	ErrNotHere = errors.New("the relay log does not hold what comes behind this position")
	// ErrInUse says that another process has the folder.
	ErrInUse = errors.New("another process uses this relay log")
)

// flushSize is how many bytes of a transaction are collected before they are written.
const flushSize = 256 << 10

const suffix = ".relay"

// Log is the relay log of one leader. Add, Flush, Begin, Resume and Suspend are for one
// goroutine, the writer; Cursor, Span and Origin for any.
type Log struct {
	opts Options
	lock *os.File

	// The writer's own.
	group   binlog.Group
	file    *os.File // the last segment; changed under mu
	out     []byte   // not yet written
	written int64    // bytes of the last segment, out included
	whole   int64    // of written, up to the end of the last whole transaction
	broken  error    // the file is not what it should be
	format  []byte   // the present format description, as received
	last    gtid.Set // the position behind the last whole transaction

	began atomic.Uint64 // how often the log was begun anew, or closed

	mu       sync.Mutex // guards all below
	origin   Origin
	segments []*segment
	end      gtid.Set // what cursors see
	shown    []byte   // the format description there
	running  bool     // the writer follows the leader
	why      error    // while it does not
	grown    chan struct{}
}

// Open opens the log in a folder, which is made where it is not there, and cuts off what is not
// whole. Cursors find nothing before Resume or Begin.
func Open(o Options) (*Log, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = 1 << 30
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = min(o.MaxSize/8, 64<<20)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("relay log: %w", err)
	}
	lock, err := disk.Lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		if errors.Is(err, disk.ErrHeld) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("relay log %s: %w", o.Dir, err)
	}
	l := &Log{opts: o, lock: lock, grown: make(chan struct{})}
	if err := l.recover(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("relay log %s: %w", o.Dir, err)
	}
	return l, nil
}

// recover finds what is there. What makes no sense is as good as not there.
func (l *Log) recover() error {
	names, err := filepath.Glob(filepath.Join(l.opts.Dir, "*"+suffix))
	if err != nil {
		return err
	}
	slices.Sort(names) // numbers have leading zeros
	for len(names) > 0 {
		last := names[len(names)-1]
		at, err := scan(last, l.opts.Flavor, true)
		switch {
		case err == nil && at.format != nil:
			return l.adopt(names, &at)
		case err != nil && !errors.Is(err, errTorn):
			return err // the disk's fault: what is there may be whole
		}
		if err := os.Remove(last); err != nil {
			return err
		}
		names = names[:len(names)-1]
	}
	return nil
}

// adopt takes the segments up to the last one, of which at is what is whole, as far back as
// they are of one binlog.
func (l *Log) adopt(names []string, at *found) error {
	l.origin, l.end, l.last, l.format = at.header.Origin, at.end, at.end, at.format
	for i, name := range slices.Backward(names) {
		one, err := *at, error(nil)
		if i < len(names)-1 {
			one, err = scan(name, l.opts.Flavor, false)
		}
		var number uint64
		if _, bad := fmt.Sscanf(filepath.Base(name), "%d"+suffix, &number); bad != nil && err == nil {
			err = errTorn
		}
		if err == nil && one.header.Origin == l.origin && (len(l.segments) == 0 || number == l.segments[0].number-1) {
			l.segments = slices.Insert(l.segments, 0, &segment{number: number, path: name, before: one.before, size: one.size})
			continue
		}
		if err != nil && !errors.Is(err, errTorn) {
			return err
		}
		for _, name := range names[:i+1] {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		break
	}
	if len(l.segments) == 0 {
		return nil
	}
	file, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := file.Truncate(at.size); err != nil {
		_ = file.Close()
		return err
	}
	l.file, l.written, l.whole, l.shown = file, at.size, at.size, l.format
	return nil
}

// Close ends the log; cursors fail then. What is in it stays.
func (l *Log) Close() error {
	l.Suspend(os.ErrClosed)
	l.began.Add(1)
	l.attach(nil)
	return l.lock.Close()
}

// Origin is whose binlog it holds; false where it holds nothing that could be gone on from.
func (l *Log) Origin() (Origin, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.origin, len(l.segments) > 0 && l.broken == nil
}

// Broken says that it cannot be written any more. What is whole in it is found by Open again.
func (l *Log) Broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken != nil
}

// Size is how many bytes of whole transactions there are.
func (l *Log) Size() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// Span is between which positions it holds all transactions.
func (l *Log) Span() (begin, end gtid.Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return begin, end
	}
	return l.segments[0].before, l.end
}

// Begin gives up all that is there: the next transaction is the first behind from.
func (l *Log) Begin(from gtid.Set, of Origin) error {
	l.mu.Lock()
	old := l.segments
	l.segments, l.running, l.origin, l.end, l.last = nil, false, of, from, from
	l.began.Add(1)
	l.broken = nil
	l.tell()
	l.mu.Unlock()
	l.group.Reset()
	l.format, l.out = nil, nil
	l.attach(nil)
	number := uint64(1)
	for _, s := range old {
		number = s.number + 1
		if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return l.fail(err)
		}
	}
	if err := l.next(number); err != nil {
		return err
	}
	l.Resume()
	return nil
}

// Resume says that what comes now goes on from the end of Span.
func (l *Log) Resume() {
	l.mu.Lock()
	l.running, l.why = true, nil
	l.tell()
	l.mu.Unlock()
}

// Suspend says that nothing comes any more, for now: cursors read what is there, and then fail.
// What had come of a transaction that did not end is forgotten.
func (l *Log) Suspend(why error) {
	l.mu.Lock()
	whole := l.broken == nil
	l.mu.Unlock()
	if l.file != nil && whole {
		if err := l.drop(); err == nil {
			_ = l.Flush() // is broken then
		}
	}
	l.mu.Lock()
	l.running, l.why = false, why
	l.tell()
	l.mu.Unlock()
}

// fail notes that the log cannot be gone on with.
func (l *Log) fail(err error) error {
	err = fmt.Errorf("relay log: %w", err)
	l.mu.Lock()
	l.broken = err
	l.mu.Unlock()
	return err
}

// tell wakes cursors. It is called with mu held.
func (l *Log) tell() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// drop forgets an open transaction.
func (l *Log) drop() error {
	l.group.Reset()
	if l.written == l.whole {
		return nil
	}
	if inFile := l.written - int64(len(l.out)); l.whole >= inFile {
		l.out = l.out[:l.whole-inFile]
	} else {
		l.out = l.out[:0]
		if err := l.file.Truncate(l.whole); err != nil {
			return l.fail(err)
		}
	}
	l.written = l.whole
	return nil
}

// next begins a segment.
func (l *Log) next(number uint64) error {
	if l.file != nil {
		if err := l.file.Sync(); err != nil {
			return l.fail(err)
		}
		l.attach(nil)
	}
	s := &segment{number: number, path: filepath.Join(l.opts.Dir, fmt.Sprintf("%020d%s", number, suffix)), before: l.last}
	h, err := json.Marshal(header{Origin: l.origin, Flavor: l.opts.Flavor.String(), Before: s.before.String()})
	if err != nil {
		return err
	}
	b := appendRecord([]byte(magic), h)
	if l.format != nil {
		b = appendRecord(b, l.format)
	}
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return l.fail(err)
	}
	l.attach(file)
	if _, err := file.Write(b); err != nil {
		return l.fail(err)
	}
	if err := disk.SyncDir(l.opts.Dir); err != nil {
		return l.fail(err)
	}
	s.size = int64(len(b))
	l.written, l.whole = s.size, s.size
	l.mu.Lock()
	l.segments, l.shown = append(l.segments, s), l.format
	old := l.surplus()
	l.mu.Unlock()
	for _, s := range old {
		if err := os.Remove(s.path); err != nil {
			return l.fail(err)
		}
	}
	return nil
}

// attach makes a file the one that is written to, and closes the one before.
func (l *Log) attach(file *os.File) {
	l.mu.Lock()
	was := l.file
	l.file = file
	l.mu.Unlock()
	if was != nil {
		_ = was.Close() // it was synced where that matters
	}
}

// Sync makes durable all that cursors see, and returns up to where that is. It may be called while
// the writer writes, by one goroutine.
func (l *Log) Sync() (gtid.Set, error) {
	l.mu.Lock()
	began, end, file := l.began.Load(), l.end, l.file
	l.mu.Unlock()
	if file == nil {
		return gtid.Set{}, ErrNotHere
	}
	err := file.Sync()
	if l.began.Load() != began {
		return gtid.Set{}, ErrNotHere
	}
	if err != nil && !errors.Is(err, os.ErrClosed) { // the writer syncs a file before it closes it
		return gtid.Set{}, l.fail(err)
	}
	return end, nil
}

// surplus takes away the oldest segments that are too much. It is called with mu held.
func (l *Log) surplus() []*segment {
	var total int64
	for _, s := range l.segments {
		total += s.size
	}
	n := 0
	for ; total > l.opts.MaxSize-l.opts.SegmentSize && n < len(l.segments)-1; n++ {
		total -= l.segments[n].size
	}
	old := slices.Clone(l.segments[:n])
	l.segments = slices.Delete(l.segments, 0, n)
	return old
}

// Add takes the next event of the leader's binlog, and its bytes as they were received. Cursors
// see it when its transaction has ended and Flush was called. After an error the log must be
// suspended.
func (l *Log) Add(ev binlog.Event, received []byte) error {
	txn := l.group.Txn()
	place, err := l.group.Step(ev)
	if err != nil {
		return err
	}
	switch place {
	case binlog.Begin:
		if l.group.Txn().Anonymous {
			return errors.New("a transaction has no GTID")
		}
	case binlog.Void, binlog.Outside:
		if place == binlog.Void {
			if err := l.drop(); err != nil {
				return err
			}
		}
		if ev.Type != binlog.TypeFormatDescription || string(received) == string(l.format) {
			return nil
		}
		l.format = received
	case binlog.Inside, binlog.Last:
	}
	l.out = appendRecord(l.out, received)
	l.written += recordHead + int64(len(received))
	if len(l.out) >= flushSize {
		if err := l.write(); err != nil {
			return err
		}
	}
	if l.group.Txn() != nil {
		return nil
	}
	l.whole = l.written
	if place == binlog.Last {
		l.last = l.last.Union(txn.GTID.Set())
		if l.written >= l.opts.SegmentSize {
			return l.roll()
		}
	}
	return nil
}

func (l *Log) write() error {
	if len(l.out) == 0 {
		return nil
	}
	if _, err := l.file.Write(l.out); err != nil {
		return l.fail(err)
	}
	if l.out = l.out[:0]; cap(l.out) > 4*flushSize {
		l.out = nil
	}
	return nil
}

// Flush lets cursors see all transactions that have ended.
func (l *Log) Flush() error {
	if err := l.write(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.segments[len(l.segments)-1]; s.size != l.whole {
		s.size, l.end, l.shown = l.whole, l.last, l.format
		l.tell()
	}
	return nil
}

func (l *Log) roll() error {
	if err := l.Flush(); err != nil {
		return err
	}
	l.mu.Lock()
	number := l.segments[len(l.segments)-1].number + 1
	l.mu.Unlock()
	if err := l.next(number); err != nil {
		return err
	}
	l.mu.Lock()
	l.tell() // whoever waited at the end of the segment before goes on in this one
	l.mu.Unlock()
	return nil
}
