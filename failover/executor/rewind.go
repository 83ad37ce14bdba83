package executor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/rewind"
)

// rewind undoes what a node has of its own and was saved in a folder, and makes it stand where it
// and its leader part. The error is a *rewind.Inexact where nothing was changed, for the reason that
// it gives.
func (h *hands) rewind(ctx context.Context, q rescueRequest, saved string) error {
	path := filepath.Join(saved, "binlog")
	switch info, err := os.Stat(path); {
	case err != nil:
		return err
	case info.Size() > rewind.MaxBytes:
		return &rewind.Inexact{Why: "they are too many"}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	undo, err := rewind.Parse(file)
	if err != nil {
		return err
	}
	if err := h.rescue.last(ctx, q, saved); err != nil {
		return err
	}
	s := &node.Server{Name: q.server.name, Flavor: q.server.flavor, DB: q.server.pool}
	s.Version, _, _ = strings.Cut(q.node.Version, "-")
	return undo.Run(ctx, s, q.server.db, partedAt(q.node, q.leader))
}

// partedAt is where a node stood when it and its leader were the same, if all behind is its own.
func partedAt(n, leader *state) rewind.Position {
	if n.Flavor == gtid.MySQL {
		return rewind.Position{GTIDs: n.Executed.Subtract(divergent(n, leader))}
	}
	var pos, past []string
	for domain, f := range parted(n, leader) {
		pos = append(pos, fmt.Sprintf("%s-%d", f.writer, f.seq))
		var writers []fork
		for w, last := range n.Written {
			if both := min(last, leader.Written[w]); w.Domain == domain && both > 0 {
				writers = append(writers, fork{w, both})
			}
		}
		// The server takes the last of a domain for the one that wrote last.
		slices.SortFunc(writers, func(a, b fork) int { return cmp.Compare(a.seq, b.seq) })
		for _, w := range writers {
			past = append(past, fmt.Sprintf("%s-%d", w.writer, w.seq))
		}
	}
	set, err := gtid.Parse(gtid.MariaDB, strings.Join(pos, ","))
	if err != nil {
		return rewind.Position{GTIDs: n.Executed} // cannot be: it was written above
	}
	return rewind.Position{GTIDs: set, Past: strings.Join(past, ",")}
}

// last finds out that nothing is behind what was saved, in the node's binlog, but what was saved.
func (r *rescuer) last(ctx context.Context, q rescueRequest, saved string) error {
	text, err := os.ReadFile(filepath.Join(saved, "position"))
	if err != nil {
		return err
	}
	at := strings.LastIndexByte(string(text), ':')
	if at < 0 {
		return fmt.Errorf("%s: no position: %s", saved, text)
	}
	pos, err := strconv.ParseUint(string(text[at+1:]), 10, 32)
	if err != nil {
		return fmt.Errorf("%s: %w", saved, err)
	}
	file, end, err := q.server.binlogEnd(ctx)
	if err != nil {
		return err
	}
	begin := func(s *replication.BinlogSyncer) (*replication.BinlogStreamer, error) {
		return s.StartSync(mysql.Position{Name: string(text[:at]), Pos: uint32(pos)})
	}
	return r.stream(ctx, q.server, begin, func(name string, e *replication.BinlogEvent) (bool, error) {
		g, own, err := q.owns(e)
		switch {
		case err != nil:
			return false, err
		case g != "" && !own:
			return false, &rewind.Inexact{Why: g + ", which the leader has, came later"}
		}
		return name == file && e.Header.LogPos >= end, nil
	})
}

// owns tells the GTID with which an event begins a transaction, empty where it does not, and
// whether that is the node's own.
func (q *rescueRequest) owns(e *replication.BinlogEvent) (name string, own bool, err error) {
	switch ev := e.Event.(type) {
	case *replication.GTIDEvent:
		next, err := ev.GTIDNext()
		if err != nil {
			return "", false, fmt.Errorf("a GTID: %w", err)
		}
		set, err := gtid.Parse(gtid.MySQL, next.String())
		return next.String(), q.own.Contains(set), err
	case *replication.MariadbGTIDEvent:
		w := gtid.Writer{Domain: ev.GTID.DomainID, Server: ev.GTID.ServerID}
		return ev.GTID.String(), ev.GTID.SequenceNumber > q.leader.Written[w], nil
	}
	return "", false, nil
}
