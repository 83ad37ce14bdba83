package proxy

import (
	"container/list"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// maxSharedFloors bounds how many keys of the hint session=key are remembered. One that
// was forgotten, or is new, reads at the leader's position once.
const maxSharedFloors = 10_000

// sharedFloors are the floors that sessions share by the hint session=key: all that bear
// a key see what any of them has written and read.
type sharedFloors struct {
	mu      sync.Mutex // guards all in here, and in the floors
	byKey   map[string]*list.Element
	order   list.List // of *sharedFloor, the one used last at the front
	evicted uint64
}

// sharedFloor is what all sessions of a key must be able to see: at, and what was read
// until open, of which only that time is known.
type sharedFloor struct {
	key     string
	at      gtid.Set
	open    time.Time // zero: all of it is in at
	version uint64    // of open
	reign   uint64    // the epoch that at is of
	running int       // statements that bear the key and are under way
	// by is the one session whose own floor covers what is open: it read it itself, or
	// took it over; 0: none.
	by uint32
}

// enter joins a session's floor with that of its key, before a statement runs. What is
// under way on other sessions may be answered before its floor is known here, so that
// the session must see all that there is now. The version goes to leave.
// What was written and read under one leader may be lost under the next (reign): the key
// then sees all that there is.
func (sf *sharedFloors) enter(key string, id uint32, reign uint64, f *floor, now time.Time) (x *sharedFloor, version uint64) {
	sf.mu.Lock()
	defer sf.mu.Unlock()
	x = sf.find(key, now)
	if x.reign < reign {
		x.at, x.open, x.by, x.reign = gtid.Set{}, now, 0, reign
		x.version++
	}
	if !f.at.Contains(x.at) {
		f.raised(x.at)
	}
	switch {
	case x.running > 0:
		f.open = now
	case x.by != id && x.open.After(f.open):
		f.open = x.open
	}
	x.running++
	return x, x.version
}

// find returns the floor of a key; that of an unknown one holds all that there is now.
func (sf *sharedFloors) find(key string, now time.Time) *sharedFloor {
	if e := sf.byKey[key]; e != nil {
		sf.order.MoveToFront(e)
		return e.Value.(*sharedFloor)
	}
	if sf.byKey == nil {
		sf.byKey = make(map[string]*list.Element)
	}
	x := &sharedFloor{key: key, open: now}
	sf.byKey[key] = sf.order.PushFront(x)
	for e := sf.order.Back(); len(sf.byKey) > maxSharedFloors && e != nil; {
		old, before := e.Value.(*sharedFloor), e.Prev()
		if old.running == 0 {
			sf.order.Remove(e)
			delete(sf.byKey, old.key)
			sf.evicted++
		}
		e = before
	}
	return x
}

// leave gives the key what the session has written and read when the statement ended.
// stays says that the session may have read on a follower that it has not left. Where
// nobody else changed what is open since enter, the session's own floor covers that.
func (sf *sharedFloors) leave(x *sharedFloor, version uint64, id uint32, f *floor, stays bool, now time.Time) {
	sf.mu.Lock()
	defer sf.mu.Unlock()
	x.running--
	if !x.at.Contains(f.at) {
		x.at = x.at.Union(f.at)
	}
	covers := x.version == version
	switch {
	case stays || !f.open.IsZero():
		x.open, x.by = now, 0
		if covers {
			x.by = id
		}
		x.version++
	case covers && !x.open.IsZero():
		x.open, x.by = time.Time{}, 0
		x.version++
	}
}

// count returns how many keys were forgotten.
func (sf *sharedFloors) count() uint64 {
	sf.mu.Lock()
	defer sf.mu.Unlock()
	return sf.evicted
}
