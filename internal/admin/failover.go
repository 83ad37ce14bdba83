package admin

import (
	"context"
	"net/http"
	"time"
)

// FailoverView is the answer of GET /v1/failover.
type FailoverView struct {
	Mode        string        `json:"mode"`        // manual | automatic
	Coordinates bool          `json:"coordinates"` // this proxy is the one that changes the leader
	Lease       bool          `json:"lease"`       // this proxy may route writes
	Writes      bool          `json:"writes"`      // statements that write go on; else they wait
	Step        string        `json:"step"`        // of a change that is under way; empty for none
	Leader      string        `json:"leader"`      // by the record; empty before the first
	Epoch       uint64        `json:"epoch"`       // since which it leads
	Acks        int           `json:"acks"`        // followers that have held each write of this epoch before it was acknowledged
	Members     []string      `json:"members"`     // nodes whose acknowledgements count
	Past        []ReignView   `json:"past"`        // the leaders before it, the oldest first, bounded
	Problems    []ProblemView `json:"problems"`
}

// ReignView is a leader of the past.
type ReignView struct {
	Epoch  uint64 `json:"epoch"`
	Leader string `json:"leader"`
	Until  string `json:"until"` // the position at which its successor took over
}

// ProblemView is a rule of the detection table that holds.
type ProblemView struct {
	Code     string    `json:"code"`
	Node     string    `json:"node"`
	Text     string    `json:"text"`
	Since    time.Time `json:"since"`
	Response string    `json:"response"` // what is done about it
}

// FailoverRequest is the body of POST /v1/failover.
type FailoverRequest struct {
	To      string `json:"to"`      // empty: the best follower
	Force   bool   `json:"force"`   // also where acknowledged writes may be lost
	DryRun  bool   `json:"dry_run"` // say what speaks against it, and do nothing
	Unblock bool   `json:"unblock"` // nothing but this: automatic failovers so far count no longer
}

// FailoverAnswer is the answer of POST /v1/failover.
type FailoverAnswer struct {
	DryRun  bool     `json:"dry_run"`
	Done    bool     `json:"done"`
	Leader  string   `json:"leader,omitempty"`
	Epoch   uint64   `json:"epoch,omitempty"`
	Text    string   `json:"text,omitempty"`
	Reasons []string `json:"reasons,omitempty"` // why it was refused
	Error   string   `json:"error,omitempty"`
}

// failoverPatience is for how long the asker waits; the change itself goes on.
const failoverPatience = writeTimeout - 5*time.Second

// failover answers POST /v1/failover.
func (s *Server) failover(w http.ResponseWriter, r *http.Request) {
	var req FailoverRequest
	if !s.takeChange(w, r, &req) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), failoverPatience)
	defer cancel()
	v, err := s.cfg.Failover(ctx, req)
	if err != nil {
		v.Error = err.Error()
	}
	s.reply(w, changeStatus(err), v)
}
