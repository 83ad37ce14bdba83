package binlog_test

import (
	"bytes"
	"fmt"
	maps0 "maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// What go-mysql decodes is decoded the same way here, and row images are walked
// to their very end.
func TestAgainstOracle(t *testing.T) {
	for _, server := range recordings {
		t.Run(server, func(t *testing.T) { compareWithOracle(t, recorded(t, server)) })
	}
}

// The servers of today, and not only those that were recorded.
func TestRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	want := os.Getenv("BELLWETHER_FLAVORS")
	if want == "" {
		want = "mariadb"
	}
	for server := range strings.SplitSeq(want, ",") {
		t.Run(server, func(t *testing.T) {
			files, f := makeBinlog(t, server)
			seen := compareWithOracle(t, bytes.Join(files[:], nil))
			must := []binlog.Type{binlog.TypeQuery, binlog.TypeTableMap, binlog.TypeXid, binlog.TypeRotate, binlog.TypeXAPrepare, binlog.TypeIntvar, binlog.TypeUserVar, binlog.TypeRand}
			if f == gtid.MariaDB {
				must = append(must, binlog.TypeMariadbGTID, binlog.TypeMariadbGTIDList, binlog.TypeQueryCompressed, binlog.TypeWriteRowsCompressedV1,
					binlog.TypeUpdateRowsCompressedV1, binlog.TypeDeleteRowsCompressedV1)
			} else {
				must = append(must, binlog.TypeGTID, binlog.TypeGTIDTagged, binlog.TypeTransactionPayload, binlog.TypePartialUpdateRows, binlog.TypePreviousGTIDs)
			}
			for _, m := range must {
				if seen[m] == 0 {
					t.Errorf("the server wrote no %s event", m)
				}
			}
		})
	}
}

func compareWithOracle(t *testing.T, file []byte) map[binlog.Type]int {
	t.Helper()
	p := replication.NewBinlogParser()
	p.SetVerifyChecksum(true)
	p.SetFlavor("mysql")
	maps := make(map[uint64]*binlog.TableMap)
	seen := make(map[binlog.Type]int)
	asm := binlog.NewAssembler(0)
	unpacked, flavor := 0, gtid.MySQL
	readFile(t, file, func(f *binlog.FormatDescription) {
		if f.Flavor() == gtid.MariaDB {
			p.SetFlavor("mariadb")
			flavor = gtid.MariaDB
		}
		// The oracle's copy has the checksum that the recorded event has.
		body := append(bytes.Clone(f.Event.Raw), 0, 0, 0, 0)
		p.SetVerifyChecksum(false)
		if _, err := p.Parse(body); err != nil {
			t.Fatal(err)
		}
		p.SetVerifyChecksum(true)
		asm.Format(f)
	}, func(raw []byte, e binlog.Event) {
		seen[e.Type]++
		o, err := p.Parse(bytes.Clone(raw))
		switch {
		case err == nil:
			checkEvent(t, e, o, maps, flavor)
		case !strings.Contains(err.Error(), "unsupport type 14"): // MariaDB's compressed columns
			t.Fatalf("the oracle: %v", err)
		}
		err = asm.Add(e, func(part *binlog.Part) error {
			if !part.First || !part.Last || part.End == binlog.EndNone || part.End == binlog.EndPayload {
				t.Errorf("transaction %s: first %v, last %v, end %v", part.Txn.GTID, part.First, part.Last, part.End)
			}
			for _, inner := range part.Events {
				walk(t, inner, maps, flavor)
				unpacked++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if asm.Open() != nil || unpacked == 0 {
		t.Errorf("open at the end: %v; %d events", asm.Open(), unpacked)
	}
	return seen
}

// walk goes through everything in a plain event; the maps are those seen so far.
func walk(t *testing.T, e binlog.Event, maps map[uint64]*binlog.TableMap, f gtid.Flavor) (rows [][]binlog.Value) {
	t.Helper()
	switch {
	case e.Type == binlog.TypeTableMap:
		m, err := binlog.ParseTableMap(e, f)
		if err != nil {
			t.Fatal(err)
		}
		maps[m.TableID] = m
	case e.Type.IsRows():
		r, err := binlog.ParseRows(e)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Walk(maps[r.TableID], func(before, after []binlog.Value) error {
			for _, image := range [][]binlog.Value{before, after} {
				if image != nil {
					rows = append(rows, slices.Clone(image))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
	case e.Type == binlog.TypeQuery:
		q, err := binlog.ParseQuery(e)
		if err != nil || q.Vars.Unknown != 0 {
			t.Fatalf("%v, unknown variable %d", err, q.Vars.Unknown)
		}
	}
	return rows
}

func checkEvent(t *testing.T, e binlog.Event, o *replication.BinlogEvent, maps map[uint64]*binlog.TableMap, f gtid.Flavor) {
	t.Helper()
	h := o.Header
	if fmt.Sprint(h.Timestamp, uint8(h.EventType), h.ServerID, h.EventSize, h.LogPos, h.Flags) !=
		fmt.Sprint(e.Timestamp, uint8(e.Type), e.ServerID, e.Size, e.LogPos, e.Flags) {
		t.Fatalf("header %+v, the oracle %+v", e.Header, h)
	}
	plain, err := binlog.Decompress(e)
	if err != nil {
		t.Fatal(err)
	}
	equal := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s event: %s is %v, the oracle %v", e.Type, what, got, want)
		}
	}
	switch oe := o.Event.(type) {
	case *replication.GTIDEvent:
		g, err := binlog.ParseGTID(e)
		if err != nil {
			t.Fatal(err)
		}
		next, err := oe.GTIDNext()
		if err != nil {
			t.Fatal(err)
		}
		equal("GTID", g.GTID, next)
		equal("numbers", []any{g.LastCommitted, g.SequenceNumber, g.ImmediateCommit, g.OriginalCommit, g.Length, g.ImmediateVersion, g.OriginalVersion},
			[]any{oe.LastCommitted, oe.SequenceNumber, oe.ImmediateCommitTimestamp, oe.OriginalCommitTimestamp, oe.TransactionLength, oe.ImmediateServerVersion, oe.OriginalServerVersion})
	case *replication.GtidTaggedLogEvent:
		g, err := binlog.ParseGTID(e)
		if err != nil {
			t.Fatal(err)
		}
		next, err := oe.GTIDNext()
		if err != nil {
			t.Fatal(err)
		}
		equal("GTID", g.GTID, next)
		equal("numbers", []any{g.LastCommitted, g.SequenceNumber, g.ImmediateCommit, g.Length, g.ImmediateVersion},
			[]any{oe.LastCommitted, oe.SequenceNumber, oe.ImmediateCommitTimestamp, oe.TransactionLength, oe.ImmediateServerVersion})
	case *replication.MariadbGTIDEvent:
		g, err := binlog.ParseGTID(e)
		if err != nil {
			t.Fatal(err)
		}
		equal("GTID", g.GTID, oe.GTID.String())
		equal("flags", g.Flags, oe.Flags)
		equal("commit id", g.CommitID, oe.CommitID)
	case *replication.MariadbGTIDListEvent:
		l, err := binlog.ParseGTIDList(e)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, g := range oe.GTIDs {
			want = append(want, g.String())
		}
		equal("list", l.GTIDs, want)
	case *replication.QueryEvent:
		q, err := binlog.ParseQuery(plain)
		if err != nil {
			t.Fatal(err)
		}
		equal("text", string(q.Text), string(oe.Query))
		equal("schema", string(q.Schema), string(oe.Schema))
	case *replication.XIDEvent:
		x, err := binlog.ParseXid(e)
		equal("xid", x, oe.XID)
		equal("error", err, nil)
	case *replication.RotateEvent:
		r, err := binlog.ParseRotate(e)
		equal("file", r.File, string(oe.NextLogName))
		equal("error", err, nil)
	case *replication.TableMapEvent:
		walk(t, plain, maps, f)
		m := maps[oe.TableID]
		equal("table", m.Schema+"."+m.Table, string(oe.Schema)+"."+string(oe.Table))
		equal("columns", len(m.Columns), oe.ColumnCount)
		for i, name := range oe.ColumnName {
			equal("name", m.Columns[i].Name, string(name))
		}
		for i, unsigned := range oe.UnsignedMap() {
			equal("unsigned", m.Columns[i].Unsigned, unsigned)
		}
		collations := oe.CollationMap()
		maps0.Copy(collations, oe.EnumSetCollationMap())
		for i, id := range collations {
			equal("collation", m.Columns[i].Collation, id)
		}
		key := make([]int, 0)
		for _, i := range oe.PrimaryKey {
			key = append(key, int(i))
		}
		equal("key", append(key[:0:0], m.PrimaryKey...), key)
	case *replication.RowsEvent:
		rows := walk(t, plain, maps, f)
		equal("rows", len(rows), len(oe.Rows))
		for n := range rows {
			for i, v := range rows[n] {
				skipped := slices.Contains(oe.SkippedColumns[n], i)
				equal("presence", v.Present, !skipped)
				if v.Present {
					equal(fmt.Sprintf("null in column %d", i), v.Null, oe.Rows[n][i] == nil)
				}
				if s, ok := oe.Rows[n][i].(string); ok && maps[oe.TableID].Columns[i].Type == binlog.ColVarchar {
					equal("string", string(v.Data), s)
				}
			}
		}
	}
}
