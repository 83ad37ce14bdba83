package replicator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// survey is what a follower and its leader are, as far as it decides what to do.
type survey struct {
	repair     bool     // somebody asked for it, and gives up what the follower has of its own
	halfCopied bool     // a copy to it was begun and not finished
	empty      bool     // no tables of users
	ours       bool     // an engine has owned it before
	native     bool     // it replicates by itself
	unplaced   bool     // it has no GTID position at all
	purged     bool     // the leader no longer has what it lacks
	foreign    string   // transactions that it has and the leader has not
	forked     string   // where its history and the leader's part, though the numbers do not tell
	unfit      []string // settings of either that make it impossible
}

// action is what is done with a follower.
type action uint8

const (
	actStream   action = iota
	actCopy            // to a server that has nothing
	actRepair          // copy, using what is there
	actTakeOver        // from the server's own replication; then survey again
	actStop
)

// decide says what to do with a follower, and why where it is to stop.
func decide(s *survey) (action, string) {
	switch {
	case len(s.unfit) > 0:
		return actStop, strings.Join(s.unfit, "; ")
	case s.repair, s.halfCopied:
		return actRepair, ""
	case s.native && s.foreign == "" && s.forked == "":
		return actTakeOver, ""
	case s.empty && !s.ours && !s.native:
		return actCopy, "" // whatever its position: accounts that were made there
	case s.foreign != "":
		return actStop, "it has transactions that the leader lacks: " + s.foreign
	case s.forked != "":
		return actStop, "it has other transactions than the leader under the same GTIDs: " + s.forked
	case s.unplaced && !s.empty && !s.ours:
		return actStop, "it has data, and no GTID position that says of when they are; empty it, and it will be copied"
	case s.purged && s.ours:
		return actRepair, ""
	case s.purged:
		return actStop, "the leader's binlog no longer has what it lacks, and its data was not put there by Bellwether; empty it, and it will be copied"
	}
	return actStream, ""
}

// foreignTo returns what a follower has committed and the leader has not, in the
// servers' own form; both states are gtid_executed (MySQL) or gtid_binlog_state
// (MariaDB), the follower's having been read first. A position would not do for
// MariaDB: it shows only the last writer of a domain.
func foreignTo(f gtid.Flavor, leader, follower string) (string, error) {
	if f == gtid.MySQL {
		l, err := gtid.Parse(f, leader)
		if err != nil {
			return "", err
		}
		o, err := gtid.Parse(f, follower)
		if err != nil {
			return "", err
		}
		return o.Subtract(l).String(), nil
	}
	has, err := gtid.ParseBinlogState(leader)
	if err != nil {
		return "", err
	}
	own, err := gtid.ParseBinlogState(follower)
	if err != nil {
		return "", err
	}
	var out []string
	for w, seq := range own {
		if seq > has[w] {
			out = append(out, fmt.Sprintf("%s-%d", w, seq))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ","), nil
}
