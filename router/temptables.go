package router

// TempTables knows by name the temporary tables of one session, as far as texts
// tell. The zero value is empty. It is not safe for concurrent use.
type TempTables struct{}

// Apply notes a statement that the server has accepted.
func (t *TempTables) Apply(sql []byte, m Mode, st *Statement) {}

// MarkUnknown notes that there may be temporary tables whose names are not
// known, as when the server reports a change of state that no text explains.
func (t *TempTables) MarkUnknown() {}

// Any says whether the session has, or may have, temporary tables.
func (t *TempTables) Any() bool { return false }

// Reset forgets all: the connection was reset, or is a new one.
func (t *TempTables) Reset() {}
