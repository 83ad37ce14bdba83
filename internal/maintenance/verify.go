package maintenance

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/verify"
)

// VerifyOptions say what to compare.
type VerifyOptions struct {
	Followers []string      // names; none: all but the leader
	ChunkRows uint64        // rows that are compared at a time, about; 0: 20,000
	Pause     time.Duration // between two comparisons, to go gently
	Progress  io.Writer     // for people, about once a second; nil: none
}

// Verify compares followers with the leader, row by row where they differ. That
// they differ is no error, but in the result.
func Verify(ctx context.Context, a *Access, o VerifyOptions) (*verify.Result, error) {
	leader, l, err := a.leader(ctx, 4+len(a.Config.Cluster.Nodes), "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	followers, err := a.followers(leader, o.Followers)
	if err != nil {
		return nil, err
	}
	v := verify.Options{Leader: l, ChunkRows: o.ChunkRows, Pause: o.Pause, Progress: verifyProgress(o.Progress)}
	for _, n := range followers {
		f, err := a.open(ctx, n, 4)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		v.Followers = append(v.Followers, f)
	}
	return verify.Run(ctx, v)
}

func verifyProgress(w io.Writer) func(verify.Progress) {
	if w == nil {
		return nil
	}
	var last time.Time
	return func(p verify.Progress) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			fmt.Fprintf(w, "%d of %d tables, %d rows, %d differences; now %s\n", p.TablesDone, p.Tables, p.Rows, p.Differences, p.Table)
		}
	}
}

// sameFlavor says why two servers cannot follow each other, empty where they can.
func sameFlavor(l, f *node.Server) string {
	if l.Flavor != f.Flavor {
		return fmt.Sprintf("%s is %s, and %s is %s", l.Name, l.Flavor, f.Name, f.Flavor)
	}
	return ""
}
