package binlog

import "fmt"

// Place is where an event stands in its transaction.
type Place uint8

// Places of an event.
const (
	Outside Place = iota // of any transaction: the file's own events, heartbeats
	Begin                // the GTID event
	Inside
	Last // the event that ends it
	// Void is an event outside of any transaction that shows that the open one
	// never ended: its leader died while writing it. It must not be applied.
	Void
)

// End is how a transaction ended.
type End uint8

// Ends of a transaction.
const (
	EndNone      End = iota // it has not
	EndXid                  // commits in storage engines with two-phase commit
	EndCommit               // COMMIT
	EndRollback             // ROLLBACK: only what cannot be rolled back stays
	EndStatement            // a statement of its own, as DDL is; it is the last event
	EndXAPrepare            // XA PREPARE
	EndPayload              // a payload holds the whole transaction; never seen behind an Assembler
	EndIncident             // the leader's binlog lacks something
)

func (e End) String() string {
	names := [...]string{"none", "xid", "commit", "rollback", "statement", "xa prepare", "payload", "incident"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("end %d", uint8(e))
}

// Group follows a stream of events and tells where transactions begin and end,
// decoding no more than that takes. The zero value stands outside of any.
type Group struct {
	txn  *TxnHeader // of the open one; nil outside
	open bool       // it goes on until a commit; else until its first statement
	end  End        // of the last one that ended
}

// Txn is the transaction that is open, nil outside of any.
func (g *Group) Txn() *TxnHeader { return g.txn }

// End is how the last transaction ended.
func (g *Group) End() End { return g.end }

// Reset forgets an open transaction, as when the stream begins anew.
func (g *Group) Reset() { g.txn, g.open = nil, false }

// Step takes the next event. An error means that the stream makes no sense.
func (g *Group) Step(e Event) (Place, error) {
	switch {
	case e.Type.IsGTID():
		return g.begin(e)
	case e.Type == TypeHeartbeat, e.Type == TypeHeartbeatV2:
		return Outside, nil
	case e.Type == TypeMariadbGTIDList && e.Flags&FlagArtificial != 0:
		// Where a position names a number that was not found, MariaDB tells that it is past it
		// behind the GTID event of the next transaction, inside of that (seen on 10.11).
		return Outside, nil
	case betweenTransactions(e.Type):
		if g.txn != nil {
			g.Reset()
			return Void, nil
		}
		return Outside, nil
	case g.txn == nil:
		if e.Type == TypeIncident {
			in, err := ParseIncident(e)
			if err != nil {
				return Outside, err
			}
			return Outside, fmt.Errorf("the leader's binlog has a gap: incident %d before position %d: %s", in.Number, e.LogPos, in.Message)
		}
		if e.Flags&FlagIgnorable != 0 || e.Type == TypeAnnotateRows {
			return Outside, nil
		}
		return Outside, malformed("%s event outside of a transaction, before position %d", e.Type, e.LogPos)
	}
	end, err := g.inside(e)
	if err != nil || end == EndNone {
		return Inside, err
	}
	g.end = end
	g.Reset()
	return Last, nil
}

func betweenTransactions(t Type) bool {
	switch t {
	case TypeFormatDescription, TypeRotate, TypeStop, TypePreviousGTIDs, TypeMariadbGTIDList, TypeBinlogCheckpoint, TypeStartEncryption:
		return true
	}
	return false
}

func (g *Group) begin(e Event) (Place, error) {
	if g.txn != nil {
		return Begin, malformed("transaction %s has no end before the next one", g.txn.GTID)
	}
	h, err := ParseGTID(e)
	if err != nil {
		return Begin, err
	}
	g.txn = h
	g.open = e.Type == TypeMariadbGTID && h.Flags&FlagStandalone == 0
	return Begin, nil
}

func (g *Group) inside(e Event) (End, error) {
	switch e.Type {
	case TypeXid:
		return EndXid, nil
	case TypeXAPrepare:
		return EndXAPrepare, nil
	case TypeTransactionPayload:
		return EndPayload, nil
	case TypeIncident:
		return EndIncident, nil
	case TypeQuery:
		q, err := ParseQuery(e)
		if err != nil {
			return EndNone, fmt.Errorf("transaction %s: %w", g.txn.GTID, err)
		}
		return g.query(q), nil
	case TypeQueryCompressed, TypeExecuteLoadQuery: // too long for COMMIT and kin
		if !g.open {
			return EndStatement, nil
		}
	}
	return EndNone, nil
}

func (g *Group) query(q *Query) End {
	switch {
	case q.Is("BEGIN"), q.hasPrefix("XA START"):
		g.open = true
		return EndNone
	case q.Is("COMMIT"):
		return EndCommit
	case q.Is("ROLLBACK"):
		return EndRollback
	case q.hasPrefix("XA END"):
		return EndNone
	case q.hasPrefix("XA COMMIT"), q.hasPrefix("XA ROLLBACK"):
		return EndStatement
	case g.open:
		return EndNone
	default:
		return EndStatement
	}
}
