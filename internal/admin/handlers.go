package admin

import (
	"embed"
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the lists that can be long.
const (
	defaultSessions = 100
	maxSessions     = 1000
	defaultDigests  = 50
	maxDigests      = 1000

	defaultIncidents = 20
	maxIncidents     = 500
)

//go:embed page
var page embed.FS

// routes maps the paths. GET patterns answer HEAD too; other methods get 405.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /v1/topology", func(w http.ResponseWriter, _ *http.Request) {
		v := viewTopology(s.cfg.Topology(), time.Now())
		if s.cfg.Acknowledgement != nil {
			v.Acknowledgement = s.cfg.Acknowledgement()
		}
		s.reply(w, http.StatusOK, v)
	})
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, s.cfg.Version)
	})
	if f := s.cfg.Config; f != nil {
		mux.HandleFunc("GET /v1/config", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, f()) })
	}
	if f := s.cfg.Stats; f != nil {
		mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, f()) })
	}
	if f := s.cfg.Sessions; f != nil {
		mux.HandleFunc("GET /v1/sessions", limited(s, defaultSessions, maxSessions, f))
	}
	if f := s.cfg.Digests; f != nil {
		mux.HandleFunc("GET /v1/digests", limited(s, defaultDigests, maxDigests, f))
	}
	if s.cfg.Repair != nil {
		mux.HandleFunc("POST /v1/replication/repair", s.repair)
	}
	if f := s.cfg.Verification; f != nil {
		mux.HandleFunc("GET /v1/replication/verify", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, f()) })
	}
	if s.cfg.Switchover != nil {
		mux.HandleFunc("POST /v1/switchover", s.switchover)
	}
	if f := s.cfg.FailoverState; f != nil {
		mux.HandleFunc("GET /v1/failover", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, f()) })
	}
	if s.cfg.Failover != nil {
		mux.HandleFunc("POST /v1/failover", s.failover)
	}
	if f := s.cfg.Incidents; f != nil {
		mux.HandleFunc("GET /v1/incidents", limited(s, defaultIncidents, maxIncidents, f))
	}
	if g := s.cfg.Gatherer; g != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
			ErrorLog:            slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
			ErrorHandling:       promhttp.ContinueOnError,
			MaxRequestsInFlight: maxScrapes,
		}))
	}
	mux.HandleFunc("GET /{$}", servePage("index.html", "text/html; charset=utf-8"))
	mux.HandleFunc("GET /status.js", servePage("status.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /status.css", servePage("status.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, http.StatusNotFound, "there is nothing here; see / for the status page")
	})
	return secured(mux)
}

// secured sets the headers that keep a browser from doing anything but showing
// what comes from here.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func servePage(name, contentType string) http.HandlerFunc {
	body, err := page.ReadFile(path.Join("page", name))
	return func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // the client may be gone
	}
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"` // why not
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	var reasons []string
	if s.cfg.Topology().Leader == nil {
		reasons = append(reasons, "no leader is known")
	}
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(); err != nil && !slices.Contains(reasons, err.Error()) {
			reasons = append(reasons, err.Error())
		}
	}
	code := http.StatusOK
	if len(reasons) > 0 {
		code = http.StatusServiceUnavailable
	}
	s.reply(w, code, readiness{Ready: len(reasons) == 0, Reasons: reasons})
}

// limited serves a list whose length the client may choose, within bounds.
func limited[V any](s *Server, byDefault, most int, list func(limit int) V) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limit := byDefault
		if q := r.URL.Query().Get("limit"); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil || n < 0 {
				s.fail(w, http.StatusBadRequest, "limit is not a number")
				return
			}
			limit = min(n, most)
		}
		s.reply(w, http.StatusOK, list(limit))
	}
}

func (s *Server) fail(w http.ResponseWriter, code int, text string) {
	s.reply(w, code, map[string]string{"error": text})
}

// reply writes v as JSON. A value that cannot be written is the program's fault.
func (s *Server) reply(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.log.Error("admin: cannot write an answer", slog.Any("error", err))
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
