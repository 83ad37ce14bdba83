package binlog_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestChecksum(t *testing.T) {
	for _, server := range recordings {
		t.Run(server, func(t *testing.T) {
			checked := 0
			readFile(t, recorded(t, server), func(*binlog.FormatDescription) {}, func(raw []byte, e binlog.Event) {
				if len(raw) == len(e.Raw) {
					return
				}
				checked++
				for _, at := range []int{0, len(raw) / 2, len(raw) - 1} {
					bad := bytes.Clone(raw)
					bad[at] ^= 0x10
					var ce *binlog.ChecksumError
					if _, err := binlog.ParseEvent(bad, true); !errors.As(err, &ce) {
						t.Fatalf("%s with a changed byte %d: %v", e.Type, at, err)
					}
				}
			})
			if checked == 0 && server == "mysql-9.7" {
				t.Error("MySQL writes checksums, and none was there")
			}
		})
	}
}

// A transaction above the bound comes in parts, with all its events in order.
func TestParts(t *testing.T) {
	for _, server := range recordings {
		t.Run(server, func(t *testing.T) {
			file := recorded(t, server)
			assemble := func(bound int) (events [][]byte, parts, txns int) {
				a := binlog.NewAssembler(bound)
				readFile(t, file, a.Format, func(_ []byte, e binlog.Event) {
					err := a.Add(e, func(p *binlog.Part) error {
						parts++
						if p.Last {
							txns++
						}
						for _, e := range p.Events {
							events = append(events, e.Raw)
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				})
				return events, parts, txns
			}
			whole, parts, txns := assemble(0)
			if parts != txns {
				t.Errorf("%d parts of %d small transactions", parts, txns)
			}
			cut, parts, again := assemble(1)
			if again != txns || parts != len(cut) || len(cut) != len(whole) {
				t.Errorf("%d transactions, %d parts, %d events; want %d, and %d events", again, parts, len(cut), txns, len(whole))
			}
			for i := range cut {
				if !bytes.Equal(cut[i], whole[i]) {
					t.Fatalf("event %d differs", i)
				}
			}
		})
	}
}

func TestGTIDString(t *testing.T) {
	g := binlog.GTID{Flavor: gtid.MySQL, SID: [16]byte{0x3e, 0x11, 0xfa, 0x47, 15: 1}, GNO: 5, Tag: "t"}
	const want = "3e11fa47-0000-0000-0000-000000000001:t:5"
	if g.String() != want || g.Set().String() != want {
		t.Errorf("%s, set %s", g, g.Set())
	}
	m := binlog.GTID{Flavor: gtid.MariaDB, Domain: 1, Server: 2, Seq: 3}
	if m.String() != "1-2-3" || m.Set().String() != "1-2-3" {
		t.Errorf("%s, set %s", m, m.Set())
	}
}

// A leader that died in the middle of a transaction begins another file.
func TestUnfinishedTransactionIsVoid(t *testing.T) {
	var g binlog.Group
	begin := binlog.NewEvent(binlog.Header{Type: binlog.TypeMariadbGTID, ServerID: 1}, append([]byte{1}, make([]byte, 18)...))
	rotate := binlog.NewEvent(binlog.Header{Type: binlog.TypeRotate}, append(make([]byte, 8), "binlog.2"...))
	for i, step := range []struct {
		e    binlog.Event
		want binlog.Place
	}{{rotate, binlog.Outside}, {begin, binlog.Begin}, {rotate, binlog.Void}, {rotate, binlog.Outside}, {begin, binlog.Begin}} {
		if place, err := g.Step(step.e); err != nil || place != step.want {
			t.Fatalf("step %d: place %d, %v", i, place, err)
		}
	}
	if _, err := g.Step(begin); err == nil {
		t.Error("a transaction inside a transaction is taken")
	}
}
