package initial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/tabledef"
)

// systemNames are the tables of the schema mysql that hold accounts, roles,
// rights and servers, in both flavours. They are copied as they are: no
// statement shows all that they hold.
var systemNames = []string{
	"user", "global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv", "roles_mapping",
	"role_edges", "default_roles", "global_grants", "password_history", "servers",
}

// systemTable is such a table with its rows. They are few, and must be read
// while nothing changes, as MariaDB's know no snapshots.
type systemTable struct {
	table *tabledef.Table
	rows  [][]byte // each as a tuple of literals
	users map[string]bool
}

func (p *Plan) readSystem(ctx context.Context, lock *sql.Conn) ([]systemTable, error) {
	tables, err := tabledef.ReadSystem(ctx, p.Leader, lock, systemNames)
	if err != nil {
		return nil, err
	}
	if err := node.Exec(ctx, lock, p.readerSession(p.Leader)[:4]...); err != nil {
		return nil, err
	}
	var out []systemTable
	for _, t := range tables {
		t.Key = nil // in whatever order
		st := systemTable{table: t, users: make(map[string]bool)}
		err := eachRow(ctx, lock, t.SelectRange(tabledef.Range{}), func(row []value) error {
			st.rows = append(st.rows, appendTuple(nil, t, row))
			if user, host := column(t, row, "User"), column(t, row, "Host"); host != "" {
				st.users[user+"@"+host] = true
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t, err)
		}
		out = append(out, st)
	}
	return out, nil
}

func column(t *tabledef.Table, row []value, name string) string {
	i := slices.IndexFunc(t.Columns, func(c tabledef.Column) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return ""
	}
	b, _ := row[i].([]byte)
	return string(b)
}

// restoreSystem replaces the follower's accounts and rights by the leader's. The
// account by which we came in stays where the leader does not know it.
func (p *Plan) restoreSystem(ctx context.Context, system []systemTable) error {
	c, err := p.writer(ctx, rowSession()...)
	if err != nil {
		return err
	}
	defer mysqlconn.Discard(c)
	var me string
	if err := c.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&me); err != nil {
		return err
	}
	at := strings.LastIndexByte(me, '@')
	if at < 0 {
		return errors.New("the follower does not tell who we are: " + me)
	}
	keep := ""
	if !accountsOf(system)[me] {
		keep = fmt.Sprintf(" WHERE NOT (`User`='%s' AND `Host`='%s')", escape(me[:at]), escape(me[at+1:]))
		p.log().Warn("the leader has no such account, so the follower's stays", "account", me)
	}
	for _, st := range system {
		statements := []string{"DELETE FROM " + st.table.FullName()}
		if len(st.users) > 0 || keep != "" && hasUser(st.table) {
			statements[0] += keep
		}
		for _, row := range st.rows {
			statements = append(statements, st.table.InsertHead()+string(row))
		}
		if err := node.Exec(ctx, c, statements...); err != nil {
			return fmt.Errorf("restore %s: %w", st.table, err)
		}
	}
	return node.Exec(ctx, c, "FLUSH PRIVILEGES")
}

func hasUser(t *tabledef.Table) bool {
	return slices.ContainsFunc(t.Columns, func(c tabledef.Column) bool { return strings.EqualFold(c.Name, "user") })
}

func accountsOf(system []systemTable) map[string]bool {
	for _, st := range system {
		if st.table.Name == "user" || st.table.Name == "global_priv" {
			return st.users
		}
	}
	return nil
}

func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''")
}
