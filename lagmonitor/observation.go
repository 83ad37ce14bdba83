package lagmonitor

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Observation is what one probe of one node saw.
type Observation struct {
	Node     string
	Sent     time.Time // on the proxy's clock, as is Received
	Received time.Time

	// Err is why the probe failed; then nothing below holds. Gone says that
	// certainly nobody listens there, Refused that the server is alive but would
	// not answer (too many connections, access denied).
	Err     error
	Gone    bool
	Refused bool

	Flavor   gtid.Flavor
	Version  string
	ServerID uint64
	UUID     string // empty on MariaDB
	ReadOnly bool
	GTID     bool      // transactions have GTIDs: the positions tell everything
	Clock    time.Time // the server's own, UTC, read between Sent and Received

	// Committed is what the node has as a leader, Applied what it has as a
	// follower. They are the same on MySQL. On MariaDB a follower's own, errant
	// transactions are in Committed and would make it look further than it is.
	Committed gtid.Set
	Applied   gtid.Set
	// Bound contains all that could be seen on the node until Sent.
	Bound gtid.Set

	Channels  []Channel
	Following *Following // by the engine, as it was before the node was asked; nil: not
	// Visible is what readers certainly see where another Bellwether replicates to a MariaDB
	// node: Applied may be ahead of that.
	Visible gtid.Set
	// Beats is the heartbeat rows that are visible there: when, on the clock of
	// the leader that wrote it, by the leader's server id.
	Beats map[uint64]time.Time
}

// Channel is one replication connection that a node has been given, running or not.
type Channel struct {
	Name       string
	Source     string // host:port, as the node was told
	SourceID   uint64 // server id; 0 until the node has been connected
	SourceUUID string // MySQL only

	Receiving string // Yes, No, Connecting, Preparing: the receiver's state in the server's word
	Applying  string // Yes or No

	ReceiveError string
	ApplyError   string
	Delay        time.Duration // configured (MASTER_DELAY, SOURCE_DELAY)
}

const (
	threadRunning = "Yes"
	threadStopped = "No"
)

// running reports whether either thread does something or tries to.
func (c *Channel) running() bool {
	return c.Receiving != threadStopped || c.Applying != threadStopped
}

// replicating reports whether the node takes changes from anywhere.
func (o *Observation) replicating() bool {
	for i := range o.Channels {
		if o.Channels[i].running() {
			return true
		}
	}
	return false
}

// parseChannel reads a row of SHOW REPLICA STATUS, SHOW SLAVE STATUS or SHOW ALL
// SLAVES STATUS. ok is false for channels that are not replication from another
// node in our sense, such as group replication's own.
func parseChannel(row map[string]string) (c Channel, ok bool) {
	get := func(names ...string) string {
		for _, n := range names {
			if v, ok := row[n]; ok {
				return v
			}
		}
		return ""
	}
	c = Channel{
		Name:         get("Channel_Name", "Connection_name"),
		Source:       net.JoinHostPort(get("Source_Host", "Master_Host"), get("Source_Port", "Master_Port")),
		SourceUUID:   strings.ToLower(get("Source_UUID", "Master_UUID")),
		Receiving:    get("Replica_IO_Running", "Slave_IO_Running"),
		Applying:     get("Replica_SQL_Running", "Slave_SQL_Running"),
		ReceiveError: get("Last_IO_Error"),
		ApplyError:   get("Last_SQL_Error"),
	}
	c.SourceID, _ = strconv.ParseUint(get("Source_Server_Id", "Master_Server_Id"), 10, 64)
	if s, err := strconv.ParseUint(get("SQL_Delay"), 10, 31); err == nil {
		c.Delay = time.Duration(s) * time.Second
	}
	return c, !strings.HasPrefix(c.Name, "group_replication")
}

// identity is the row that identifyQuery returns.
type identity struct {
	serverID, readOnly, version, logBin, gtidMode, uuid, committed, applied string
	clock                                                                   int64 // microseconds since 1970
}

func (id *identity) into(o *Observation) error {
	var err error
	if o.ServerID, err = strconv.ParseUint(id.serverID, 10, 64); err != nil {
		return fmt.Errorf("server_id: %w", err)
	}
	o.Version, o.UUID = id.version, strings.ToLower(id.uuid)
	o.ReadOnly = !isOff(id.readOnly)
	o.Clock = time.UnixMicro(id.clock).UTC()
	o.GTID = !isOff(id.logBin) && (o.Flavor == gtid.MariaDB || strings.HasPrefix(id.gtidMode, "ON"))
	if o.Committed, err = gtid.Parse(o.Flavor, id.committed); err != nil {
		return err
	}
	if o.Applied, err = gtid.Parse(o.Flavor, id.applied); err != nil {
		return err
	}
	// The mode has what the server owns behind it: that was asked for before the rest.
	_, owned, _ := strings.Cut(id.gtidMode, " ")
	if o.Bound, err = upperBound(o.Flavor, owned, id.committed); err != nil {
		return err
	}
	if o.Flavor == gtid.MariaDB && len(id.applied) > 0 {
		o.GTID = true // a follower without a binlog of its own still knows what it applied
	}
	return nil
}

// isOff: MariaDB 12 has more than two values for read_only, and all others refuse
// some writes.
func isOff(v string) bool { return v == "0" || strings.EqualFold(v, "OFF") }

// flavorOf tells the flavour by @@version.
func flavorOf(version string) gtid.Flavor {
	if strings.Contains(strings.ToLower(version), "mariadb") {
		return gtid.MariaDB
	}
	return gtid.MySQL
}

// oldReplicaWords reports whether a MySQL server knows SHOW SLAVE STATUS only:
// before 8.0.22.
func oldReplicaWords(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	return major < 8 || major == 8 && minor == 0 && patch < 22
}
