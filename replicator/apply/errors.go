package apply

import (
	"errors"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

// StopError says that a follower cannot go on: a transaction cannot be applied
// there, or not faithfully. Trying again will not help.
type StopError struct {
	GTID       binlog.GTID
	Divergence bool // the follower's rows are not what the leader's were
	Err        error
}

func (e *StopError) Error() string {
	if e.Divergence {
		return fmt.Sprintf("transaction %s: the follower's rows differ from the leader's: %v", e.GTID, e.Err)
	}
	return fmt.Sprintf("transaction %s cannot be applied: %v", e.GTID, e.Err)
}

func (e *StopError) Unwrap() error { return e.Err }

// Codes that the servers give to rows that should be there, or should not.
const (
	erDupEntry       = 1062
	erKeyNotFound    = 1032
	erNoReferenced   = 1452
	erRowReferenced  = 1451
	erRecordChanged  = 1020
	erXARBDeadlock   = 1614
	erXARBTimeout    = 1613
	erNewAborting    = 1184
	erNormalShutdown = 1077
	erWrongValue     = 1231
)

// verdict is what an error of the follower means.
type verdict uint8

const (
	verdictLost    verdict = iota // nothing is known: connect again
	verdictAgain                  // it was rolled back for the sake of others
	verdictStop                   // the follower refuses it
	verdictDiverge                // it does not fit the follower's rows
)

// isGuard reports whether it was the guard that refused a transaction.
func isGuard(err error) bool {
	var e *wire.Err
	return errors.As(err, &e) && e.Code == erWrongValue
}

func judge(err error) verdict {
	var e *wire.Err
	if !errors.As(err, &e) {
		return verdictLost
	}
	switch e.Code {
	case wire.ErLockDeadlock, wire.ErLockWaitTimeout, erXARBDeadlock, erXARBTimeout, erRecordChanged:
		return verdictAgain
	case wire.ErServerShutdown, erNormalShutdown, wire.ErQueryInterrupted, wire.ErMariaDBConnectionKilled, erNewAborting,
		wire.ErAbortingConnection, wire.ErMySQLClientInteractionTmo, wire.ErNetRead, wire.ErNetReadInterrupted:
		return verdictLost
	case erDupEntry, erKeyNotFound, erNoReferenced, erRowReferenced:
		return verdictDiverge
	}
	return verdictStop
}
