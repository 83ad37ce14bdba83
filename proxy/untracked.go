package proxy

import (
	"bytes"
	"errors"

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

// askHome is ask for the home connection; its failure loses the session's state.
func (s *session) askHome(sql []byte, st *router.Statement) error {
	if s.home == nil {
		return nil
	}
	if err := s.ask(s.home, sql, st); err != nil {
		return s.lostHome(err, true)
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
