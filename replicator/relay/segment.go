package relay

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// A segment is the magic bytes and then records: the length of the payload and its CRC-32C,
// four bytes each, little-endian, and the payload. The first record is a header as JSON, the
// others are events of the leader's binlog, checksum included where they had one: a format
// description, and the events of transactions.
const (
	magic      = "bwrelay1"
	recordHead = 8
)

// maxRecord is the size of an event in bytes, as the servers' own replicas limit it.
const maxRecord = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn is a record that is not whole, or not what was written.
var errTorn = errors.New("a record of the relay log is torn")

// Origin is whose binlog a log holds.
type Origin struct {
	Server  string `json:"server"`  // anything that is another one where the binlog may be
	Started int64  `json:"started"` // when it started, seconds of the Unix epoch, give or take two
}

// Same says that nothing can have been lost of the binlog between the two.
func (o Origin) Same(p Origin) bool {
	return o.Server == p.Server && max(o.Started-p.Started, p.Started-o.Started) <= 2
}

type header struct {
	Origin
	Flavor string `json:"flavor"`
	Before string `json:"before"` // the position before the first transaction
}

// segment is one file. path and before never change; size and the rest are the Log's.
type segment struct {
	number uint64
	path   string
	before gtid.Set
	size   int64 // up to the end of the last whole transaction
}

func appendRecord(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}

// readRecord returns the next payload, which is the caller's, and how many bytes the record
// has. io.EOF: there is none. errTorn: it is not whole.
func readRecord(r *bufio.Reader) (payload []byte, size int64, err error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTorn
		}
		return nil, 0, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxRecord {
		return nil, 0, errTorn
	}
	if payload, err = readN(r, int(n)); err != nil {
		return nil, 0, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, errTorn
	}
	return payload, recordHead + int64(n), nil
}

// readN believes a length only as far as the bytes are there.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	out := make([]byte, min(n, step))
	for have := 0; ; {
		if _, err := io.ReadFull(r, out[have:]); err != nil {
			if ended(err) {
				err = errTorn
			}
			return nil, err
		}
		if have = len(out); have == n {
			return out, nil
		}
		out = append(out, make([]byte, min(n-have, have))...)
	}
}

// ended reports whether a file is over; other errors are the disk's.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// readHeader reads what a segment begins with, and how many bytes that is.
func readHeader(r *bufio.Reader) (h header, size int64, err error) {
	var m [len(magic)]byte
	_, err = io.ReadFull(r, m[:])
	if err == nil && string(m[:]) != magic {
		err = errTorn
	}
	var b []byte
	var n int64
	if err == nil {
		b, n, err = readRecord(r)
	}
	if err != nil {
		if ended(err) {
			err = errTorn
		}
		return h, 0, err
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	return h, int64(len(magic)) + n, nil
}

// decoder makes events of records.
type decoder struct {
	format *binlog.FormatDescription
}

// event decodes a payload; fresh says that it was a format description.
func (d *decoder) event(payload []byte) (ev binlog.Event, fresh bool, err error) {
	h, err := binlog.ParseHeader(payload)
	if err != nil {
		return ev, false, err
	}
	if h.Type == binlog.TypeFormatDescription {
		f, err := binlog.ParseFormatDescription(payload)
		if err != nil {
			return ev, false, err
		}
		d.format = f
		return f.Event, true, nil
	}
	if d.format == nil {
		return ev, false, errTorn
	}
	ev, err = binlog.ParseEvent(payload, d.format.Checksum == binlog.ChecksumCRC32)
	return ev, false, err
}

// found is what a segment holds, as far as it is whole.
type found struct {
	header header
	before gtid.Set
	size   int64    // up to the end of the last whole transaction
	end    gtid.Set // the position there
	format []byte   // the format description there, as received; nil: none
}

// scan reads a segment as far as it is whole. errTorn means that it has no header; other errors
// are the disk's.
func scan(path string, flavor gtid.Flavor, whole bool) (found, error) {
	file, err := os.Open(path)
	if err != nil {
		return found{}, err
	}
	defer func() { _ = file.Close() }()
	r := bufio.NewReaderSize(file, 1<<16)
	h, at, err := readHeader(r)
	if err != nil {
		return found{}, err
	}
	out := found{header: h, size: at}
	if h.Flavor != flavor.String() {
		return out, fmt.Errorf("%w: it is of %s", errTorn, h.Flavor)
	}
	if out.before, err = gtid.Parse(flavor, h.Before); err != nil {
		return out, fmt.Errorf("%w: %w", errTorn, err)
	}
	if out.end = out.before; whole {
		return out, out.walk(r)
	}
	st, err := file.Stat()
	if err == nil {
		out.size = st.Size()
	}
	return out, err
}

// walk goes through the events up to the first that makes no sense. An error is the disk's.
func (f *found) walk(r *bufio.Reader) error {
	var d decoder
	var group binlog.Group
	at := f.size
	for {
		payload, n, err := readRecord(r)
		switch {
		case errors.Is(err, errTorn) || err != nil && ended(err):
			return nil
		case err != nil:
			return err
		}
		ev, fresh, err := d.event(payload)
		if err != nil {
			return nil
		}
		at += n
		if fresh {
			if group.Txn() != nil {
				return nil
			}
			f.format, f.size = payload, at
			continue
		}
		txn := group.Txn()
		place, err := group.Step(ev)
		switch {
		case err != nil || place == binlog.Void || place == binlog.Outside:
			return nil
		case place == binlog.Last:
			f.end, f.size = f.end.Union(txn.GTID.Set()), at
		}
	}
}
