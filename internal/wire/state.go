package wire

import "fmt"

// StateKind is the type of an entry of the session state information.
type StateKind byte

// Source: enum_session_state_type of MySQL 9 and MariaDB 11.
const (
	StateSysVar            StateKind = 0
	StateSchema            StateKind = 1
	StateChanged           StateKind = 2
	StateGTIDs             StateKind = 3 // MySQL
	StateTxCharacteristics StateKind = 4
	StateTxState           StateKind = 5
)

// StateEntry is one entry of the session state information. It borrows.
type StateEntry struct {
	Kind StateKind
	// Name is the variable's, for StateSysVar only.
	Name []byte
	// Value is the variable's value; the schema; "1" or "0" for
	// StateChanged; a GTID set; SQL that would start a transaction alike; the
	// eight characters of StateTxState. For an unknown kind it is all data.
	Value []byte
}

// StateReader iterates over the session state information of an OK packet:
//
//	for r := NewStateReader(ok.State); r.Next(&e); { ... }
//
// and then Err tells whether the end was reached. Entries of unknown kinds are
// given too.
type StateReader struct {
	r reader
	// vars is what is left of an entry with several variables.
	vars reader
}

// NewStateReader reads state, which is OK.State.
func NewStateReader(state []byte) StateReader { return StateReader{r: reader{b: state}} }

var errMalformedState = fmt.Errorf("session state: %w", ErrMalformed)

// Err is nil when all entries were read.
func (s *StateReader) Err() error {
	if s.r.bad || s.vars.bad {
		return errMalformedState
	}
	return nil
}

// Next reads the next entry; it returns false at the end or at what is
// malformed.
func (s *StateReader) Next(e *StateEntry) bool {
	for {
		if s.vars.bad || s.r.bad {
			return false
		}
		if s.vars.rest() > 0 {
			*e = StateEntry{Kind: StateSysVar, Name: s.vars.lenencString(), Value: s.vars.lenencString()}
			return !s.vars.bad
		}
		if s.r.rest() == 0 {
			return false
		}
		kind := StateKind(s.r.u8())
		data := reader{b: s.r.lenencString()}
		if s.r.bad {
			return false
		}
		if kind == StateSysVar {
			s.vars = data
			continue
		}
		*e = StateEntry{Kind: kind, Value: stateValue(kind, &data)}
		if data.bad {
			s.r.bad = true
		}
		return !data.bad
	}
}

func stateValue(kind StateKind, data *reader) []byte {
	switch kind {
	case StateGTIDs:
		data.u8() // encoding: 0, text
		return data.lenencString()
	case StateSchema, StateTxCharacteristics, StateTxState:
		return data.lenencString()
	}
	return data.tail() // StateChanged has no length of its own
}

// AppendStateEntry appends an entry as a server encodes it.
func AppendStateEntry(dst []byte, e *StateEntry) []byte {
	size := LenencIntSize(uint64(len(e.Value))) + len(e.Value)
	switch e.Kind {
	case StateSysVar:
		size += LenencIntSize(uint64(len(e.Name))) + len(e.Name)
		dst = AppendLenencInt(append(dst, byte(e.Kind)), uint64(size))
		dst = AppendLenencString(dst, e.Name)
	case StateGTIDs:
		dst = append(AppendLenencInt(append(dst, byte(e.Kind)), uint64(size+1)), 0)
	case StateSchema, StateTxCharacteristics, StateTxState:
		dst = AppendLenencInt(append(dst, byte(e.Kind)), uint64(size))
	default:
		return AppendLenencString(append(dst, byte(e.Kind)), e.Value)
	}
	return AppendLenencString(dst, e.Value)
}

// FilterState appends to dst the entries of state for which keep says so; name
// is the variable's for StateSysVar and nil for others. What follows a
// malformed entry is dropped. dst must not overlap state.
func FilterState(dst, state []byte, keep func(kind StateKind, name []byte) bool) []byte {
	var e StateEntry
	for r := NewStateReader(state); r.Next(&e); {
		if keep(e.Kind, e.Name) {
			dst = AppendStateEntry(dst, &e)
		}
	}
	return dst
}
