package lagmonitor

import "github.com/bellwetherdb/bellwether/internal/gtid"

// Following is what Bellwether's own engine does with a follower, in place of the
// server's own replication.
type Following struct {
	Leader    string // the node's name
	Receiving bool   // from the leader, now
	Applying  bool   // whatever it receives
	Standby   bool   // it is another Bellwether's engine
	// Applied is what readers of the follower certainly see. It is empty where
	// only the node itself can be asked.
	Applied gtid.Set
	Why     string // not, for people
	Text    string // all of it in one line
}

// overlay puts a follower that the engine replicates to into the terms of the
// servers' own replication, which the judge knows. A node that still replicates by
// itself is judged by that.
func (o *Observation) overlay(leader NodeConfig) {
	f := o.Following
	if f == nil || o.Err != nil || o.replicating() {
		return
	}
	c := Channel{Name: "engine", Source: leader.Address, Receiving: "Connecting", Applying: threadStopped}
	if f.Receiving {
		c.Receiving = threadRunning
	}
	known := o.Committed.Union(o.Applied).Contains(f.Applied) // else it has lost something since
	if f.Standby && o.Flavor == gtid.MariaDB {
		known = !o.Visible.IsEmpty()
	}
	if f.Applying && known {
		c.Applying, c.ReceiveError = threadRunning, f.Why
	} else {
		c.ApplyError = f.Why
	}
	o.Channels = []Channel{c}
	switch {
	case f.Standby && o.Flavor == gtid.MariaDB:
		o.Applied = o.Visible
	case f.Applying && known && !f.Applied.IsEmpty():
		o.Applied = f.Applied
	}
}
