package router

// Class is what kind of thing a statement does.
type Class uint8

// Classes. Only ClassRead may be answered by a follower without being told to.
const (
	ClassOther   Class = iota // not understood, or administration; leader
	ClassRead                 // provably a plain read
	ClassHome                 // looks like a read, but belongs to the leader or to the home connection
	ClassWrite                // changes data, schema or accounts
	ClassSession              // changes the state of the session: SET, USE, PREPARE, LOCK TABLES ...
	ClassTxn                  // begins, ends or structures a transaction
)

var classNames = [...]string{"other", "read", "home", "write", "session", "transaction"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// Verb is the statement's kind by its leading words.
type Verb uint8

// Verbs.
const (
	VerbUnknown Verb = iota
	VerbEmpty        // nothing but space, comments and semicolons
	VerbSelect       // SELECT, WITH, VALUES, TABLE, parenthesised too
	VerbShow
	VerbDescribe // DESCRIBE t, EXPLAIN t
	VerbExplain  // EXPLAIN or ANALYZE of a statement
	VerbExplainRoute
	VerbInsert
	VerbUpdate
	VerbDelete
	VerbReplace
	VerbLoadData
	VerbLoadLocal // LOAD DATA LOCAL, LOAD XML LOCAL
	VerbCreate
	VerbAlter
	VerbDrop
	VerbRename
	VerbTruncate
	VerbOtherDDL
	VerbSet
	VerbSetTransaction
	VerbSetPassword
	VerbSetRole
	VerbSetStatement // MariaDB: SET STATEMENT ... FOR
	VerbUse
	VerbBegin // BEGIN, START TRANSACTION
	VerbStartReadOnly
	VerbCommit
	VerbRollback
	VerbSavepoint // SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO
	VerbXA
	VerbCall
	VerbDo
	VerbPrepare
	VerbExecute // EXECUTE, EXECUTE IMMEDIATE
	VerbDeallocate
	VerbLockTables
	VerbUnlockTables
	VerbHandler
	VerbKill
	VerbFlush
	VerbGrant
	VerbRevoke
	VerbAccountAdmin // CREATE USER, DROP ROLE ...
	VerbCompound     // MariaDB: BEGIN NOT ATOMIC, IF, WHILE ... outside a routine
	VerbHelp
	VerbAdmin // all other administration

	numVerbs
)

var verbNames = [numVerbs]string{
	"unknown", "empty", "select", "show", "describe", "explain", "explain_route",
	"insert", "update", "delete", "replace", "load_data", "load_local",
	"create", "alter", "drop", "rename", "truncate", "other_ddl",
	"set", "set_transaction", "set_password", "set_role", "set_statement", "use",
	"begin", "start_read_only", "commit", "rollback", "savepoint", "xa",
	"call", "do", "prepare", "execute", "deallocate", "lock_tables", "unlock_tables",
	"handler", "kill", "flush", "grant", "revoke", "account_admin", "compound", "help", "admin",
}

func (v Verb) String() string {
	if v < numVerbs {
		return verbNames[v]
	}
	return "unknown"
}

// Span is a range of bytes of the text that was classified: text[Off:End].
type Span struct{ Off, End int }

// Statement is what Classify found out about a text.
type Statement struct {
	Class  Class
	Reason Reason // ReasonRead for a plain read, else why it is the leader's
	Verb   Verb   // of the first statement where there are more

	Multi bool // more than one statement in the text
	// Opaque: what it does cannot be seen in the text (CALL, EXECUTE, a stored
	// function, an executable comment, a compound block). The server's session
	// trackers tell; failing them expect any state to have changed.
	Opaque bool
	// UsesHome: reads something that lives on the home connection only.
	UsesHome bool
	// UserVars: mentions a user variable, which it may also set.
	UserVars bool
	// MayChangeSession: can change state that later statements see: SET, USE,
	// PREPARE, LOCK TABLES, GET_LOCK(), HANDLER, and everything Multi or Opaque.
	MayChangeSession bool
	// ReadsTables: names tables, which could be temporary ones of the session.
	ReadsTables bool
	// CreatesTempTable: holds CREATE TEMPORARY TABLE in whatever spelling.
	CreatesTempTable bool
	// DropsTable: holds DROP TABLE. See TempTables for what is left then.
	DropsTable bool
	// AcquiresLock: holds GET_LOCK(), LOCK TABLES, FLUSH TABLES WITH READ LOCK,
	// BACKUP STAGE, LOCK INSTANCE or HANDLER ... OPEN: the connection is tied to
	// the session until it lets go.
	AcquiresLock bool
	// ReleasesLock: holds RELEASE_LOCK(), RELEASE_ALL_LOCKS(), UNLOCK TABLES.
	ReleasesLock bool
	// UsesPrepareSQL: PREPARE, EXECUTE or DEALLOCATE as statements.
	UsesPrepareSQL bool
	// SetsAutocommit: a SET that names autocommit.
	SetsAutocommit bool
	// AccountAdmin: changes accounts or rights, so that they should be read anew.
	AccountAdmin bool
	// Chain: COMMIT or ROLLBACK with AND CHAIN; Release: with RELEASE.
	Chain, Release bool

	// KillOther is set when the operand of KILL is not a plain decimal number
	// (KILL USER u, KILL QUERY ID n, an expression). Otherwise KillID is the
	// number, and KillSpan where it stands in the text.
	KillOther bool
	KillQuery bool // KILL QUERY: the statement only, not the connection
	KillSoft  bool // MariaDB: KILL SOFT
	KillID    uint64
	KillSpan  Span

	// Arg is the inner statement of EXPLAIN ROUTE, without a trailing semicolon.
	Arg Span

	Hint Hint
}

// IsRead says whether a follower may answer the statement without being told to.
func (s *Statement) IsRead() bool { return s.Class == ClassRead }
