package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// SwitchoverRequest is the body of POST /v1/switchover.
type SwitchoverRequest struct {
	To     string `json:"to"`      // empty: the best follower
	DryRun bool   `json:"dry_run"` // say what would be done, and do nothing
}

// SwitchoverView is the answer of POST /v1/switchover.
type SwitchoverView struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	DryRun   bool       `json:"dry_run"`
	Done     bool       `json:"done"`               // the new leader takes writes
	Position string     `json:"position,omitempty"` // where the old leader's reign ended
	HeldMS   float64    `json:"held_ms"`            // for how long writes were held
	Steps    []StepView `json:"steps,omitempty"`
	Reasons  []string   `json:"reasons,omitempty"` // why it was refused
	Warnings []string   `json:"warnings,omitempty"`
	Error    string     `json:"error,omitempty"` // why it failed
}

// StepView is one step of a switchover.
type StepView struct {
	Name   string  `json:"name"`
	TookMS float64 `json:"took_ms"`
	Error  string  `json:"error,omitempty"`
}

// Errors of Config.Switchover that have a status of their own.
var (
	ErrRefused = errors.New("refused")                        // 409: the view has the reasons
	ErrBusy    = errors.New("a switchover is under way")      // 409
	errForeign = errors.New("a browser's page may not do so") // 403
)

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// switchover answers POST /v1/switchover.
func (s *Server) switchover(w http.ResponseWriter, r *http.Request) {
	var req SwitchoverRequest
	if !s.takeChange(w, r, &req) {
		return
	}
	// Who asked may go away: what was begun is brought to its end.
	v, err := s.cfg.Switchover(context.WithoutCancel(r.Context()), req)
	if err != nil {
		v.Error = err.Error()
	}
	s.reply(w, changeStatus(err), v)
}

// changeStatus is the status of a change that ended so.
func changeStatus(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrRefused), errors.Is(err, ErrBusy):
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// RepairRequest is the body of POST /v1/replication/repair.
type RepairRequest struct {
	Node string `json:"node"`
}

// RepairView is its answer.
type RepairView struct {
	Node  string `json:"node"`
	Begun bool   `json:"begun"`
	Error string `json:"error,omitempty"`
}

// repair answers POST /v1/replication/repair.
func (s *Server) repair(w http.ResponseWriter, r *http.Request) {
	var req RepairRequest
	if !s.takeChange(w, r, &req) {
		return
	}
	if err := s.cfg.Repair(req); err != nil {
		s.reply(w, http.StatusConflict, RepairView{Node: req.Node, Error: err.Error()})
		return
	}
	s.reply(w, http.StatusAccepted, RepairView{Node: req.Node, Begun: true})
}

// takeChange reads the body of a request that changes something. Where it may not,
// or is none, it answers and returns false.
func (s *Server) takeChange(w http.ResponseWriter, r *http.Request, into any) bool {
	if code, err := s.mayChange(r); err != nil {
		s.fail(w, code, err.Error())
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		s.fail(w, http.StatusBadRequest, "the body is not a request: "+err.Error())
		return false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		s.fail(w, http.StatusBadRequest, "there is more in the body than one request")
		return false
	}
	return true
}

// mayChange says whether a request may change something. With a token it must bear
// it; without one it must come from this machine. Pages in a browser on this machine
// are kept out both ways: a page of another origin cannot send this content type
// unasked, and a name that was made to mean this machine is not believed.
func (s *Server) mayChange(r *http.Request) (int, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("Content-Type must be application/json")
	}
	if o := r.Header.Get("Origin"); o != "" {
		if u, err := url.Parse(o); err != nil || u.Host != r.Host {
			return http.StatusForbidden, errForeign
		}
	}
	token := ""
	if s.cfg.Token != nil {
		token = s.cfg.Token()
	}
	if token != "" {
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(token))
		if !ok || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			return http.StatusUnauthorized, errors.New("the token (admin.password) is missing or wrong")
		}
		return 0, nil
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return http.StatusForbidden, errors.New("without admin.password, changes are taken from this machine only")
	}
	if !localName(r.Host) {
		return http.StatusForbidden, errForeign
	}
	return 0, nil
}

// localName says whether the host of a request is this machine by address.
func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}
