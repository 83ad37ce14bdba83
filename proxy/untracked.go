package proxy

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// The trackers do not tell everything. MariaDB (10.11 and 11.8) says nothing of
// SET @@name = value, though it does of SET name, SET SESSION name and SET
// @@session.name. And no server tells the collation that SET NAMES ... COLLATE
// chose. So what statements name in that way is asked for after they ran.

// asks are the variables that are asked for: those that a read's answer can depend
// on. To ask for another would leave an error in the session's diagnostics where
// it is a global one.
var asks = map[string]bool{
	"sql_mode": true, "time_zone": true, "character_set_client": true, "character_set_connection": true,
	"character_set_results": true, "collation_connection": true, "collation_database": true, "lc_time_names": true,
	"group_concat_max_len": true, "div_precision_increment": true, "sql_select_limit": true, "default_week_format": true,
	"sql_auto_is_null": true, "max_sort_length": true, "old_mode": true, "sql_safe_updates": true, "sql_big_selects": true,
	"max_join_size": true, "sql_quote_show_create": true, "optimizer_switch": true, "max_statement_time": true,
	"max_execution_time": true, "max_error_count": true, "sql_notes": true, "transaction_isolation": true, "tx_isolation": true,
	"timestamp": true, "system_versioning_asof": true, "windowing_use_high_precision": true,
	"internal_tmp_mem_storage_engine": true, "show_create_table_verbosity": true, "column_compression_threshold": true,
}

// mention remembers a variable that was named as @@name.
func (s *session) mention(name string) {
	if !asks[name] {
		return
	}
	if s.asked == nil {
		s.asked = make(map[string]bool)
	}
	s.asked[name] = true
}

// ask brings up to date what a statement may have changed without a tracker
// telling.
func (s *session) ask(b *backend, sql []byte, st *router.Statement) error {
	if st.Class == router.ClassRead || !(st.Verb == router.VerbSet || st.Opaque || st.Multi || st.UsesPrepareSQL) {
		return nil
	}
	if err := errors.Join(s.askTracked(b, sql, st), s.askReported(b, st)); err != nil {
		return err
	}
	for name := range router.VariablesNamed(sql) {
		s.mention(name)
	}
	if st.Opaque {
		for _, name := range s.srv.cfg.Routines().Assigns() {
			s.mention(name)
		}
	}
	for name := range s.asked {
		if stays[name] {
			continue
		}
		value, err := s.variable(b, name)
		if err != nil {
			return err
		}
		if value != nil && !s.state.has(name, *value) {
			s.state.set(name, *value)
			s.note(name, *value)
		}
	}
	if !containsFold(sql, "collate") {
		return nil
	}
	collation, err := s.variable(b, "collation_connection")
	if err != nil || collation == nil {
		return err
	}
	s.state.set("collation_connection", *collation)
	charset, _, _ := bytes.Cut([]byte(*collation), []byte("_"))
	if s.state.has("character_set_results", string(charset)) && s.state.has("character_set_client", string(charset)) {
		s.state.set(namesVariable, *collation)
	}
	return nil
}

// trackedVariable lists what the server tells of.
const trackedVariable = "session_track_system_variables"

// askTracked asks whether a statement narrowed what the server tells of, for the
// server stops telling in that very statement. What else changed in it, where it may
// have changed more, is not known: then the session reads at home from now on.
func (s *session) askTracked(b *backend, sql []byte, st *router.Statement) error {
	if !s.narrows && !containsFold(sql, trackedVariable) && !(st.Opaque && slices.Contains(s.srv.cfg.Routines().Assigns(), trackedVariable)) {
		return nil
	}
	s.narrows = true // it may have been put into a text that runs later
	value, err := s.variable(b, trackedVariable)
	if err != nil || value == nil || *value == "*" {
		return err
	}
	s.tracked.parse(*value)
	if alone := st.Verb == router.VerbSet && !st.Multi && bytes.Count(sql, []byte("=")) == 1; !alone {
		s.state.fixed = trackedVariable
	}
	return s.trackAgain(b)
}

// askReported asks for the variables that a server reported as changed while it ran
// something of which only parts can be seen: MariaDB tells what SET STATEMENT sets,
// but not that it is as before when the statement is over.
func (s *session) askReported(b *backend, st *router.Statement) error {
	if !st.Opaque || s.state.version == s.stateBefore {
		return nil
	}
	for _, x := range slices.Clone(s.state.vars) {
		if x.version <= s.stateBefore || x.name == namesVariable || strings.HasPrefix(x.name, "character_set_") {
			continue
		}
		value, err := s.variable(b, x.name)
		if err != nil {
			return err
		}
		if value != nil && *value != x.value {
			s.state.set(x.name, *value)
			s.note(x.name, *value)
		}
	}
	return nil
}

// trackAgain lets the server tell of everything again, and asks for the schema,
// which may have changed in between.
func (s *session) trackAgain(b *backend) error {
	if _, err := b.command(wire.ComQuery, b.setUpSQL(s.mariadb())); err != nil {
		return err
	}
	schema, err := b.queryText("SELECT COALESCE(DATABASE(), '')")
	if err != nil {
		return err
	}
	if schema != s.state.schema {
		s.state.use(schema)
		b.schema = schema
		s.publish()
	}
	return nil
}

// askHome is ask for the home connection; its failure loses the session's state.
func (s *session) askHome(sql []byte, st *router.Statement) error {
	if s.home == nil {
		return nil
	}
	if err := s.ask(s.home, sql, st); err != nil {
		return s.lostHome(err, &answer{forwarded: true}, fateUnknown)
	}
	return nil
}

// variable asks the home connection for a session variable; nil where there is
// none of that name.
func (s *session) variable(b *backend, name string) (*string, error) {
	s.busy.Store(b)
	defer s.busy.Store(nil)
	value, err := b.queryText("SELECT @@session." + name)
	var refused *wire.Err
	switch {
	case errors.As(err, &refused):
		return nil, nil //nolint:nilnil // no such variable is an answer
	case err != nil:
		return nil, err
	}
	return &value, nil
}

// learnReset learns the character sets that a reset left the session with: the
// server's own, not those of the login that a follower's connection begins with.
func (s *session) learnReset() error {
	answer, err := s.home.queryText(askCharsets)
	if err != nil {
		return err
	}
	values, err := charsetValues(answer)
	if err != nil {
		return err
	}
	for i, value := range values {
		if value == "NULL" {
			value = "" // as the trackers say it
		}
		s.state.set(charsetVariables[i], value)
		s.note(charsetVariables[i], value)
	}
	if _, ok := oneCharset(values); ok {
		s.state.set(namesVariable, values[2])
	}
	return nil
}
