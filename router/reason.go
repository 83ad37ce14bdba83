package router

// Reason says why a statement went where it went. Its String is stable: it is a
// label of metrics and the answer of EXPLAIN ROUTE.
type Reason uint8

// Reasons.
const (
	// ReasonNone is the zero value: nothing was decided.
	ReasonNone Reason = iota

	// ReasonRead is a plain read: any follower that is fresh enough may answer it.
	ReasonRead

	// Why a statement by itself must go to the leader.

	ReasonWrite              // changes rows
	ReasonDDL                // changes the schema
	ReasonAdmin              // administers this server: FLUSH, CHECK TABLE, INSTALL, CHANGE MASTER ...
	ReasonAccountAdmin       // changes accounts or rights
	ReasonSessionStatement   // changes the session: SET, USE ...
	ReasonTransaction        // BEGIN, COMMIT, ROLLBACK, SAVEPOINT, XA
	ReasonCall               // runs a procedure, or a block of statements
	ReasonPrepareSQL         // PREPARE, EXECUTE, DEALLOCATE: the prepared text lives on one connection
	ReasonLockTables         // LOCK TABLES, FLUSH TABLES WITH READ LOCK, BACKUP STAGE ...
	ReasonHandler            // HANDLER keeps a table open on one connection
	ReasonKill               // KILL
	ReasonLoadData           // LOAD DATA, LOAD XML
	ReasonMultiStatement     // more than one statement in the text
	ReasonExecutableComment  // holds /*! */ or /*M! */, which servers read differently
	ReasonForUpdate          // locks rows: FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE
	ReasonInto               // SELECT ... INTO OUTFILE, DUMPFILE or a variable
	ReasonProcedureAnalyse   // SELECT ... PROCEDURE
	ReasonUserVariable       // mentions @name: lives on the home connection
	ReasonSessionVariable    // mentions @@name: its value is the home connection's
	ReasonServerVariable     // mentions @@global.name, or a variable that each server has its own value of
	ReasonFoundRows          // SQL_CALC_FOUND_ROWS: FOUND_ROWS() follows
	ReasonConnectionFunction // LAST_INSERT_ID(), CONNECTION_ID(), USER() ...
	ReasonLockFunction       // GET_LOCK() and kin
	ReasonSequence           // takes or shows the next value of a sequence
	ReasonServerFunction     // a function whose answer is each server's own: VERSION(), LOAD_FILE() ...
	ReasonUnknownFunction    // a function that is not known to be harmless
	ReasonUnsafeRoutine      // a stored function that the catalogue knows, and does not know to be harmless
	ReasonUnsafeView         // a view whose definition is not a plain read
	ReasonServerSchema       // information_schema, performance_schema, mysql or sys
	ReasonSessionState       // SHOW of what the home connection has its own: WARNINGS, VARIABLES, STATUS ...
	ReasonServerState        // SHOW of what each server has its own: PROCESSLIST, GLOBAL STATUS, BINARY LOGS ...
	ReasonCharset            // text in a character set in which it cannot be split safely
	ReasonUnlexable          // not text that a server accepts, or that all would split alike
	ReasonUnknownStatement   // begins with a word that is not known
	ReasonEmpty              // no statement at all
	ReasonExplainRoute       // EXPLAIN ROUTE: answered by Bellwether
	ReasonOwn                // about Bellwether's own variables: answered by Bellwether

	// Why a read goes to the leader for the sake of its session.

	ReasonInTransaction // a transaction is open
	ReasonAutocommitOff // autocommit=0: any statement opens a transaction
	ReasonLockedTables  // LOCK TABLES is in force
	ReasonOpenCursor    // a cursor is open
	ReasonXA            // an XA transaction is under way
	ReasonTempTable     // the session has temporary tables, and the statement names tables
	ReasonHome          // the session wants everything at home, for a reason of its own

	// What the policy and the cluster did.

	ReasonLearnedWrite       // a follower refused a statement of this digest
	ReasonHint               // a hint chose the target
	ReasonRule               // a rule chose the target
	ReasonBadHint            // the hint could not be understood
	ReasonLostWrite          // the session's last write was lost with an earlier leader
	ReasonNoEligibleFollower // no follower was fresh and healthy enough
	ReasonFloor              // no follower has yet what the session wrote or read
	ReasonStrong             // consistency is strong
	ReasonReadOnlyTxn        // inside a READ ONLY transaction that is open on a follower

	// What the data path found out while it ran a statement.

	ReasonTooLarge       // too long to be read whole, so that it was not classified
	ReasonStateUnfit     // the session's state could not be brought to the follower
	ReasonFollowerFailed // the follower was lost, and no other could take the read
	ReasonRefused        // the follower refused to write
	ReasonDiagnostics    // asks about the statement before it, which ran there

	numReasons
)

var reasonNames = [numReasons]string{
	ReasonNone:               "none",
	ReasonRead:               "read",
	ReasonWrite:              "write",
	ReasonDDL:                "ddl",
	ReasonAdmin:              "admin",
	ReasonAccountAdmin:       "account_admin",
	ReasonSessionStatement:   "session_statement",
	ReasonTransaction:        "transaction",
	ReasonCall:               "call",
	ReasonPrepareSQL:         "prepare_sql",
	ReasonLockTables:         "lock_tables",
	ReasonHandler:            "handler",
	ReasonKill:               "kill",
	ReasonLoadData:           "load_data",
	ReasonMultiStatement:     "multi_statement",
	ReasonExecutableComment:  "executable_comment",
	ReasonForUpdate:          "for_update",
	ReasonInto:               "into",
	ReasonProcedureAnalyse:   "procedure_analyse",
	ReasonUserVariable:       "user_variable",
	ReasonSessionVariable:    "session_variable",
	ReasonServerVariable:     "server_variable",
	ReasonFoundRows:          "found_rows",
	ReasonConnectionFunction: "connection_function",
	ReasonLockFunction:       "lock_function",
	ReasonSequence:           "sequence",
	ReasonServerFunction:     "server_function",
	ReasonUnknownFunction:    "unknown_function",
	ReasonUnsafeRoutine:      "unsafe_routine",
	ReasonUnsafeView:         "unsafe_view",
	ReasonServerSchema:       "server_schema",
	ReasonServerState:        "server_state",
	ReasonSessionState:       "session_state",
	ReasonCharset:            "charset",
	ReasonUnlexable:          "unlexable",
	ReasonUnknownStatement:   "unknown_statement",
	ReasonEmpty:              "empty",
	ReasonExplainRoute:       "explain_route",
	ReasonOwn:                "own",
	ReasonInTransaction:      "in_transaction",
	ReasonAutocommitOff:      "autocommit_off",
	ReasonLockedTables:       "locked_tables",
	ReasonOpenCursor:         "open_cursor",
	ReasonXA:                 "xa",
	ReasonTempTable:          "temp_table",
	ReasonHome:               "home",
	ReasonLearnedWrite:       "learned_write",
	ReasonHint:               "hint",
	ReasonRule:               "rule",
	ReasonBadHint:            "bad_hint",
	ReasonLostWrite:          "lost_write",
	ReasonNoEligibleFollower: "no_eligible_follower",
	ReasonFloor:              "floor",
	ReasonStrong:             "strong",
	ReasonReadOnlyTxn:        "read_only_transaction",
	ReasonTooLarge:           "too_large",
	ReasonStateUnfit:         "state_unfit",
	ReasonFollowerFailed:     "follower_failed",
	ReasonRefused:            "refused",
	ReasonDiagnostics:        "diagnostics",
}

func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// NumReasons is how many reasons there are: a Reason is a valid index of an
// array of that length, for counters without a lock.
const NumReasons = int(numReasons)

// widenable says whether a hint or a rule may send a statement of this reason to
// a follower. Only what looks like a read and depends on nothing that lives on
// the home connection: at worst the read-only follower refuses it, and it runs
// on the leader after all.
func (r Reason) widenable() bool {
	switch r {
	case ReasonRead, ReasonUnknownFunction, ReasonUnsafeRoutine, ReasonUnsafeView,
		ReasonServerFunction, ReasonServerVariable, ReasonServerSchema, ReasonServerState,
		ReasonLearnedWrite:
		return true
	}
	return false
}
