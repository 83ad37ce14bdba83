package catalog

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Variables are the leader's, as far as the proxy needs them. It is immutable.
type Variables struct {
	Version             string // @@version
	VersionComment      string
	Charset             string // @@character_set_server
	Collation           string // @@collation_server
	CollationID         int    // its id, for the greeting; 0 where it could not be read
	MaxAllowedPacket    int64
	DefaultAuthPlugin   string // MySQL; mysql_native_password for MariaDB
	LowerCaseTableNames int
	InitConnect         string
	SQLMode             string // global
	SkipNameResolve     bool
	WaitTimeout         time.Duration
	InteractiveTimeout  time.Duration
	// SessionTrack holds the global values of the session_track_* variables.
	SessionTrack map[string]string
	// All holds the global value of every variable that was asked for, by its
	// lower-case name.
	All map[string]string
}

func (v *Variables) equal(o *Variables) bool {
	return v.CollationID == o.CollationID && maps.Equal(v.All, o.All)
}

// asked for with one SHOW GLOBAL VARIABLES. What a server does not have is left out.
const wantedVariables = `'version', 'version_comment', 'character_set_server', 'collation_server', 'max_allowed_packet',
	'default_authentication_plugin', 'authentication_policy', 'lower_case_table_names', 'init_connect', 'sql_mode',
	'skip_name_resolve', 'wait_timeout', 'interactive_timeout', 'autocommit', 'transaction_isolation', 'tx_isolation',
	'transaction_read_only', 'tx_read_only', 'time_zone', 'system_time_zone', 'max_connections', 'character_set_collations'`

func (r *reader) variables(ctx context.Context) (*Variables, error) {
	all := map[string]string{}
	var name, value string
	err := r.each(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ("+wantedVariables+") OR Variable_name LIKE 'session\\_track\\_%'", func() {
		all[strings.ToLower(name)] = value
	}, &name, &value)
	if err != nil {
		return nil, err
	}
	v := newVariables(r.leader.flavor, all)
	if v.CollationID, err = r.collationID(ctx, v.Collation); err != nil {
		return nil, err
	}
	return v, nil
}

func newVariables(f gtid.Flavor, all map[string]string) *Variables {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(all[name], 10, 64)
		return n
	}
	v := &Variables{
		Version: all["version"], VersionComment: all["version_comment"],
		Charset: all["character_set_server"], Collation: all["collation_server"],
		MaxAllowedPacket: number("max_allowed_packet"), LowerCaseTableNames: int(number("lower_case_table_names")),
		InitConnect: all["init_connect"], SQLMode: all["sql_mode"],
		SkipNameResolve: strings.EqualFold(all["skip_name_resolve"], "ON"),
		WaitTimeout:     time.Duration(number("wait_timeout")) * time.Second, InteractiveTimeout: time.Duration(number("interactive_timeout")) * time.Second,
		SessionTrack: map[string]string{}, All: all,
	}
	for name, value := range all {
		if strings.HasPrefix(name, "session_track_") {
			v.SessionTrack[name] = value
		}
	}
	v.DefaultAuthPlugin = defaultPlugin(f, all)
	return v
}

// defaultPlugin: MySQL 8.4 and later have authentication_policy only, whose
// first factor may be "*" or "*:plugin".
func defaultPlugin(f gtid.Flavor, all map[string]string) string {
	if f == gtid.MariaDB {
		return "mysql_native_password"
	}
	if p := all["default_authentication_plugin"]; p != "" {
		return p
	}
	first, _, _ := strings.Cut(all["authentication_policy"], ",")
	if _, p, ok := strings.Cut(first, ":"); ok && p != "" {
		return strings.TrimSpace(p)
	}
	if p := strings.TrimSpace(first); p != "" && p != "*" {
		return p
	}
	return "caching_sha2_password"
}

// collationID asks for the number of a collation. MariaDB's newest collations
// have one for each character set, which only the second view knows.
func (r *reader) collationID(ctx context.Context, name string) (int, error) {
	if r.collation.name == name {
		return r.collation.id, nil
	}
	id, got := 0, 0
	set := func() { id = got }
	err := r.each(ctx, "SELECT ID FROM information_schema.COLLATIONS WHERE ID IS NOT NULL AND COLLATION_NAME = "+quote(name), set, &got)
	if err == nil && id == 0 && r.leader.flavor == gtid.MariaDB {
		err = r.each(ctx, "SELECT ID FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE FULL_COLLATION_NAME = "+quote(name), set, &got)
	}
	if err != nil {
		return 0, err
	}
	r.collation.name, r.collation.id = name, id
	return id, nil
}

func quote(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'" }
