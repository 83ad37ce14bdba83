package admin

import (
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// TopologyView is the answer of /v1/topology.
type TopologyView struct {
	Seq    uint64     `json:"seq"`    // grows with every change
	Epoch  uint64     `json:"epoch"`  // grows with every change of leader
	Flavor string     `json:"flavor"` // mariadb | mysql
	Leader *string    `json:"leader"` // name of the node that takes writes; null when unknown
	Nodes  []NodeView `json:"nodes"`  // in the order of the configuration
	// Acknowledgement of the leader's transactions by the engine; not there where the
	// leader does not wait for followers.
	Acknowledgement *AckView `json:"acknowledgement,omitempty"`
}

// AckView is how transactions are acknowledged to the leader (replication.acks).
type AckView struct {
	State          string   `json:"state"`          // acknowledging | standby (another proxy does) | waiting
	Why            string   `json:"why"`            // of the latter two
	InSync         []string `json:"in_sync"`        // names of the followers in the in-sync set
	Insufficient   bool     `json:"insufficient"`   // fewer are in sync than the configuration asks for
	Unacknowledged int      `json:"unacknowledged"` // transactions
}

// VerificationView is the answer of /v1/replication/verify: the latest comparison of the followers
// with the leader, or the one under way.
type VerificationView struct {
	Configured  bool       `json:"configured"` // this proxy compares (replication.verify)
	BeganAt     *time.Time `json:"began_at"`   // null before the first one
	EndedAt     *time.Time `json:"ended_at"`   // null while it goes on
	Followers   []string   `json:"followers"`
	Tables      int        `json:"tables"`
	TablesDone  int        `json:"tables_done"`
	Rows        uint64     `json:"rows"`        // of the leader, compared so far
	Different   int        `json:"different"`   // rows and tables, in the latest that ended
	Differences []string   `json:"differences"` // the first hundred of them
	Error       string     `json:"error,omitempty"`
}

// NodeView is one node.
type NodeView struct {
	Name        string   `json:"name"`
	Address     string   `json:"address"`
	Role        string   `json:"role"`     // leader | follower | unknown
	State       string   `json:"state"`    // up | down | broken | draining | unknown
	Eligible    bool     `json:"eligible"` // serves reads
	Why         string   `json:"why"`      // why not; empty when eligible
	LagMS       *float64 `json:"lag_ms"`   // behind the leader, in milliseconds; null when unknown
	LagTx       *uint64  `json:"lag_tx"`   // transactions not yet applied; null when unknown
	LagAgeMS    *float64 `json:"lag_age_ms"`
	Position    string   `json:"position"` // GTIDs applied
	Weight      int      `json:"weight"`
	Zone        string   `json:"zone"`
	Outstanding int64    `json:"outstanding"` // statements being executed for clients
	Connections int64    `json:"connections"` // open, idle ones included
	Version     string   `json:"version"`
	ServerID    uint64   `json:"server_id"`
	UUID        string   `json:"uuid"`                  // empty on MariaDB
	Replication string   `json:"replication,omitempty"` // what the engine does with it; not in native mode
}

// StatsView is the answer of /v1/stats. All counters are of this process.
type StatsView struct {
	StartedAt  time.Time     `json:"started_at"`
	Sessions   int           `json:"sessions"`   // connected now
	Statements uint64        `json:"statements"` // of clients, since the start
	Nodes      []NodeStats   `json:"nodes"`
	Reasons    []ReasonStats `json:"reasons"` // why statements went where they went
}

// NodeStats counts the work of one node.
type NodeStats struct {
	Name       string `json:"name"`
	Statements uint64 `json:"statements"` // since the start
}

// ReasonStats counts statements by target and reason.
type ReasonStats struct {
	Target string `json:"target"` // leader | follower
	Reason string `json:"reason"` // as EXPLAIN ROUTE gives it
	Count  uint64 `json:"count"`
}

// ConfigView is the answer of /v1/config.
type ConfigView struct {
	Effective   any       `json:"effective"` // the keys of the file, defaults included, secrets redacted
	File        string    `json:"file"`
	Hash        string    `json:"hash"`
	LoadedAt    time.Time `json:"loaded_at"`
	LastError   string    `json:"last_error"` // why the last reload was rejected; empty when it was not
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	Reloads     uint64    `json:"reloads"`
	Rejected    uint64    `json:"rejected"`
}

// SessionsView is the answer of /v1/sessions.
type SessionsView struct {
	Total    int           `json:"total"`    // connected now
	Sessions []SessionInfo `json:"sessions"` // at most the limit that was asked for
}

// SessionInfo is one client session.
type SessionInfo struct {
	ID     uint64    `json:"id"` // as the client sees it (CONNECTION_ID)
	User   string    `json:"user"`
	Client string    `json:"client"` // address
	Schema string    `json:"schema"`
	State  string    `json:"state"` // authenticating | idle | query | transaction ...
	Node   string    `json:"node"`  // that executes now, or else the pinned follower; may be empty
	Since  time.Time `json:"since"` // connected
}

// DigestsView is the answer of /v1/digests.
type DigestsView struct {
	Total   int          `json:"total"` // kept
	Digests []DigestInfo `json:"digests"`
}

// DigestInfo is the statistics of statements that differ in literals only.
type DigestInfo struct {
	Digest   string  `json:"digest"`
	Text     string  `json:"text"` // normalised, without literals
	Count    uint64  `json:"count"`
	Errors   uint64  `json:"errors"`
	TotalMS  float64 `json:"total_ms"` // time of all of them
	MaxMS    float64 `json:"max_ms"`
	Leader   uint64  `json:"leader"`   // how many the leader executed
	Follower uint64  `json:"follower"` // how many followers executed
	Reason   string  `json:"reason"`   // of the last one
}

// VersionView is the answer of /v1/version.
type VersionView struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// viewTopology turns a snapshot into its JSON form at the moment now.
func viewTopology(s *topology.Snapshot, now time.Time) TopologyView {
	v := TopologyView{Seq: s.Seq, Epoch: s.Epoch, Flavor: s.Flavor.String(), Nodes: make([]NodeView, 0, len(s.Nodes))}
	if s.Leader != nil {
		v.Leader = &s.Leader.Name
	}
	for _, n := range s.Nodes {
		v.Nodes = append(v.Nodes, viewNode(n, now))
	}
	return v
}

func viewNode(n *topology.Node, now time.Time) NodeView {
	v := NodeView{
		Name: n.Name, Address: n.Address, Role: n.Role.String(), State: n.State.String(),
		Eligible: n.Eligible, Why: n.Why, Position: n.Position.String(), Weight: n.Weight, Zone: n.Zone,
		Version: n.Version, ServerID: n.ServerID, UUID: n.UUID, Replication: n.Replication,
	}
	if n.Lag.Known {
		behind, age := milliseconds(n.Lag.Behind), milliseconds(max(now.Sub(n.Lag.Measured), 0))
		v.LagMS, v.LagTx, v.LagAgeMS = &behind, &n.Lag.Tx, &age
	}
	if n.Load != nil {
		v.Outstanding, v.Connections = n.Load.Outstanding.Load(), n.Load.Connections.Load()
	}
	return v
}

// milliseconds has microseconds behind the point, and no more.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
