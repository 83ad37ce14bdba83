package executor

import (
	"context"
	"os"
	"os/exec"
	"strconv"

	"github.com/bellwetherdb/bellwether/failover"
)

// runHook runs the operator's program. For the event "fence" it says by success that
// the node is certainly off; without a program nobody says so.
func (l *Loop) runHook(ctx context.Context, a *failover.Action) failover.Done {
	if l.cfg.Hook == "" {
		return failover.Done{Err: "there is no hook"}
	}
	cmd := exec.CommandContext(ctx, l.cfg.Hook, a.Event, a.Node)
	cmd.Env = append(os.Environ(), "BELLWETHER_EVENT="+a.Event, "BELLWETHER_NODE="+a.Node, "BELLWETHER_FROM="+a.From,
		"BELLWETHER_ADDRESS="+l.address(a.Node), "BELLWETHER_EPOCH="+strconv.FormatUint(a.Epoch, 10))
	out, err := cmd.CombinedOutput()
	const most = 1000
	if len(out) > most {
		out = out[:most]
	}
	l.log.Info("hook", "event", a.Event, "node", a.Node, "output", string(out), "err", err)
	if err != nil {
		return failover.Done{Err: "hook: " + err.Error()}
	}
	return failover.Done{}
}

func (l *Loop) address(node string) string {
	for _, t := range l.cfg.Targets {
		if t.Name == node {
			return t.Address
		}
	}
	return ""
}
