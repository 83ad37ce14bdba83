package proxy

import (
	"sort"
	"time"

	"github.com/bellwetherdb/bellwether/router"
)

// SessionInfo is what can be told of a session from outside.
type SessionInfo struct {
	ID     uint32 // as in the client's greeting
	User   string
	Client string // address
	Schema string
	State  string // authenticating | idle | running | transaction
	Node   string // that executes now, empty for none
	Since  time.Time
}

// public is the part of a session's state that others may read.
type public struct{ user, schema string }

// publish renews what others may read. It is called when it changed.
func (s *session) publish() { s.public.Store(&public{user: s.user, schema: s.state.schema}) }

// Sessions returns the oldest sessions, at most limit, and how many there are.
func (srv *Server) Sessions(limit int) (list []SessionInfo, total int) {
	all := srv.all()
	sort.Slice(all, func(i, j int) bool { return all[i].since.Before(all[j].since) })
	for _, s := range all[:min(limit, len(all))] {
		info := SessionInfo{ID: s.id, Client: s.addr.String(), State: "authenticating", Since: s.since}
		if s.local {
			info.Client = "localhost"
		}
		if p := s.public.Load(); p != nil {
			info.User, info.Schema = p.user, p.schema
			info.State = "transaction"
			if s.idle.Load() {
				info.State = "idle"
			}
		}
		if b := s.busy.Load(); b != nil {
			info.State, info.Node = "running", b.node
		}
		list = append(list, info)
	}
	return list, len(all)
}

// Routed is how many statements went to a target for a reason.
type Routed struct {
	Target, Reason string
	Count          uint64
}

// Routed returns why statements went where they went, most frequent first.
func (srv *Server) Routed() []Routed {
	var list []Routed
	for t := range srv.metrics.routed {
		for r := range srv.metrics.routed[t] {
			if n := srv.metrics.routed[t][r].Load(); n > 0 {
				list = append(list, Routed{router.Target(t).String(), router.Reason(r).String(), n})
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Count > list[j].Count })
	return list
}

// Draining says whether the server has stopped taking clients.
func (srv *Server) Draining() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.draining
}
