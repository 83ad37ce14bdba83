package proxy

import (
	"context"
	"strconv"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// explainRoute answers EXPLAIN ROUTE: where the statement would go now, and why.
func (s *session) explainRoute(ctx context.Context, req *request, sql []byte, st *router.Statement) error {
	inner := append([]byte(nil), sql[st.Arg.Off:st.Arg.End]...)
	s.in.consume(len(req.bytes))
	of := router.Classify(inner, s.mode, s.srv.cfg.Routines())
	q := router.Query{SQL: inner, Mode: s.mode}
	d := s.decide(ctx, &q, &of, false)
	node, lag, why := "", "", ""
	if d.Node != nil {
		node = d.Node.Name
		if d.Target == router.TargetFollower && d.Node.Lag.Known {
			lag = strconv.FormatInt(d.Node.Lag.Behind.Milliseconds(), 10)
		}
	}
	if d.Reason == router.ReasonNoEligibleFollower {
		for _, n := range s.snapshot().Nodes {
			if n.Why != "" {
				why += n.Name + ": " + n.Why + "; "
			}
		}
	}
	cols := []string{"target", "node", "reason", "rule", "class", "lag_ms", "digest", "note", "consistency"}
	row := []string{
		d.Target.String(), node, d.Reason.String(), d.Rule, of.Class.String(), lag,
		router.FormatDigest(q.Digest()), why, d.Level.String(),
	}
	return s.reply(wire.AppendTextResult(nil, 1, cols, [][]string{row},
		wire.Status(s.status)&^wire.StatusSessionStateChange, s.caps))
}
