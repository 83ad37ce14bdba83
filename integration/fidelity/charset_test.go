package fidelity

import (
	"bytes"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// TestCharsetOfLogin shows that a session has the character sets that its login
// chose, also on connections that others used before, and after a reset those of
// the server, on the leader and on followers.
func TestCharsetOfLogin(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 1
		c := cluster.Start(t, o)
		makeAccount(t, c)
		p := cluster.StartProxy(t, c, "monitor: {interval: 10ms}\nrouting: {max_lag: 5s}")
		for _, collation := range []byte{8, 33, 45, 46} { // latin1, utf8mb3, utf8mb4 general and bin
			var answers [2][][]byte
			for i, address := range []string{c.Leader().DirectAddr(), p.Addr} {
				for range 3 { // the later ones on connections of the first
					answers[i] = append(answers[i], charsetsSeen(t, address, collation)...)
				}
			}
			for i, want := range answers[0] {
				if got := answers[1][i]; !bytes.Equal(got, want) {
					t.Errorf("collation %d, answer %d\nthrough the proxy %q\ndirect            %q", collation, i, got, want)
				}
			}
		}
	})
}

// charsetsSeen asks a new session for its character sets, changes and resets them.
func charsetsSeen(t *testing.T, address string, collation byte) [][]byte {
	t.Helper()
	cl, err := rawclient.Dial(rawclient.Options{
		Address: address, User: user, Password: password, Schema: "mydb", Collation: collation,
		Caps: dialects[0].caps, Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var out [][]byte
	ask := func() {
		for _, sql := range []string{
			"SELECT @@character_set_client, @@character_set_results, @@collation_connection", // the leader's
			"SELECT COLLATION('a'), COLLATION(CAST(1 AS CHAR)), 'x'",                         // a follower's
			"SELECT 'ä'",
		} {
			answer, err := cl.Query(sql)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, answer)
		}
	}
	ask()
	if _, err := cl.Query("SET NAMES utf8mb4"); err != nil {
		t.Fatal(err)
	}
	ask()
	if _, err := cl.Command(wire.ComResetConnection, nil); err != nil {
		t.Fatal(err)
	}
	ask()
	return out
}
