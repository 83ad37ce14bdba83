package lagmonitor

import (
	"errors"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestOverlay(t *testing.T) {
	at := func(s string) gtid.Set {
		out, err := gtid.Parse(gtid.MariaDB, s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	leader := NodeConfig{Name: "db1", Address: "db1:3306"}
	native := []Channel{{Source: "db1:3306", Receiving: threadRunning, Applying: threadRunning}}
	for _, c := range []struct {
		name                string
		o                   Observation
		receiving, applying string
		applied             string
	}{
		{"streams", Observation{Following: &Following{Receiving: true, Applying: true, Applied: at("0-1-5")}, Applied: at("0-1-7")}, "Yes", "Yes", "0-1-5"},
		{"the leader is away", Observation{Following: &Following{Applying: true, Applied: at("0-1-5")}, Applied: at("0-1-7")}, "Connecting", "Yes", "0-1-5"},
		{"only the node knows", Observation{Following: &Following{Receiving: true, Applying: true}, Applied: at("0-1-7")}, "Yes", "Yes", "0-1-7"},
		{"lost something", Observation{Following: &Following{Applying: true, Applied: at("0-1-9")}, Committed: at("0-1-8"), Applied: at("0-1-7")}, "Connecting", "No", "0-1-7"},
		{"by the engine", Observation{Following: &Following{Receiving: true, Applying: true, Applied: at("0-1-9")}, Committed: at("0-1-9"), Applied: at("0-1-2")}, "Yes", "Yes", "0-1-9"},
		{"another's", Observation{Following: &Following{Receiving: true, Applying: true, Standby: true}, Applied: at("0-1-7"), Visible: at("0-1-6"), Flavor: gtid.MariaDB}, "Yes", "Yes", "0-1-6"},
		{"another's, not known yet", Observation{Following: &Following{Receiving: true, Applying: true, Standby: true}, Applied: at("0-1-7"), Flavor: gtid.MariaDB}, "Yes", "No", ""},
		{"stopped", Observation{Following: &Following{Why: "diverged"}, Applied: at("0-1-7")}, "Connecting", "No", "0-1-7"},
		{"by itself", Observation{Following: &Following{}, Channels: native}, "Yes", "Yes", ""},
	} {
		c.o.overlay(leader)
		if len(c.o.Channels) != 1 || c.o.Channels[0].Receiving != c.receiving || c.o.Channels[0].Applying != c.applying || c.o.Applied.String() != c.applied {
			t.Errorf("%s: %+v at %s", c.name, c.o.Channels, c.o.Applied)
		}
		if c.o.Channels[0].Source != leader.Address {
			t.Errorf("%s: it follows %s", c.name, c.o.Channels[0].Source)
		}
	}
	failed := Observation{Err: errors.New("no answer"), Following: &Following{Applying: true}}
	if failed.overlay(leader); len(failed.Channels) > 0 {
		t.Error("a probe that failed tells something")
	}
}
