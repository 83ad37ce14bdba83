package rewind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// Position is where a server stands once it has been rewound, as node.Server.ResetPosition takes it.
type Position struct {
	GTIDs gtid.Set
	Past  string
}

// Run undoes transactions on a server that is read-only and follows nobody, and makes it stand at
// to: its binlog begins anew there. All is done over conn, which is left as it was found. The error
// is *Inexact where nothing was changed because it would not have been exact, or because the server
// refuses to; after any other the server may bear the mark of half a copy.
func (u *Undo) Run(ctx context.Context, s *node.Server, conn node.Querier, to Position) error {
	if err := u.check(ctx, s, conn); err != nil {
		return refusal(err)
	}
	if err := s.SetReadOnly(ctx, false); err != nil { // super_read_only would keep us out too
		return refusal(err)
	}
	// What may not be marked is known before anything is changed.
	try := slices.Concat([]string{"SET SESSION sql_log_bin=0, SESSION sql_mode=''"}, tabledef.MarkCopy, []string{tabledef.UnmarkCopy})
	if err := node.Exec(ctx, conn, try...); err != nil {
		return refusal(err)
	}
	if err := u.undo(ctx, s, conn); err != nil {
		clean := node.Exec(context.WithoutCancel(ctx), conn, "ROLLBACK", "SET SESSION autocommit=1, SESSION sql_log_bin=1")
		return errors.Join(refusal(err), clean)
	}
	// From here to the end the server's position is not that of its rows. Who dies before the mark
	// is there leaves a server that still tells of the transactions: to undo them again fails, or
	// changes nothing.
	if err := node.Exec(ctx, conn, tabledef.MarkCopy...); err != nil {
		return err
	}
	if err := s.ResetPosition(ctx, conn, to.GTIDs, to.Past); err != nil {
		return err
	}
	at, err := s.Applied(ctx, conn)
	if err != nil {
		return err
	}
	if !at.Equal(to.GTIDs) {
		return fmt.Errorf("%s stands at %s and not at %s: something else writes there", s.Name, at, to.GTIDs)
	}
	return node.Exec(ctx, conn, tabledef.UnmarkCopy, "SET SESSION sql_log_bin=1")
}

// refusal makes what a server says no to one reason not to rewind it.
func refusal(err error) error {
	if _, _, refused := mysqlconn.ServerError(err); refused {
		return inexact("%s", mysqlconn.Describe(err))
	}
	return err
}

// undo runs all steps in one transaction.
func (u *Undo) undo(ctx context.Context, s *node.Server, conn node.Querier) error {
	begin := []string{"BINLOG '" + u.format + "'", "SET SESSION autocommit=0"}
	if !s.IsMariaDB() {
		begin = append(begin, "SET SESSION gtid_next='AUTOMATIC'") // else 1782: who gives a format replays transactions that have no GTID
	}
	if err := node.Exec(ctx, conn, begin...); err != nil {
		return err
	}
	for _, step := range u.steps {
		if err := node.Exec(ctx, conn, "BINLOG '"+step+"'"); err != nil {
			return err
		}
	}
	return node.Exec(ctx, conn, "COMMIT", "SET SESSION autocommit=1")
}

// check finds out whether the server's tables are such that the steps undo all.
func (u *Undo) check(ctx context.Context, s *node.Server, conn node.Querier) error {
	text, err := s.Var(ctx, "max_allowed_packet")
	if err != nil {
		return err
	}
	most, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("max_allowed_packet of %s: %w", s.Name, err)
	}
	for _, step := range u.steps {
		if len(step)+64 > most {
			return inexact("rows are longer than max_allowed_packet, %d bytes", most)
		}
	}
	if s.IsMariaDB() {
		if run, err := s.Var(ctx, "slave_run_triggers_for_rbr"); err != nil || run != "NO" {
			return errors.Join(err, inexact("slave_run_triggers_for_rbr is %s", run))
		}
	}
	for t, c := range u.tables {
		if err := checkTable(ctx, conn, t, c); err != nil {
			return err
		}
	}
	return u.checkForeign(ctx, s, conn)
}

// checkTable finds out whether a table can roll back, and is as the rows say.
func checkTable(ctx context.Context, conn node.Querier, t table, c cares) error {
	rows, err := node.Rows(ctx, conn, "SELECT ENGINE AS engine, TABLE_TYPE AS kind, (SELECT COUNT(*) FROM information_schema.COLUMNS c WHERE"+
		" c.TABLE_SCHEMA=t.TABLE_SCHEMA AND c.TABLE_NAME=t.TABLE_NAME) AS width FROM information_schema.TABLES t WHERE TABLE_SCHEMA=? AND TABLE_NAME=?", t.schema, t.name)
	switch {
	case err != nil:
		return err
	case len(rows) != 1:
		return inexact("%s cannot be seen", t)
	case rows[0]["engine"] != "InnoDB" || rows[0]["kind"] != "BASE TABLE":
		return inexact("%s is a %s of engine %s", t, rows[0]["kind"], rows[0]["engine"])
	case rows[0]["width"] != strconv.Itoa(c.columns):
		return inexact("%s has %s columns, its rows have %d", t, rows[0]["width"], c.columns)
	default:
		return nil
	}
}

// cascades are the bits of InnoDB's foreign keys that change rows of the other table: on delete
// and on update, cascade and set null.
const cascades = 1 | 2 | 4 | 8

// checkForeign refuses tables to whose rows others are bound by InnoDB itself. InnoDB writes names
// as files have them: one with other letters may be any.
func (u *Undo) checkForeign(ctx context.Context, s *node.Server, conn node.Querier) error {
	from := "INNODB_FOREIGN"
	if s.IsMariaDB() {
		from = "INNODB_SYS_FOREIGN"
	}
	names, err := node.Strings(ctx, conn, fmt.Sprintf("SELECT REF_NAME FROM information_schema.%s WHERE TYPE & %d", from, cascades))
	if err != nil {
		return err
	}
	for t, c := range u.tables {
		if !c.foreign {
			continue
		}
		for _, name := range names {
			if strings.EqualFold(name, t.schema+"/"+t.name) || strings.Contains(name, "@") || !plain(t.schema+t.name) {
				return inexact("a foreign key with a cascade refers to %s, and what that did is written down nowhere", t)
			}
		}
	}
	return nil
}

// plain reports whether InnoDB writes a name as it is.
func plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
