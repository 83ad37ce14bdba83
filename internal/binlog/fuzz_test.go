package binlog_test

import (
	"errors"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// FuzzEvent gives arbitrary events to every decoder. What fails must fail with
// an error of the package's own.
func FuzzEvent(f *testing.F) {
	for _, server := range recordings {
		readFile(f, recorded(f, server),
			func(fd *binlog.FormatDescription) { f.Add(uint8(fd.Event.Type), fd.Event.Body()) },
			func(_ []byte, e binlog.Event) { f.Add(uint8(e.Type), e.Body()) })
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		e := binlog.NewEvent(binlog.Header{Type: binlog.Type(kind), ServerID: 1}, body)
		if again, err := binlog.ParseEvent(e.Raw, false); err != nil || again.Header != e.Header {
			t.Fatalf("%+v read back: %+v, %v", e.Header, again.Header, err)
		}
		for _, err := range decodeAll(e) {
			if err != nil && !errors.Is(err, binlog.ErrMalformed) {
				t.Fatalf("%s: %v", e.Type, err)
			}
		}
	})
}

func decodeAll(e binlog.Event) []error {
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	_, err := binlog.ParseFormatDescription(e.Raw)
	note(err)
	if h, err := binlog.ParseGTID(e); err == nil {
		_ = h.GTID.Set().String()
	} else {
		note(err)
	}
	_, err = binlog.ParseQuery(e)
	note(err)
	_, err = binlog.ParseXid(e)
	note(err)
	_, err = binlog.ParseIntvar(e)
	note(err)
	_, err = binlog.ParseRand(e)
	note(err)
	_, err = binlog.ParseUserVar(e)
	note(err)
	_, err = binlog.ParseIncident(e)
	note(err)
	_, err = binlog.ParseRotate(e)
	note(err)
	_, err = binlog.ParseRowsQuery(e)
	note(err)
	_, err = binlog.ParseXAPrepare(e)
	note(err)
	_, err = binlog.ParsePreviousGTIDs(e)
	note(err)
	_, err = binlog.ParseHeartbeat(e)
	note(err)
	if l, err := binlog.ParseGTIDList(e); err == nil {
		_ = l.Set()
	} else {
		note(err)
	}
	if p, err := binlog.ParsePayload(e); err == nil {
		note(p.Events(func(binlog.Event) error { return nil }))
	} else {
		note(err)
	}
	_, err = binlog.Decompress(e)
	note(err)
	_, err = binlog.ParseTableMap(e, gtid.MariaDB)
	note(err)
	return errs
}

// FuzzRows walks arbitrary rows under an arbitrary table map.
func FuzzRows(f *testing.F) {
	for _, server := range recordings {
		var table []byte
		readFile(f, recorded(f, server), func(*binlog.FormatDescription) {}, func(_ []byte, e binlog.Event) {
			switch {
			case e.Type == binlog.TypeTableMap:
				table = e.Body()
			case e.Type.IsRows():
				f.Add(uint8(e.Type), table, e.Body())
			}
		})
	}
	f.Fuzz(func(t *testing.T, kind uint8, table, rows []byte) {
		m, err := binlog.ParseTableMap(binlog.NewEvent(binlog.Header{Type: binlog.TypeTableMap}, table), gtid.MySQL)
		if err != nil {
			return
		}
		e, err := binlog.Decompress(binlog.NewEvent(binlog.Header{Type: binlog.Type(kind)}, rows))
		if err != nil {
			return
		}
		r, err := binlog.ParseRows(e)
		if err != nil {
			return
		}
		total := 0
		err = r.Walk(m, func(before, after []binlog.Value) error {
			for _, v := range append(append([]binlog.Value(nil), before...), after...) {
				total += len(v.Data)
			}
			return nil
		})
		if err != nil && !errors.Is(err, binlog.ErrMalformed) {
			t.Fatal(err)
		}
		if total > len(e.Raw) {
			t.Fatalf("values of %d bytes in an event of %d", total, len(e.Raw))
		}
		wantUndone(t, r, m)
	})
}

// FuzzAssembler cuts arbitrary bytes into events, as a stream with a broken
// leader would bring them.
func FuzzAssembler(f *testing.F) {
	for _, server := range recordings {
		var all []byte
		readFile(f, recorded(f, server), func(*binlog.FormatDescription) {}, func(_ []byte, e binlog.Event) {
			raw := binlog.NewEvent(e.Header, e.Body()).Raw
			if len(all)+len(raw) < 4096 {
				all = append(all, raw...)
			}
		})
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := binlog.NewAssembler(512)
		a.Format(&binlog.FormatDescription{})
		var open *binlog.TxnHeader
		for len(b) >= binlog.HeaderSize {
			h, err := binlog.ParseHeader(b)
			if err != nil || int64(h.Size) > int64(len(b)) {
				return
			}
			e, err := binlog.ParseEvent(b[:h.Size], false)
			if err != nil {
				t.Fatal(err)
			}
			b = b[h.Size:]
			err = a.Add(e, func(p *binlog.Part) error {
				if p.First != (open == nil) || open != nil && open != p.Txn || p.Last != (p.End != binlog.EndNone) {
					t.Fatalf("part of %s: first %v, last %v, end %v", p.Txn.GTID, p.First, p.Last, p.End)
				}
				open = p.Txn
				if p.Last {
					open = nil
				}
				return nil
			})
			if err != nil {
				return
			}
		}
	})
}
