package sandbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Account is a user of the sandbox's servers.
type Account struct{ User, Password string }

// Accounts that CreateAccounts makes, all from any host. root@localhost has no
// password and comes in through the node's socket only.
var (
	// ProxyAccount is Bellwether's own, with what ProxyGrants says.
	ProxyAccount = Account{"bellwether", "bellwether-secret"}
	// ReplicationAccount is the followers'.
	ReplicationAccount = Account{"repl", "repl-secret"}
	// EngineAccount is that of Bellwether's own replication; see CreateEngineAccount.
	EngineAccount = Account{"engine", "engine-secret"}
	// AppAccount is an application's: everything in the schema AppSchema.
	AppAccount = Account{"app", "app"}
	// AdminAccount may do everything.
	AdminAccount = Account{"admin", "admin"}
)

// Schemas that CreateAccounts makes.
const (
	AppSchema       = "shop"       // the application's
	HeartbeatSchema = "bellwether" // where Bellwether writes its heartbeat
)

// ProxyGrants returns the rights that Bellwether's own account needs on a server
// of this version, as GRANT statements for the account, written as in
// 'bellwether'@'%'. The documentation quotes them.
func ProxyGrants(f gtid.Flavor, version, account string) []string {
	var global []string
	if f == gtid.MariaDB {
		global = []string{
			"PROCESS",          // whose statement a KILL would end
			"BINLOG MONITOR",   // SHOW MASTER STATUS, binlog positions
			"SLAVE MONITOR",    // SHOW SLAVE STATUS
			"CONNECTION ADMIN", // end the statement of a client that went away
			"SHOW VIEW",        // which views there are; see ViewGrant
			"SHOW DATABASES",
		}
		if VersionAtLeast(version, 11, 3) {
			global = append(global, "SHOW CREATE ROUTINE")
		}
	} else {
		global = []string{
			"PROCESS",
			"REPLICATION CLIENT", // SHOW REPLICA STATUS, SHOW BINARY LOG STATUS
			"CONNECTION_ADMIN",
			"SHOW_ROUTINE", // bodies and data access of routines
			"SHOW VIEW",
			"SHOW DATABASES",
		}
	}
	grants := []string{
		fmt.Sprintf("GRANT %s ON *.* TO %s", strings.Join(global, ", "), account),
		fmt.Sprintf("GRANT SELECT ON mysql.* TO %s", account), // accounts, routines
		fmt.Sprintf("GRANT ALL PRIVILEGES ON `%s`.* TO %s", HeartbeatSchema, account),
	}
	if f == gtid.MySQL {
		grants = append(grants, fmt.Sprintf("GRANT SELECT ON performance_schema.* TO %s", account))
	}
	return grants
}

// SwitchoverGrants returns what Bellwether's account needs beside ProxyGrants to
// change the leader: read_only, and whom a node follows.
func SwitchoverGrants(f gtid.Flavor, account string) []string {
	global := "REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, RELOAD"
	if f == gtid.MariaDB {
		global = "REPLICATION SLAVE ADMIN, READ_ONLY ADMIN, RELOAD"
	}
	return []string{fmt.Sprintf("GRANT %s ON *.* TO %s", global, account)}
}

// FailoverGrants returns what Bellwether's account needs beside SwitchoverGrants to
// change the leader by itself: the mark on each node, written past the binlog, and
// semi-synchronous replication; and to undo what a returned leader wrote alone.
func FailoverGrants(f gtid.Flavor, account string) []string {
	global := "BINLOG_ADMIN"
	if f == gtid.MariaDB {
		global = "BINLOG ADMIN, BINLOG MONITOR, BINLOG REPLAY, REPLICATION MASTER ADMIN"
	}
	return []string{
		fmt.Sprintf("GRANT ALL PRIVILEGES ON `bellwether_node`.* TO %s", account),
		fmt.Sprintf("GRANT ALL PRIVILEGES ON `bellwether_copy`.* TO %s", account),
		fmt.Sprintf("GRANT %s ON *.* TO %s", global, account),
	}
}

// ViewGrant returns what Bellwether's account needs beside ProxyGrants to read
// the definitions of a schema's views, and so to know which functions they call.
// It is optional: both flavours hide a definition (an empty VIEW_DEFINITION)
// from who may not also read the view, and what is unknown goes to the leader.
func ViewGrant(schema, account string) string {
	return fmt.Sprintf("GRANT SELECT ON `%s`.* TO %s", schema, account)
}

// CreateAccounts makes the accounts and schemas above. On a leader it is
// written to the binlog, and so reaches the followers.
func CreateAccounts(ctx context.Context, db *sql.DB, f gtid.Flavor) error {
	version, err := serverVersion(ctx, db)
	if err != nil {
		return err
	}
	statements := []string{
		"CREATE DATABASE IF NOT EXISTS `" + AppSchema + "`",
		"CREATE DATABASE IF NOT EXISTS `" + HeartbeatSchema + "`",
	}
	for _, a := range []Account{ProxyAccount, ReplicationAccount, AppAccount, AdminAccount} {
		statements = append(statements, fmt.Sprintf("CREATE USER IF NOT EXISTS %s IDENTIFIED BY '%s'", a.at(), a.Password))
	}
	statements = append(statements, ProxyGrants(f, version, ProxyAccount.at())...)
	statements = append(statements,
		ViewGrant(AppSchema, ProxyAccount.at()),
		"GRANT REPLICATION SLAVE ON *.* TO "+ReplicationAccount.at(),
		"GRANT ALL PRIVILEGES ON `"+AppSchema+"`.* TO "+AppAccount.at(),
		"GRANT ALL PRIVILEGES ON *.* TO "+AdminAccount.at()+" WITH GRANT OPTION",
	)
	return execAll(ctx, db, statements...)
}

// CreateEngineAccount makes EngineAccount on one server.
func CreateEngineAccount(ctx context.Context, db *sql.DB) error {
	return execAll(ctx, db,
		fmt.Sprintf("CREATE USER IF NOT EXISTS %s IDENTIFIED BY '%s'", EngineAccount.at(), EngineAccount.Password),
		"GRANT ALL PRIVILEGES ON *.* TO "+EngineAccount.at()+" WITH GRANT OPTION")
}

func (a Account) at() string { return "'" + a.User + "'@'%'" }

func serverVersion(ctx context.Context, db *sql.DB) (string, error) {
	var v string
	if err := db.QueryRowContext(ctx, "SELECT @@version").Scan(&v); err != nil {
		return "", fmt.Errorf("ask the server's version: %w", err)
	}
	return v, nil
}

func execAll(ctx context.Context, db *sql.DB, statements ...string) error {
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
