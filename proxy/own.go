package proxy

import (
	"context"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// Bellwether's own variables, which no server knows. docs/consistency.md.
const (
	ownConsistency = "bellwether_consistency"
	ownToken       = "bellwether_token"
	ownTrackToken  = "bellwether_track_token"
)

// ownNames are all of them, in the order of SHOW VARIABLES.
var ownNames = []string{ownConsistency, ownToken, ownTrackToken}

// ownStatement says whether a statement is about Bellwether's own variables.
func (s *session) ownStatement(sql []byte, st *router.Statement) *router.Own {
	if st.Multi || !st.MayBeOwn(sql) {
		return nil
	}
	if o := router.ParseOwn(sql, s.mode); o.Kind != router.OwnNone {
		return &o
	}
	return nil
}

// own answers a statement about Bellwether's own variables, as rows of the binary
// protocol where it was prepared. No server sees it.
func (s *session) own(ctx context.Context, o *router.Own, binary bool) error {
	s.srv.metrics.count(router.TargetNone, router.ReasonOwn)
	if e := s.newReign(ctx); e != nil {
		return s.fail(e.Code, e.State, e.Message)
	}
	if o.Kind == router.OwnSet {
		if e := s.ownSet(ctx, o); e != nil {
			return s.fail(e.Code, e.State, e.Message)
		}
		return s.ok()
	}
	cols, rows, e := s.ownRows(ctx, o)
	if e != nil {
		return s.fail(e.Code, e.State, e.Message)
	}
	status := wire.Status(s.status) &^ wire.StatusSessionStateChange
	if binary {
		return s.reply(wire.AppendBinaryResult(nil, 1, cols, rows, status, s.caps))
	}
	return s.reply(wire.AppendTextResult(nil, 1, cols, rows, status, s.caps))
}

// ownRows are the answer to a SELECT or SHOW.
func (s *session) ownRows(ctx context.Context, o *router.Own) (cols []string, rows [][]string, _ *wire.Err) {
	switch o.Kind {
	case router.OwnSelect:
		row := make([]string, 0, len(o.Items))
		for _, i := range o.Items {
			value, e := s.ownValue(ctx, i.Name)
			if e != nil {
				return nil, nil, e
			}
			if i.Global {
				return nil, nil, wire.NewErr(erIncorrectGlobalLocalVar, "Variable '%s' is a SESSION variable", i.Name)
			}
			cols, row = append(cols, i.Title), append(row, value)
		}
		return cols, [][]string{row}, nil
	case router.OwnShow:
		for _, name := range ownNames {
			if !router.Like(o.Pattern, name) {
				continue
			}
			value, e := s.ownValue(ctx, name)
			if e != nil {
				return nil, nil, e
			}
			if name == ownTrackToken { // as servers show switches
				value = map[string]string{"0": "OFF", "1": "ON"}[value]
			}
			rows = append(rows, []string{name, value})
		}
		return []string{"Variable_name", "Value"}, rows, nil
	}
	return nil, nil, wire.NewErr(wire.ErNotSupportedYet, "Bellwether: %s", o.Err)
}

// ownValue is the value of one variable.
func (s *session) ownValue(ctx context.Context, name string) (string, *wire.Err) {
	switch name {
	case ownConsistency:
		if s.view.Level != router.LevelNone {
			return s.view.Level.String(), nil
		}
		return s.srv.settings.Load().Policy.Consistency().String(), nil
	case ownTrackToken:
		if s.trackToken {
			return "1", nil
		}
		return "0", nil
	case ownToken:
		text, err := s.token(ctx)
		if err != nil {
			return "", wire.NewErr(erConnHost, "Bellwether: there is no token without the leader's position: %s", err)
		}
		return text, nil
	}
	return "", wire.NewErr(wire.ErUnknownSystemVariable, "Unknown system variable '%s'", name)
}

// ownSet sets variables: all of them or, where one cannot be, none.
func (s *session) ownSet(ctx context.Context, o *router.Own) *wire.Err {
	level, tok, track := s.view.Level, "", s.trackToken
	for i := range o.Items {
		item := &o.Items[i]
		switch {
		case !slices.Contains(ownNames, item.Name):
			return wire.NewErr(wire.ErUnknownSystemVariable, "Unknown system variable '%s'", item.Name)
		case item.Global:
			return wire.NewErr(erLocalVariable, "Variable '%s' is a SESSION variable and can't be used with SET GLOBAL", item.Name)
		case item.Name == ownToken && !item.Default:
			tok = strings.TrimSpace(item.Value)
		case item.Name == ownToken:
		case item.Name == ownTrackToken:
			on, known := parseSwitch(item.Value)
			if item.Default {
				on, known = false, true
			}
			if !known {
				return wire.NewErr(wire.ErWrongValueForVar, "Variable '%s' can't be set to the value of '%.80s'", item.Name, item.Value)
			}
			if on && s.caps&wire.ClientSessionTrack == 0 {
				return wire.NewErr(wire.ErNotSupportedYet, "Bellwether: this client takes no session tracking, so that it cannot be told of tokens")
			}
			track = on
		case item.Default:
			level = router.LevelNone
		default:
			l, known := router.ParseLevel(item.Value)
			if !known {
				return wire.NewErr(wire.ErWrongValueForVar, "Variable '%s' can't be set to the value of '%.80s'", item.Name, item.Value)
			}
			level = l
		}
	}
	if tok != "" {
		if e := s.take(ctx, tok); e != nil {
			return e
		}
		if s.effective(level) < router.LevelSession {
			level = router.LevelCausal // whoever takes a token wants to see what it stands for
		}
	}
	s.view.Level, s.trackToken = level, track
	return nil
}

// parseSwitch reads a boolean as the servers' SET does.
func parseSwitch(text string) (on, known bool) {
	switch strings.ToLower(text) {
	case "1", "on", "true":
		return true, true
	case "0", "off", "false":
		return false, true
	}
	return false, false
}

// effective is the level of a session that was SET to l.
func (s *session) effective(l router.Level) router.Level {
	if l == router.LevelNone {
		return s.srv.settings.Load().Policy.Consistency()
	}
	return l
}

// prepareOwn prepares a statement about Bellwether's own variables.
func (s *session) prepareOwn(o *router.Own) error {
	if o.Kind == router.OwnBad {
		return s.fail(wire.ErNotSupportedYet, "42000", "Bellwether: "+o.Err)
	}
	p := &statement{id: s.stmts.lastID + 1, own: o}
	if s.stmts.byID == nil {
		s.stmts.byID = make(map[uint32]*statement)
	}
	s.stmts.byID[p.id], s.stmts.lastID = p, p.id
	var cols []string
	switch o.Kind {
	case router.OwnSelect:
		for _, i := range o.Items {
			cols = append(cols, i.Title)
		}
	case router.OwnShow:
		cols = []string{"Variable_name", "Value"}
	}
	return s.reply(wire.AppendPrepared(nil, 1, p.id, cols, wire.Status(s.status)&^wire.StatusSessionStateChange, s.caps))
}

// onOwn answers what may be asked about such a statement beside its execution.
func (s *session) onOwn(cmd wire.Command, req *request) error {
	if err := s.skip(req); err != nil {
		return err
	}
	switch cmd {
	case wire.ComStmtReset:
		return s.ok()
	case wire.ComStmtSendLongData:
		return nil // it has no answer
	}
	return s.fail(wire.ErNotSupportedYet, "42000", "Bellwether: a statement about Bellwether's variables has no cursor and takes no parameters")
}
