package binlog

import "fmt"

// DefaultPartSize is how many bytes of events an Assembler collects before it
// hands on a part.
const DefaultPartSize = 4 << 20

// Part is a transaction, or a part of one that is larger than the Assembler's
// bound. The parts of a transaction come one behind the other, with the same Txn.
type Part struct {
	Txn    *TxnHeader
	Format *FormatDescription // what the events were written as
	First  bool
	Last   bool
	End    End     // how the transaction ended; EndNone but in the last part
	Events []Event // plain ones, the GTID event left out, BEGIN and what ends it included
	Bytes  int     // of Events
}

// Assembler groups events into transactions. It unpacks payloads and compressed
// events, so that whom it hands them to sees plain ones. Not for concurrent use.
type Assembler struct {
	bound  int
	group  Group
	format *FormatDescription
	part   Part
}

// NewAssembler returns one that hands on parts of about bound bytes; 0 for
// DefaultPartSize. A part is larger than that by one event at most.
func NewAssembler(bound int) *Assembler {
	if bound <= 0 {
		bound = DefaultPartSize
	}
	return &Assembler{bound: bound}
}

// Open returns the transaction of which no end was seen yet, or nil.
func (a *Assembler) Open() *TxnHeader { return a.group.Txn() }

// Reset forgets an open transaction. What was handed on of it must be rolled back.
func (a *Assembler) Reset() {
	a.group.Reset()
	a.part = Part{}
}

// Format says how the events behind it are written.
func (a *Assembler) Format(f *FormatDescription) { a.format = f }

// Add takes the next event, and calls emit with the parts that it completes.
// Format description events go to Format. The events' bytes must stay as they
// are. An error of emit is returned as it is; after any error the Assembler must
// not be used before Reset.
func (a *Assembler) Add(e Event, emit func(*Part) error) error {
	if txn := a.group.Txn(); txn != nil && e.Type == TypeTransactionPayload {
		p, err := ParsePayload(e)
		if err == nil {
			err = p.Events(func(inner Event) error { return a.add(inner, emit) })
		}
		if err == nil && a.group.Txn() != nil {
			err = malformed("the payload holds no end")
		}
		if err != nil {
			return fmt.Errorf("transaction %s: %w", txn.GTID, err)
		}
		return nil
	}
	return a.add(e, emit)
}

func (a *Assembler) add(e Event, emit func(*Part) error) error {
	e, err := Decompress(e)
	if err != nil {
		return err
	}
	txn := a.group.Txn()
	place, err := a.group.Step(e)
	if err != nil {
		return err
	}
	switch place {
	case Outside:
		return nil
	case Void:
		return fmt.Errorf("transaction %s: %w", txn.GTID, ErrVoid)
	case Begin:
		if a.format == nil {
			return malformed("a transaction before the format description")
		}
		a.part = Part{Txn: a.group.Txn(), Format: a.format, First: true}
		return nil
	case Last:
		if a.group.End() == EndPayload {
			return malformed("a payload in a payload")
		}
		a.part.Last, a.part.End = true, a.group.End()
	}
	a.part.Events = append(a.part.Events, e)
	a.part.Bytes += len(e.Raw)
	if !a.part.Last && a.part.Bytes < a.bound {
		return nil
	}
	out := a.part
	a.part = Part{Txn: out.Txn, Format: out.Format}
	return emit(&out)
}

// ErrVoid says that a transaction has no end, because its leader died while it
// was written. What was handed on of it must be rolled back; after Reset the
// Assembler may go on with the event behind the one that showed it.
var ErrVoid = malformed("the binlog goes on in another file before its end")
