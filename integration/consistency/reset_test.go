package consistency

import (
	"bytes"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// The answers about Bellwether's variables are whole for clients with and without the
// newer end of result sets, and a reset brings the default back.
func TestOwnVariablesOnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	each(t, func(t *testing.T, f *fixture) {
		for name, caps := range map[string]wire.Capability{
			"old":     0,
			"new":     wire.ClientDeprecateEOF,
			"tracked": wire.ClientDeprecateEOF | wire.ClientSessionTrack,
		} {
			t.Run(name, func(t *testing.T) {
				c, err := rawclient.Dial(rawclient.Options{
					Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: sandbox.AppSchema, Caps: caps,
				})
				cluster.Must(t, err)
				defer c.Close()
				level := func() []byte {
					answer, err := c.Query("SELECT @@bellwether_consistency")
					cluster.Must(t, err)
					return answer
				}
				if got := level(); !bytes.Contains(got, []byte("\x07session")) {
					t.Errorf("at first: %q", got)
				}
				_, err = c.Query("SET bellwether_consistency = 'strong'")
				cluster.Must(t, err)
				if got := level(); !bytes.Contains(got, []byte("\x06strong")) {
					t.Errorf("after SET: %q", got)
				}
				id, _, err := c.Prepare("SELECT @@bellwether_consistency")
				cluster.Must(t, err)
				answer, err := c.Execute(id, 0)
				cluster.Must(t, err)
				if !bytes.Contains(answer, []byte("\x06strong")) {
					t.Errorf("prepared: %q", answer)
				}
				_, err = c.Command(wire.ComResetConnection, nil)
				cluster.Must(t, err)
				if got := level(); !bytes.Contains(got, []byte("\x07session")) {
					t.Errorf("after a reset: %q", got)
				}
			})
		}
	})
}

// TestTrackedToken: a client that asks for it is told its token with the answer to each
// write, and another session that takes it sees that write on a follower that is behind.
func TestTrackedToken(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for _, n := range f.Followers() {
			f.delay(t, n, 600)
		}
		waitEligible(t, f.proxy, 2)
		dial := func(caps wire.Capability) *rawclient.Client {
			c, err := rawclient.Dial(rawclient.Options{
				Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: sandbox.AppSchema, Caps: caps,
			})
			cluster.Must(t, err)
			t.Cleanup(c.Close)
			return c
		}
		c := dial(wire.ClientDeprecateEOF | wire.ClientSessionTrack)
		told := func(statement string) (token string) {
			answer, err := c.Query(statement)
			cluster.Must(t, err)
			var ok wire.OK
			cluster.Must(t, wire.DecodeOK(answer[wire.HeaderLen:], c.Caps, &ok))
			var e wire.StateEntry
			for r := wire.NewStateReader(ok.State); r.Next(&e); {
				if string(e.Name) == "bellwether_token" {
					token = string(e.Value)
				}
			}
			return token
		}
		if got := told("UPDATE t SET n = 1 WHERE id = 1"); got != "" {
			t.Errorf("not asked for, and told: %s", got)
		}
		if got := told("SET bellwether_track_token = ON"); got != "" {
			t.Errorf("SET tells a token: %s", got)
		}
		first := told("UPDATE t SET n = 2 WHERE id = 1")
		if _, err := c.Query("SELECT n FROM t WHERE id = 1 FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		told("BEGIN")
		if got := told("UPDATE t SET n = 3 WHERE id = 1"); got != "" {
			t.Errorf("what is not committed has a token: %s", got)
		}
		second := told("COMMIT")
		if first == "" || second == "" || first == second {
			t.Fatalf("tokens %q and %q", first, second)
		}
		if got := told("DO 1"); got != "" {
			t.Errorf("told again: %s", got)
		}
		s := open(t, f.proxy, "")
		s.exec("SET bellwether_token = '" + second + "'")
		if got := s.row(readT); got != "3|"+leader {
			t.Errorf("with the token: %s", got)
		}
		told("SET bellwether_track_token = DEFAULT")
		if got := told("UPDATE t SET n = 4 WHERE id = 1"); got != "" {
			t.Errorf("no more asked for, and told: %s", got)
		}
		for query, want := range map[string]string{"SELECT @@bellwether_track_token": "0", "SHOW VARIABLES LIKE 'bellwether_track%'": "bellwether_track_token|OFF"} {
			if got := s.row(query); got != want {
				t.Errorf("%s: %q", query, got)
			}
		}
		s.refused(1231, "SET bellwether_track_token = 2")
		answer, err := dial(wire.ClientDeprecateEOF).Query("SET bellwether_track_token = 1")
		if err != nil || answer[wire.HeaderLen] != wire.HeaderErr {
			t.Errorf("a client without session tracking: %q, %v", answer, err)
		}
	}, "routing: {causal_wait: 0s}")
}
