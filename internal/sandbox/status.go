package sandbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// ReplicaStatus returns the one row of SHOW REPLICA STATUS by column, with the
// names that the server gives (MariaDB: Slave_IO_Running; MySQL:
// Replica_IO_Running). It is empty on a server that follows nobody.
func ReplicaStatus(ctx context.Context, db *sql.DB, f gtid.Flavor) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SHOW "+replicaWord(f)+" STATUS")
	if err != nil {
		return nil, fmt.Errorf("show replica status: %w", err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(columns))
	if !rows.Next() {
		return out, rows.Err()
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	for i, c := range columns {
		out[c] = values[i].String
	}
	return out, rows.Err()
}

// Replicating reports whether both threads of a follower run.
func Replicating(ctx context.Context, db *sql.DB, f gtid.Flavor) (receiving, applying bool, err error) {
	status, err := ReplicaStatus(ctx, db, f)
	word := "Replica"
	if f == gtid.MariaDB {
		word = "Slave"
	}
	return status[word+"_IO_Running"] == "Yes", status[word+"_SQL_Running"] == "Yes", err
}

// replicationError says, for people, what a follower's status says of errors.
func replicationError(db *sql.DB, f gtid.Flavor) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	status, err := ReplicaStatus(ctx, db, f)
	if err != nil {
		return err
	}
	var parts []string
	for _, key := range []string{
		"Slave_IO_Running", "Slave_SQL_Running", "Replica_IO_Running", "Replica_SQL_Running",
		"Last_IO_Error", "Last_SQL_Error",
	} {
		if status[key] != "" {
			parts = append(parts, key+": "+status[key])
		}
	}
	return fmt.Errorf("the follower's status: %s", strings.Join(parts, "; "))
}
