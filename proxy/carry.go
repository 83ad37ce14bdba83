package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// What a session has set goes with it from one connection to the next. A connection
// knows what was set on it, and gets the difference; where there is none, nothing.

// varSet is the session variables of one moment, in the order in which they were
// set. It does not change once it is made.
type varSet struct {
	of      uint64 // the id of the state
	version uint64 // of the state
	list    []variable
	print   string // of names and values, in order: equal for equal sets
}

// fingerprint is empty for a connection that nothing was set on.
func (v *varSet) fingerprint() string {
	if v == nil {
		return ""
	}
	return v.print
}

// equal says whether two connections with these sets are alike.
func (v *varSet) equal(w *varSet) bool { return v == w || v.fingerprint() == w.fingerprint() }

// stateIDs tells the states of sessions apart, and those before and after a reset.
var stateIDs atomic.Uint64

// current returns the variables as they are now: all that a home connection has, or
// what a follower's has too.
func (st *sessionState) current(home bool) *varSet {
	made := &st.made[digit(home)]
	if st.id == 0 {
		st.id = stateIDs.Add(1)
	}
	if v := *made; v != nil && v.of == st.id && v.version == st.version {
		return v
	}
	v := &varSet{of: st.id, version: st.version}
	var text strings.Builder
	for _, x := range st.vars {
		if home || !x.home {
			v.list = append(v.list, x)
			fmt.Fprintf(&text, "%s=%q;", x.name, x.value)
		}
	}
	v.print = text.String()
	*made = v
	return v
}

// since returns the variables to be set on a connection that has the set have. ok is
// false where that cannot bring it there: what have has and v lacks would stay, and
// the order counts.
func (v *varSet) since(have *varSet) (list []variable, ok bool) {
	switch {
	case v.equal(have):
		return nil, true
	case have.fingerprint() == "":
		return v.list, true
	case have.of == v.of:
		for _, x := range v.list {
			if x.version > have.version {
				list = append(list, x)
			}
		}
		return list, true
	}
	n := len(have.list)
	if n > len(v.list) {
		return nil, false
	}
	for i, x := range have.list {
		if y := v.list[i]; x.name != y.name || x.value != y.value {
			return nil, false
		}
	}
	return v.list[n:], true
}

// assignments returns a SET of the variables, empty for none.
func assignments(list []variable) string {
	var sql strings.Builder
	for i := range list {
		if i == 0 {
			sql.WriteString("SET ")
		} else {
			sql.WriteByte(',')
		}
		list[i].assign(&sql)
	}
	return sql.String()
}

// luggage is all that a session takes along to another connection.
type luggage struct {
	schema     string
	vars       *varSet
	home       bool   // the rest is known: the connection is a home connection
	autocommit bool   // as the session has it
	lastID     uint64 // what LAST_INSERT_ID() answers
	clean      bool   // nothing of another session's last statement may be there
}

// bring brings a session's luggage to a connection, in one round trip or none: as
// the difference, or behind a reset where a difference cannot do. A refusal by the
// server is a *wire.Err and leaves the connection usable, and not brought.
func (b *backend) bring(want *luggage, mariadb bool) error {
	b.settle()
	list, ok := want.vars.since(b.vars)
	var pkt []byte
	reset := !ok || b.unclean || want.clean
	lastID, unsure, autocommit := b.lastID, b.unsureID, wire.Status(b.status).Has(wire.StatusAutocommit)
	if reset {
		pkt = b.appendReset(nil, mariadb)
		list, lastID, unsure, autocommit = want.vars.list, 0, false, b.baseAutocommit
	}
	schema := b.schema != want.schema
	if schema {
		if want.schema == "" {
			return errStateUnfit // a schema can be changed, not left
		}
		pkt = appendCommand(pkt, wire.ComInitDB, b.caps, want.schema)
	}
	sql := assignments(list)
	if want.home && autocommit != want.autocommit {
		sql = joinSet(sql, fmt.Sprintf("autocommit=%d", digit(want.autocommit)))
	}
	if want.home && (unsure || lastID != want.lastID) {
		sql = joinSet(sql, fmt.Sprintf("last_insert_id=%d", want.lastID))
	}
	if sql != "" {
		pkt = appendCommand(pkt, wire.ComQuery, b.caps, sql)
	}
	if len(pkt) == 0 {
		b.vars = want.vars
		return nil
	}
	b.dirty = true
	if _, err := b.conn.Write(pkt); err != nil {
		b.broken = true
		return err
	}
	if reset {
		if err := b.readReset(); err != nil {
			return err
		}
		b.dirty = true
	}
	var refused error
	if schema {
		switch _, err := b.readOK(); {
		case err == nil:
			b.schema = want.schema
		case b.broken:
			return err
		default:
			refused = err
		}
	}
	if sql != "" {
		switch _, err := b.readOK(); {
		case err == nil:
			b.lastID, b.unsureID = want.lastID, false
		case b.broken:
			return err
		default:
			b.unclean = true // a part of it may be set
			refused = errors.Join(refused, err)
		}
	}
	if refused == nil {
		b.vars = want.vars
	} else if sql != "" {
		b.unclean = true
	}
	return refused
}

func digit(v bool) int {
	if v {
		return 1
	}
	return 0
}

func joinSet(sql, assignment string) string {
	if sql == "" {
		return "SET SESSION " + assignment
	}
	return sql + ",SESSION " + assignment
}

// inherit is what a session wants to know of the connection that was taken from it:
// its LAST_INSERT_ID(), which the answers to statements do not tell for certain.
type inherit struct {
	done chan struct{} // closed when the rest is known
	id   uint64
	err  error
}

// settleTime bounds the question that the taker of a connection asks for its last session.
const settleTime = 5 * time.Second

// settle asks the connection for what its last session wants to know. It is called by
// whoever has taken the connection, before anything else.
func (b *backend) settle() {
	in := b.inherit
	if in == nil {
		return
	}
	b.inherit = nil
	if b.broken || b.conn == nil {
		in.err = errLeaderLeft
	} else {
		_ = b.conn.SetDeadline(time.Now().Add(settleTime))
		in.id, in.err = b.askInsertID()
		if !b.broken {
			_ = b.conn.SetDeadline(time.Time{})
		}
	}
	b.lastID, b.unsureID = in.id, in.err != nil
	close(in.done)
}
