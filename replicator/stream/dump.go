package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/replicator/link"
)

// Options say what to read, and as whom.
type Options struct {
	Leader mysqlconn.Config // an account with REPLICATION SLAVE
	Flavor gtid.Flavor
	// ServerID is what the reader calls itself. The leader ends an older stream of
	// the same id, so each reader needs one of its own; a follower's is its own.
	ServerID uint32
	// Heartbeat is how often the leader is to say that it is there; 0: 1 s. After
	// three times that, and a second, of silence a stream is dead.
	Heartbeat time.Duration
	// Loose lets a MariaDB position name numbers that the leader never wrote: what comes
	// begins with the next higher one.
	Loose bool
	// SemiSync makes the reader a semi-synchronous replica: the leader waits for its Ack.
	SemiSync bool
}

// NewServerID is an id for a reader that is no server: servers' own are small, as a rule.
func NewServerID() uint32 { return 1<<31 | rand.Uint32() }

// Errors of streams that callers tell apart.
var (
	// ErrPurged says that the leader no longer has, or never had, what the position
	// leaves to be read: the reader's server must be copied anew, or has
	// transactions of its own.
	ErrPurged = errors.New("the leader's binlog does not go on from this position")
	// ErrSilent says that nothing came for too long, no heartbeat either.
	ErrSilent = errors.New("the stream is silent")
	// ErrEnded says that the leader ended the stream, as when it shuts down.
	ErrEnded = errors.New("the leader ended the stream")
)

// maxEvent is the size of an event in bytes, as the servers' own replicas limit
// it (slave_max_allowed_packet, replica_max_allowed_packet).
const maxEvent = 1 << 30

// Dump is a stream of a leader's events. It is used by one goroutine, but for Ack
// and Close.
type Dump struct {
	conn     *link.Conn
	opts     Options
	stopped  func() bool
	checksum bool
	format   *binlog.FormatDescription
	file     string // of the leader's binlog
	heard    atomic.Int64
}

// Heard is when something came last, a heartbeat included; zero: nothing yet. Any goroutine
// may ask.
func (d *Dump) Heard() time.Time {
	if ns := d.heard.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Open connects to the leader and asks for what pos lacks. ctx bounds the whole
// stream: when it ends, Next fails.
func Open(ctx context.Context, o Options, pos gtid.Set) (*Dump, error) {
	if o.Heartbeat <= 0 {
		o.Heartbeat = time.Second
	}
	c, err := link.Dial(ctx, o.Leader)
	if err != nil {
		return nil, fmt.Errorf("connect to the leader: %w", err)
	}
	d := &Dump{conn: c, opts: o}
	d.stopped = context.AfterFunc(ctx, func() { _ = c.Net.Close() })
	c.R.Reset(patient{c.Net, 3*o.Heartbeat + time.Second})
	if err := d.start(pos); err != nil {
		d.Close()
		return nil, fmt.Errorf("read the leader's binlog: %w", refusal(err))
	}
	return d, nil
}

// patient gives each read a time of its own.
type patient struct {
	net.Conn
	patience time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w for %v", ErrSilent, p.patience)
	}
	return n, err
}

func (d *Dump) start(pos gtid.Set) error {
	if err := d.conn.Exec(preparation(&d.opts, pos), 1); err != nil {
		return err
	}
	if err := d.command(registration(&d.opts)); err != nil {
		return err
	}
	if err := d.conn.Receive(1); err != nil {
		return err
	}
	return d.command(request(&d.opts, pos))
}

func (d *Dump) command(payload []byte) error {
	if _, err := wire.WritePacket(d.conn.W, payload, 0); err != nil {
		return err
	}
	return d.conn.W.Flush()
}

// Close ends the stream. Next fails then.
func (d *Dump) Close() {
	d.stopped()
	_ = d.conn.Net.Close()
}

// Buffered is how many bytes have come that Next has not returned yet; 0: it would wait, or may.
func (d *Dump) Buffered() int { return d.conn.R.Buffered() }

// Format is the format description of the events that follow.
func (d *Dump) Format() *binlog.FormatDescription { return d.format }

// File is the leader's binlog file that the last event is in.
func (d *Dump) File() string { return d.file }

// Received is an event as it came.
type Received struct {
	binlog.Event
	// Whole is all of it, its checksum included.
	Whole []byte
	// WantsAck says that the leader waits for an Ack of the position behind it.
	WantsAck bool
}

// Next returns the next event, whose bytes are the caller's. It keeps the format
// and the file in mind; they are handed on too.
func (d *Dump) Next() (Received, error) {
	payload, _, err := wire.ReadPacket(d.conn.R, nil, maxEvent)
	if err != nil {
		return Received{}, fmt.Errorf("read the leader's binlog: %w", err)
	}
	d.heard.Store(time.Now().UnixNano())
	switch {
	case len(payload) == 0:
		return Received{}, fmt.Errorf("read the leader's binlog: %w", wire.ErrMalformed)
	case payload[0] == wire.HeaderErr:
		return Received{}, fmt.Errorf("read the leader's binlog: %w", refusal(link.DecodeErr(payload)))
	case payload[0] == wire.HeaderEOF && len(payload) < 9:
		return Received{}, ErrEnded
	}
	raw, wants, err := unwrap(payload, d.opts.SemiSync)
	if err != nil {
		return Received{}, err
	}
	ev, err := d.parse(raw)
	if err != nil {
		return Received{}, fmt.Errorf("read the leader's binlog file %s: %w", d.file, err)
	}
	return Received{ev, raw, wants}, nil
}

func (d *Dump) parse(raw []byte) (binlog.Event, error) {
	h, err := binlog.ParseHeader(raw)
	if err != nil {
		return binlog.Event{}, err
	}
	if h.Type == binlog.TypeFormatDescription {
		f, err := binlog.ParseFormatDescription(raw)
		if err != nil {
			return binlog.Event{}, err
		}
		d.format, d.checksum = f, f.Checksum == binlog.ChecksumCRC32
		return f.Event, nil
	}
	// Before the first format description comes a ROTATE that was made for the
	// stream; its own checksum tells whether it has one.
	checksum := d.checksum
	if d.format == nil {
		_, err := binlog.ParseEvent(raw, true)
		checksum = err == nil
	}
	ev, err := binlog.ParseEvent(raw, checksum)
	if err != nil {
		return ev, err
	}
	if ev.Type == binlog.TypeRotate {
		r, err := binlog.ParseRotate(ev)
		if err != nil {
			return ev, err
		}
		d.file = r.File
	}
	return ev, nil
}

// Ack tells the leader that the reader has all up to a position of a file of its
// binlog. It may be called while Next runs, by one goroutine at a time.
func (d *Dump) Ack(file string, pos uint64) error {
	payload := binary.LittleEndian.AppendUint64([]byte{semiSyncMagic}, pos)
	// The leader reads acknowledgements as packets numbered from 0.
	if err := d.command(append(payload, file...)); err != nil {
		return fmt.Errorf("acknowledge to the leader: %w", err)
	}
	return nil
}

// Error numbers of the leader.
const erFatalReadingBinlog = 1236 // ER_MASTER_FATAL_ERROR_READING_BINLOG

// purgedWords are in the leader's text where a position is gone, among the other
// causes of the number: of MySQL; of MariaDB, with a position that it no longer
// has, and with one that it never had.
var purgedWords = []string{"purged", "in any binlog files", "not in the master's binlog"}

func refusal(err error) error {
	var e *wire.Err
	if errors.As(err, &e) && e.Code == erFatalReadingBinlog && slices.ContainsFunc(purgedWords, func(w string) bool { return strings.Contains(e.Message, w) }) {
		return fmt.Errorf("%w: %w", ErrPurged, err)
	}
	return err
}
