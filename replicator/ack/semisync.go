package ack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// ErrNoPlugin says that the server has no semi-synchronous replication.
var ErrNoPlugin = errors.New("the leader has no semi-synchronous replication: INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")

// forever is the longest that both flavours wait, in milliseconds: 49 days.
const forever = "4294967295"

// words are what a server calls its side, and the other one: MySQL before 8.0.26,
// and all of MariaDB, say master and slave.
type words struct{ source, replica string }

func (w words) name(what string) string { return "rpl_semi_sync_" + w.source + "_" + what }

// vocabulary finds out how the server speaks from its variables.
func vocabulary(vars map[string]string) (words, error) {
	for _, w := range []words{{"source", "replica"}, {"master", "slave"}} {
		if _, ok := vars[w.name("enabled")]; ok {
			return w, nil
		}
	}
	return words{}, ErrNoPlugin
}

type setting struct{ name, want string }

// wanted is how the leader must be set, enabled last: a leader that is enabled
// and not yet set otherwise would go on after its timeout.
func wanted(f gtid.Flavor, w words) []setting {
	out := []setting{{w.name("timeout"), forever}, {w.name("wait_point"), "AFTER_SYNC"}, {w.name("wait_no_" + w.replica), "ON"}}
	if f == gtid.MySQL {
		out = append(out, setting{w.name("wait_for_" + w.replica + "_count"), "1"})
	}
	return append(out, setting{w.name("enabled"), "ON"})
}

func read(ctx context.Context, s *node.Server, query string) (map[string]string, error) {
	rows, err := node.Rows(ctx, s.DB, query)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[strings.ToLower(r["Variable_name"])] = r["Value"]
	}
	return out, nil
}

const variables = "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'"

// enabled reports whether the server waits for acknowledgements.
func enabled(ctx context.Context, s *node.Server) (bool, error) {
	vars, err := read(ctx, s, variables)
	if err != nil {
		return false, err
	}
	w, err := vocabulary(vars)
	return strings.EqualFold(vars[w.name("enabled")], "ON"), err
}

// require sets the leader as wanted, and returns what had to be changed.
func require(ctx context.Context, s *node.Server) (changed []string, err error) {
	vars, err := read(ctx, s, variables)
	if err != nil {
		return nil, err
	}
	w, err := vocabulary(vars)
	if err != nil {
		return nil, err
	}
	for _, want := range wanted(s.Flavor, w) {
		if strings.EqualFold(vars[want.name], want.want) {
			continue
		}
		value := want.want
		if value == "AFTER_SYNC" {
			value = "'" + value + "'"
		}
		if err := node.Exec(ctx, s.DB, "SET GLOBAL "+want.name+"="+value); err != nil {
			return changed, err
		}
		changed = append(changed, fmt.Sprintf("%s was %s", want.name, vars[want.name]))
	}
	return changed, nil
}

// Disable ends that the server waits for acknowledgements, as one that follows
// must not: its applier would wait for ever. With ours it does so only where the
// waiting was set up by an Acker, and reports whether it was.
func Disable(ctx context.Context, s *node.Server, ours bool) (bool, error) {
	vars, err := read(ctx, s, variables)
	if err != nil {
		return false, err
	}
	w, err := vocabulary(vars)
	if errors.Is(err, ErrNoPlugin) || !strings.EqualFold(vars[w.name("enabled")], "ON") || ours && vars[w.name("timeout")] != forever {
		return false, nil
	}
	return true, node.Exec(ctx, s.DB, "SET GLOBAL "+w.name("enabled")+"=0")
}

// condition is what the leader says of its waiting.
type condition struct {
	on      bool   // it waits; without, it goes on by itself
	clients string // semi-synchronous replicas that are connected
	waiting string // sessions that wait
}

func look(ctx context.Context, s *node.Server) (condition, error) {
	got, err := read(ctx, s, "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'")
	if err != nil {
		return condition{}, err
	}
	for _, source := range []string{"source", "master"} {
		w := words{source: source}
		if on, ok := got[w.name("status")]; ok {
			return condition{strings.EqualFold(on, "ON"), got[w.name("clients")], got[w.name("wait_sessions")]}, nil
		}
	}
	return condition{}, ErrNoPlugin
}
