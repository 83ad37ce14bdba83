package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// TestWhoMayChange: a switchover is asked for from this machine, or with the token,
// and never by a page in somebody's browser.
func TestWhoMayChange(t *testing.T) {
	for _, c := range []struct {
		name, token, remote, host, origin, auth, contentType, body string
		want                                                       int
	}{
		{name: "from this machine", want: 200},
		{name: "from this machine by IPv6", remote: "[::1]:1", host: "[::1]:9307", want: 200},
		{name: "from elsewhere", remote: "192.0.2.1:1", want: 403},
		{name: "a name that means this machine", host: "evil.example:9307", want: 403},
		{name: "a page of another origin", origin: "http://evil.example", want: 403},
		{name: "a form", contentType: "text/plain", want: 415},
		{name: "no content type", contentType: "-", want: 415},
		{name: "a token from elsewhere", token: "t", remote: "192.0.2.1:1", host: "db.example", auth: "Bearer t", want: 200},
		{name: "no token", token: "t", want: 401},
		{name: "a wrong token", token: "t", auth: "Bearer u", want: 401},
		{name: "the token as it is", token: "t", auth: "t", want: 401},
		{name: "an unknown key", body: `{"too": "db2"}`, want: 400},
		{name: "no JSON", body: `to=db2`, want: 400},
		{name: "two requests", body: `{} {}`, want: 400},
		{name: "refused", body: `{"to": "db9"}`, want: 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			s, err := New(Config{
				Topology: func() *topology.Snapshot { return &topology.Snapshot{} },
				Token:    func() string { return c.token },
				Switchover: func(_ context.Context, r SwitchoverRequest) (SwitchoverView, error) {
					asked++
					if r.To != "" {
						return SwitchoverView{Reasons: []string{"no such node"}}, ErrRefused
					}
					return SwitchoverView{Done: true}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			or := func(v, otherwise string) string {
				if v == "" {
					return otherwise
				}
				return v
			}
			req := httptest.NewRequest(http.MethodPost, "/v1/switchover", strings.NewReader(or(c.body, "{}")))
			req.RemoteAddr, req.Host = or(c.remote, "127.0.0.1:1"), or(c.host, "127.0.0.1:9307")
			if ct := or(c.contentType, "application/json; charset=utf-8"); ct != "-" {
				req.Header.Set("Content-Type", ct)
			}
			if c.auth != "" {
				req.Header.Set("Authorization", c.auth)
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, req)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if done := c.want == 200 || c.want == 409; (asked == 1) != done {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}
