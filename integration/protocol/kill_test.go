package protocol

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/integration/rawclient"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

const (
	slowRead   = "SELECT SUM(a.n + b.n * c.n) FROM numbers a, numbers b, numbers c"
	slowAtHome = slowRead + " FOR UPDATE"
)

// running is how many of the slow statements run on a node.
func running(t *testing.T, n *cluster.Node) int {
	t.Helper()
	var count int
	cluster.Must(t, n.DB().QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SUM(a.n%'").Scan(&count))
	return count
}

func (f *fixture) rawApp(t *testing.T) *rawclient.Client {
	t.Helper()
	c, err := rawclient.Dial(rawclient.Options{
		Address: f.proxy.Addr, User: sandbox.AppAccount.User, Password: sandbox.AppAccount.Password, Schema: app,
	})
	cluster.Must(t, err)
	return c
}

// KILL takes the id of the greeting and that of CONNECTION_ID(), as text and as a
// command, wherever the statement runs, and obeys the server's rules.
func TestKill(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		f.Exec(t, "CREATE USER other@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON shop.* TO other@'%'")
		f.WaitReplicated(t)
		other := login{user: "other", password: "x", schema: app}
		other.until(t, f.proxy.Addr, "in")
		killer, admin, stranger := appLogin().must(t, f.proxy.Addr), adminLogin().must(t, f.proxy.Addr), other.must(t, f.proxy.Addr)
		follower := f.Followers()[0]
		for _, where := range []struct {
			name, query string
			node        *cluster.Node
		}{{"follower", slowRead, follower}, {"leader", slowAtHome, f.Leader()}} {
			for _, how := range []string{"KILL QUERY %d", "KILL %d", "KILL CONNECTION %d", "command"} {
				for _, by := range []*session{killer, admin} {
					if how == "command" && by == admin {
						continue
					}
					t.Run(fmt.Sprintf("%s on the %s", how, where.name), func(t *testing.T) {
						victim := f.rawApp(t)
						defer victim.Close()
						id := victim.Greeting.ThreadID
						cluster.Must(t, victim.Send(wire.ComQuery, []byte(where.query)))
						cluster.Eventually(t, "it runs", func() bool { return running(t, where.node) == 1 })
						if got := stranger.text(fmt.Sprintf("KILL QUERY %d", id)); !strings.HasPrefix(got, "1095 (HY000): You are not owner of thread") {
							t.Errorf("another user's KILL: %s", got)
						}
						if how == "command" {
							c := f.rawApp(t)
							defer c.Close()
							answer, err := c.Command(wire.ComProcessKill, binary.LittleEndian.AppendUint32(nil, id))
							cluster.Must(t, err)
							if answer[wire.HeaderLen] != wire.HeaderOK {
								t.Errorf("COM_PROCESS_KILL: %q", answer)
							}
						} else {
							by.exec(fmt.Sprintf(how, id))
						}
						answer, err := victim.Receive(wire.ComQuery)
						if how == "KILL QUERY %d" {
							cluster.Must(t, err)
							if !strings.Contains(string(answer), "70100Query execution was interrupted") {
								t.Errorf("the statement ended with %q", answer)
							}
							_, err := victim.Query("SELECT 1")
							cluster.Must(t, err)
						} else if err == nil && !strings.Contains(string(answer), "70100") {
							t.Errorf("the statement of a killed session ended with %q", answer)
						}
						cluster.Eventually(t, "it runs nowhere", func() bool { return running(t, follower)+running(t, f.Leader()) == 0 })
					})
				}
			}
		}
		t.Run("idle sessions", func(t *testing.T) {
			for _, by := range []*session{killer, admin} {
				for range 2 { // with and without a connection to the leader
					victim := f.rawApp(t)
					by.exec(fmt.Sprintf("KILL %d", victim.Greeting.ThreadID))
					cluster.Eventually(t, "it is gone", func() bool { _, err := victim.Query("SELECT 1"); return err != nil })
					victim.Close()
				}
			}
			victim := appLogin().must(t, f.proxy.Addr)
			id := victim.text("SELECT CONNECTION_ID()")
			if got := stranger.text("KILL " + id); !strings.HasPrefix(got, "1095 (HY000)") {
				t.Errorf("another user's KILL: %s", got)
			}
			killer.exec("KILL " + id)
			cluster.Eventually(t, "it is gone", func() bool { return victim.PingContext(t.Context()) != nil })
			direct := appLogin().must(t, f.Leader().DirectAddr())
			for _, id := range []string{"4000000000", "999999", "0"} {
				if got, want := killer.text("KILL "+id), direct.text("KILL "+id); got != want {
					t.Errorf("KILL %s: %s, want %s", id, got, want)
				}
			}
		})
		t.Run("a client that dies", func(t *testing.T) {
			for _, query := range []string{slowRead, slowAtHome} {
				victim := f.rawApp(t)
				cluster.Must(t, victim.Send(wire.ComQuery, []byte(query)))
				cluster.Eventually(t, "it runs", func() bool { return running(t, follower)+running(t, f.Leader()) == 1 })
				cluster.Must(t, victim.Conn().Close())
				cluster.Eventually(t, "it runs nowhere", func() bool { return running(t, follower)+running(t, f.Leader()) == 0 })
			}
		})
	})
}
