package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	const topology = `{"epoch":3,"flavor":"mariadb","leader":"db1","nodes":[
{"name":"db1","address":"10.0.0.1:3306","role":"leader","state":"up","why":"is the leader","version":"10.11.6-MariaDB"},
{"name":"db2","address":"10.0.0.2:3306","role":"follower","state":"up","eligible":true,"lag_ms":12.34,"lag_tx":2,"outstanding":1,"connections":4},
{"name":"db3","address":"10.0.0.3:3306","role":"follower","state":"broken","why":"replication is stopped"}]}`
	const config = `{"file":"/etc/b.yaml","loaded_at":"2026-01-01T00:00:00Z","last_error":"b.yaml:3: routing.max_lag: no number","reloads":1,"rejected":2}`
	tests := []struct {
		name    string
		answers map[string]string // path -> body; a path that is missing is 404
		code    int               // of /readyz
		ok      bool
		want    []string
	}{
		{
			name: "ready", code: 200, ok: true,
			answers: map[string]string{
				"/v1/version": `{"version":"bellwether 1.0"}`, "/readyz": `{"ready":true}`,
				"/v1/topology": topology, "/v1/config": config,
			},
			want: []string{
				"bellwether 1.0 at http://", ": ready", "leader db1, epoch 3, mariadb", "12.3 ms", "2 tx", "unknown",
				"db3 serves no reads: replication is stopped", "/etc/b.yaml", "REJECTED", "routing.max_lag: no number",
			},
		},
		{
			name: "not ready", code: 503,
			answers: map[string]string{
				"/v1/version": `{"version":"bellwether 1.0"}`, "/readyz": `{"ready":false,"reasons":["no leader is known"]}`,
				"/v1/topology": `{"leader":null}`,
			},
			want: []string{"NOT READY: no leader is known", "no leader, epoch 0"},
		},
		{
			name: "something else answers", code: 200,
			answers: map[string]string{"/v1/version": "<html>"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, ok := tt.answers[r.URL.Path]
				if !ok {
					http.NotFound(w, r)
					return
				}
				if r.URL.Path == "/readyz" {
					w.WriteHeader(tt.code)
				}
				_, _ = w.Write([]byte(body))
			}))
			defer srv.Close()
			var out bytes.Buffer
			err := run(context.Background(), []string{"status", "--admin", strings.TrimPrefix(srv.URL, "http://") + "/"}, &out, &out)
			if (err == nil) != tt.ok {
				t.Errorf("error %v, want ok %v", err, tt.ok)
			}
			for _, w := range tt.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("no %q in:\n%s", w, out.String())
				}
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		srv := httptest.NewServer(nil)
		srv.Close()
		var out bytes.Buffer
		if err := run(context.Background(), []string{"status", "--admin", srv.URL}, &out, &out); err == nil {
			t.Error("no error")
		}
	})
}
