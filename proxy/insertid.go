package proxy

import (
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// insertID is what LAST_INSERT_ID() answers to a session. The answers to statements
// do not tell for certain: after an INSERT with an id of its own they give that id, and
// LAST_INSERT_ID() stays as it was. So it is asked for when the connection is left.
type insertID struct {
	id      uint64   // where it is certain
	unsure  bool     // an answer since told of an id
	lost    bool     // what it was before id and unsure is gone, see lose
	inherit *inherit // who takes the connection asks for it
}

// answered notes what an OK of the home connection tells. After an error
// LAST_INSERT_ID() is undefined, by the manuals of both servers.
func (x *insertID) answered(ok []byte) {
	if x.unsure {
		return
	}
	x.unsure = okInsertID(ok) != 0
}

// okInsertID is the id that an OK tells.
func okInsertID(ok []byte) uint64 {
	_, n := wire.LenencInt(ok[1:]) // rows
	if n == 0 {
		return 0
	}
	id, _ := wire.LenencInt(ok[1+n:])
	return id
}

// forget is for a session that begins anew.
func (x *insertID) forget() { *x = insertID{} }

// leave returns what the taker of the connection is to ask for, nil for nothing.
func (x *insertID) leave() *inherit {
	if !x.unsure {
		return nil
	}
	if x.inherit == nil {
		x.inherit = &inherit{done: make(chan struct{})}
	}
	return x.inherit
}

// taken learns what the taker of the connection asked for. It waits for the answer.
func (x *insertID) taken() {
	in := x.inherit
	if in == nil {
		return
	}
	<-in.done
	x.inherit, x.unsure = nil, false
	if in.err != nil {
		x.id, x.lost = 0, true
		return
	}
	x.told(in.id)
}

// told takes what a connection answered. One on which what was lost has not been
// replaced answers 0, as a new connection does.
func (x *insertID) told(id uint64) { *x = insertID{id: id, lost: x.lost && id == 0} }

// lose is called when the connection is gone and can no longer be asked. The next one
// begins with what is certain, and where nothing is, with 0.
func (x *insertID) lose() {
	if x.unsure {
		*x = insertID{lost: true}
	}
}

func (b *backend) askInsertID() (uint64, error) {
	text, err := b.queryText("SELECT LAST_INSERT_ID()")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

// keepInsertID asks the home connection what LAST_INSERT_ID() answers there, and says
// whether all is known that the connection could tell.
func (s *session) keepInsertID(b *backend) bool {
	if !s.insertID.unsure {
		return true
	}
	if b.broken || b.alive() != nil {
		return false
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	_ = b.conn.SetDeadline(time.Now().Add(s.srv.settings.Load().ConnectTimeout))
	id, err := b.askInsertID()
	if err != nil {
		return false
	}
	_ = b.conn.SetDeadline(time.Time{})
	s.insertID.told(id)
	b.inherit, b.lastID, b.unsureID = nil, id, false
	return true
}
