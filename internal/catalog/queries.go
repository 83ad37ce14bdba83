package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/accounts"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/router"
)

// digest is how the server fingerprints rows: how many they are, and 64 bits of
// a hash of each, combined without regard to their order.
func digest(columns string) string {
	return "SELECT CONCAT(COUNT(*), ':', BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT_WS('/', " + columns +
		"), 256), 16), 16, 10) AS UNSIGNED)))"
}

// schemaRights fingerprints what, with the global rights and the roles, is fixed
// at a login: connections made before a change are of no use to later logins.
var schemaRights = digest("GRANTEE, TABLE_SCHEMA, PRIVILEGE_TYPE, IS_GRANTABLE") + " FROM information_schema.SCHEMA_PRIVILEGES"

const systemSchemas = "('sys', 'mysql', 'information_schema', 'performance_schema')"

func (r *reader) fingerprint(ctx context.Context, which int) (string, error) {
	maria := r.leader.flavor == gtid.MariaDB
	var queries []string
	switch which {
	case partAccounts:
		if maria {
			queries = []string{
				digest("Host, User, Priv") + " FROM mysql.global_priv",
				digest("Host, User, Role, Admin_option") + " FROM mysql.roles_mapping",
				schemaRights,
			}
			break
		}
		queries = []string{
			digest("Host, User, plugin, HEX(authentication_string), account_locked, password_expired, password_lifetime, password_last_changed, "+
				"ssl_type, HEX(ssl_cipher), HEX(x509_issuer), HEX(x509_subject), max_user_connections, HEX(User_attributes)") + " FROM mysql.user",
			digest("HOST, USER, DEFAULT_ROLE_HOST, DEFAULT_ROLE_USER") + " FROM mysql.default_roles",
			digest("FROM_HOST, FROM_USER, TO_HOST, TO_USER") + " FROM mysql.role_edges",
			digest("GRANTEE, PRIVILEGE_TYPE, IS_GRANTABLE") + " FROM information_schema.USER_PRIVILEGES",
			schemaRights,
		}
	case partRoutines:
		if maria {
			queries = []string{digest("db, name, type, sql_data_access, sql_mode, modified, HEX(body)") + " FROM mysql.proc"}
			break
		}
		queries = []string{digest("ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, SQL_DATA_ACCESS, SQL_MODE, LAST_ALTERED, HEX(ROUTINE_DEFINITION)") +
			" FROM information_schema.ROUTINES"}
	case partViews:
		queries = []string{digest("TABLE_SCHEMA, TABLE_NAME, HEX(VIEW_DEFINITION)") +
			" FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN " + systemSchemas}
	}
	var fp strings.Builder
	for _, q := range queries {
		var s string
		if err := r.db.QueryRowContext(ctx, q).Scan(&s); err != nil {
			return "", err
		}
		fp.WriteString(s + ";")
	}
	return fp.String(), nil
}

// each runs a query and calls f for each row after scanning it into dest.
func (r *reader) each(ctx context.Context, query string, f func(), dest ...any) error {
	rows, err := r.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		f()
	}
	return rows.Err()
}

func (r *reader) accounts(ctx context.Context) ([]accounts.Account, error) {
	if r.leader.flavor == gtid.MariaDB {
		return r.mariadbAccounts(ctx)
	}
	return r.mysqlAccounts(ctx)
}

func (r *reader) mariadbAccounts(ctx context.Context) ([]accounts.Account, error) {
	var out []accounts.Account
	var host, user, priv string
	var now, lifetime int64
	var bad error
	err := r.each(ctx, "SELECT Host, User, Priv, UNIX_TIMESTAMP(), @@default_password_lifetime FROM mysql.global_priv", func() {
		a, err := decodePriv(user, host, []byte(priv), time.Unix(now, 0), int(lifetime))
		if err != nil {
			bad = err
			return
		}
		out = append(out, a)
	}, &host, &user, &priv, &now, &lifetime)
	if err == nil && bad != nil && len(out) == 0 {
		err = bad // one broken row locks one account out, as in the server, not everybody
	}
	return out, err
}

// globalPriv is the JSON of mysql.global_priv.
type globalPriv struct {
	Plugin         string           `json:"plugin"`
	AuthString     string           `json:"authentication_string"`
	AuthOr         []globalPrivAuth `json:"auth_or"`
	Locked         bool             `json:"account_locked"`
	LastChanged    *int64           `json:"password_last_changed"`
	Lifetime       *int             `json:"password_lifetime"`
	SSLType        int              `json:"ssl_type"`
	SSLCipher      string           `json:"ssl_cipher"`
	X509Issuer     string           `json:"x509_issuer"`
	X509Subject    string           `json:"x509_subject"`
	MaxConnections int              `json:"max_user_connections"`
	DefaultRole    string           `json:"default_role"`
	IsRole         bool             `json:"is_role"`
}

type globalPrivAuth struct {
	Plugin     string `json:"plugin"`
	AuthString string `json:"authentication_string"`
}

// decodePriv reads a row of mysql.global_priv. Users without a plugin have
// mysql_native_password, as in the server.
func decodePriv(user, host string, priv []byte, now time.Time, defaultLifetime int) (accounts.Account, error) {
	var g globalPriv
	if err := json.Unmarshal(priv, &g); err != nil {
		return accounts.Account{}, fmt.Errorf("account '%s'@'%s': %w", user, host, err)
	}
	a := accounts.Account{
		User: user, Host: host, Plugin: g.Plugin, AuthString: g.AuthString, Locked: g.Locked,
		DefaultRole: g.DefaultRole, SSLCipher: g.SSLCipher, X509Issuer: g.X509Issuer, X509Subject: g.X509Subject,
		MaxConnections: g.MaxConnections, IsRole: g.IsRole,
	}
	if a.Plugin == "" {
		a.Plugin = "mysql_native_password"
	}
	if g.SSLType >= 0 && g.SSLType < len(sslTypes) {
		a.SSLType = sslTypes[g.SSLType]
	} else {
		a.SSLType = "SPECIFIED"
	}
	// The list is all ways in the server's order; an empty entry stands for the
	// one that the two fields outside hold.
	if len(g.AuthOr) > 0 {
		main := globalPrivAuth{a.Plugin, a.AuthString}
		for i, alt := range g.AuthOr {
			if alt.Plugin == "" {
				alt = main
			}
			if i == 0 {
				a.Plugin, a.AuthString = alt.Plugin, alt.AuthString
				continue
			}
			a.Alternatives = append(a.Alternatives, accounts.Credential{Plugin: alt.Plugin, AuthString: alt.AuthString})
		}
	}
	a.PasswordExpired = expired(g, now, defaultLifetime)
	return a, nil
}

var sslTypes = []string{"", "ANY", "X509", "SPECIFIED"}

func expired(g globalPriv, now time.Time, defaultLifetime int) bool {
	if g.LastChanged == nil {
		return false
	}
	if *g.LastChanged == 0 {
		return true // PASSWORD EXPIRE
	}
	days := defaultLifetime
	if g.Lifetime != nil && *g.Lifetime >= 0 {
		days = *g.Lifetime
	}
	return days > 0 && now.After(time.Unix(*g.LastChanged, 0).AddDate(0, 0, days))
}

func (r *reader) mysqlAccounts(ctx context.Context) ([]accounts.Account, error) {
	roles := map[string][]string{}
	var host, user, role string
	err := r.each(ctx, "SELECT HOST, USER, CONCAT('`', DEFAULT_ROLE_USER, '`@`', DEFAULT_ROLE_HOST, '`') FROM mysql.default_roles ORDER BY 3", func() {
		roles[user+"\x00"+host] = append(roles[user+"\x00"+host], role)
	}, &host, &user, &role)
	if err != nil {
		return nil, err
	}
	var out []accounts.Account
	var plugin, locked, isExpired, ssl string
	var auth, retained, cipher, issuer, subject []byte
	var limit int
	err = r.each(ctx, "SELECT Host, User, plugin, authentication_string, account_locked, "+
		"IF(password_expired = 'Y' OR COALESCE(password_lifetime, @@default_password_lifetime) > 0 AND "+
		"password_last_changed + INTERVAL COALESCE(password_lifetime, @@default_password_lifetime) DAY < NOW(), 'Y', 'N'), "+
		"ssl_type, ssl_cipher, x509_issuer, x509_subject, max_user_connections, "+
		"User_attributes->>'$.additional_password' FROM mysql.user", func() {
		out = append(out, accounts.Account{
			User: user, Host: host, Plugin: plugin, AuthString: string(auth), RetainedAuthString: string(retained),
			Locked: locked == "Y", PasswordExpired: isExpired == "Y", SSLType: ssl, SSLCipher: string(cipher),
			X509Issuer: string(issuer), X509Subject: string(subject), MaxConnections: limit,
			DefaultRole: strings.Join(roles[user+"\x00"+host], ", "),
		})
	}, &host, &user, &plugin, &auth, &locked, &isExpired, &ssl, &cipher, &issuer, &subject, &limit, &retained)
	return out, err
}

// routines returns the stored functions and procedures. A body that was written
// under a sql_mode in which it reads differently is left out, which makes the
// routine unknown.
func (r *reader) routines(ctx context.Context) ([]router.Routine, error) {
	var out []router.Routine
	var packages []string
	var schema, name, kind, access, mode string
	var body sql.NullString
	err := r.each(ctx, "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, SQL_DATA_ACCESS, SQL_MODE, ROUTINE_DEFINITION "+
		"FROM information_schema.ROUTINES", func() {
		switch strings.ToUpper(kind) {
		case "PACKAGE", "PACKAGE BODY":
			packages = append(packages, strings.ToLower(name))
			return
		}
		rt := router.Routine{Schema: schema, Name: name, Function: strings.EqualFold(kind, "FUNCTION"), DataAccess: access, Body: body.String}
		if readsDifferently(mode) {
			rt.Body, rt.DataAccess = "", ""
		}
		out = append(out, rt)
	}, &schema, &name, &kind, &access, &mode, &body)
	// What looks like schema.function may be package.function: nothing is known
	// of those, and so of none in a schema that is called like a package.
	for i := range out {
		if slices.Contains(packages, strings.ToLower(out[i].Schema)) {
			out[i].Body, out[i].DataAccess = "", ""
		}
	}
	return out, err
}

func readsDifferently(mode string) bool {
	for m := range strings.SplitSeq(strings.ToUpper(mode), ",") {
		switch m {
		case "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ORACLE", "ANSI", "DB2", "MAXDB", "MSSQL", "POSTGRESQL":
			return true
		}
	}
	return false
}

func (r *reader) readViews(ctx context.Context) ([]router.View, error) {
	var out []router.View
	var schema, name string
	var definition sql.NullString
	err := r.each(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN "+systemSchemas, func() {
		out = append(out, router.View{Schema: schema, Name: name, Definition: definition.String})
	}, &schema, &name, &definition)
	return out, err
}
