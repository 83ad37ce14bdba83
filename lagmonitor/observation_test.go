package lagmonitor

import (
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

func TestUntilNext(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ elapsed, phase, want time.Duration }{
		{0, 0, 100 * ms},
		{1 * ms, 0, 99 * ms},
		{99 * ms, 0, 101 * ms},
		{80 * ms, 0, 120 * ms},
		{70 * ms, 0, 30 * ms},
		{0, 50 * ms, 50 * ms},
		{50 * ms, 50 * ms, 100 * ms},
		{40 * ms, 50 * ms, 110 * ms},
		{1060 * ms, 50 * ms, 90 * ms},
	} {
		if got := untilNext(c.elapsed, 100*ms, c.phase); got != c.want {
			t.Errorf("%v, phase %v: %v, want %v", c.elapsed, c.phase, got, c.want)
		}
	}
}

func TestParseChannel(t *testing.T) {
	for _, c := range []struct {
		name string
		row  map[string]string
		want Channel
		ok   bool
	}{
		{
			"MariaDB",
			map[string]string{
				"Connection_name": "", "Master_Host": "db1", "Master_Port": "3306", "Master_Server_Id": "7",
				"Slave_IO_Running": "Connecting", "Slave_SQL_Running": "Yes", "Last_IO_Error": "no route", "SQL_Delay": "3",
			},
			Channel{Source: "db1:3306", SourceID: 7, Receiving: "Connecting", Applying: "Yes", ReceiveError: "no route", Delay: 3 * time.Second},
			true,
		},
		{
			"MySQL",
			map[string]string{
				"Channel_Name": "x", "Source_Host": "fd00::2", "Source_Port": "3306", "Source_Server_Id": "7", "Source_UUID": "AB",
				"Replica_IO_Running": "Yes", "Replica_SQL_Running": "No", "Last_SQL_Error": "dup", "SQL_Delay": "0",
			},
			Channel{Name: "x", Source: "[fd00::2]:3306", SourceID: 7, SourceUUID: "ab", Receiving: "Yes", Applying: "No", ApplyError: "dup"},
			true,
		},
		{"group replication", map[string]string{"Channel_Name": "group_replication_applier"}, Channel{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := parseChannel(c.row)
			if ok != c.ok || ok && got != c.want {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	base := identity{serverID: "7", readOnly: "0", version: "10.11.19-MariaDB", logBin: "1", committed: "0-1-5", applied: "0-1-5", clock: 1_700_000_000_123_456}
	for _, c := range []struct {
		name     string
		flavor   gtid.Flavor
		change   func(*identity)
		readOnly bool
		gtid     bool
		bad      bool
	}{
		{"leader", gtid.MariaDB, func(*identity) {}, false, true, false},
		{"read-only", gtid.MariaDB, func(i *identity) { i.readOnly = "1" }, true, true, false},
		{"MariaDB 12's words", gtid.MariaDB, func(i *identity) { i.readOnly = "NO_LOCK" }, true, true, false},
		{"MariaDB 12 off", gtid.MariaDB, func(i *identity) { i.readOnly = "OFF" }, false, true, false},
		{"no binlog, but follows", gtid.MariaDB, func(i *identity) { i.logBin = "0" }, false, true, false},
		{"no binlog", gtid.MariaDB, func(i *identity) { i.logBin, i.applied = "0", "" }, false, false, false},
		{"MySQL", gtid.MySQL, func(i *identity) { i.committed, i.applied, i.gtidMode = "", "", "ON" }, false, true, false},
		{"MySQL, on its way", gtid.MySQL, func(i *identity) { i.committed, i.applied, i.gtidMode = "", "", "OFF_PERMISSIVE" }, false, false, false},
		{"bad position", gtid.MariaDB, func(i *identity) { i.committed = "x" }, false, false, true},
		{"bad server id", gtid.MariaDB, func(i *identity) { i.serverID = "x" }, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := base
			c.change(&id)
			o := Observation{Flavor: c.flavor}
			err := id.into(&o)
			if c.bad {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil || o.ReadOnly != c.readOnly || o.GTID != c.gtid || o.Clock.UnixMicro() != base.clock {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	ok := DefaultConfig()
	ok.Nodes = []NodeConfig{{Name: "a", Address: "a"}}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"no nodes":   func(c *Config) { c.Nodes = nil },
		"no name":    func(c *Config) { c.Nodes = []NodeConfig{{Address: "a"}} },
		"no address": func(c *Config) { c.Nodes = []NodeConfig{{Name: "a"}} },
		"two nodes":  func(c *Config) { c.Nodes = append(c.Nodes, c.Nodes...) },
		"more than one": func(c *Config) {
			c.Nodes = []NodeConfig{{Name: "a", Address: "a", Role: topology.RoleLeader}, {Name: "b", Address: "b", Role: topology.RoleLeader}}
		},
		"interval must":   func(c *Config) { c.Interval = 0 },
		"failures":        func(c *Config) { c.Failures = 0 },
		"heartbeat needs": func(c *Config) { c.Heartbeat.Schema = "" },
		"max lag must":    func(c *Config) { c.MaxLag = -1 },
	} {
		c := ok
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
