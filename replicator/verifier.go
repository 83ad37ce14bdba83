package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
	"github.com/bellwetherdb/bellwether/replicator/verify"
)

// VerifyConfig says how often all followers are compared with the leader, and how gently.
type VerifyConfig struct {
	Interval time.Duration // from the end of one comparison to the next; 0: never
	Pause    time.Duration // after each range
}

// Verification is the latest comparison, or the one under way.
type Verification struct {
	Began, Ended time.Time // Ended is zero while it goes on
	Followers    []string  // that were compared
	Progress     verify.Progress
	Differences  []string // of the latest that ended, at most maxTold
	Different    int      // how many rows and tables that are
	Err          string   // why the latest that ended could not compare; empty: it could
}

const (
	firstVerify = time.Minute // after the start, where the interval is longer
	maxTold     = 100
)

// verifier compares the followers that this Engine owns with the leader, once in a while.
type verifier struct {
	task
	engine *Engine
	leader NodeConfig
	log    *slog.Logger

	mu  sync.Mutex
	now Verification
}

func (v *verifier) loop(ctx context.Context) {
	for wait := min(v.cfg.Verify.Interval, firstVerify); sleep(ctx, wait); {
		res, err := v.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNobody) {
			continue
		}
		if wait = v.cfg.Verify.Interval; err != nil {
			wait = min(wait, firstVerify)
		}
		v.end(res, err)
	}
}

// errNobody says that there is nothing to compare.
var errNobody = errors.New("nobody follows")

// once compares all followers that follow now.
func (v *verifier) once(ctx context.Context) (*verify.Result, error) {
	o := verify.Options{Pause: v.cfg.Verify.Pause, Progress: v.progress}
	var names []string
	defer func() {
		for _, s := range append(o.Followers, o.Leader) {
			if s != nil {
				_ = s.Close()
			}
		}
	}()
	var err error
	if o.Leader, err = node.Open(ctx, v.leader.Name, v.cfg.reach(v.leader, "bellwether verify"), 4+len(v.cfg.Nodes)); err != nil {
		return nil, fmt.Errorf("the leader: %w", err)
	}
	for _, n := range v.cfg.Nodes {
		if s, ok := v.engine.Status(n.Name); !ok || s.State != StateStreaming {
			continue
		}
		f, err := node.Open(ctx, n.Name, v.cfg.reach(n, "bellwether verify"), 4)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		o.Followers, names = append(o.Followers, f), append(names, n.Name)
	}
	if len(names) == 0 {
		return nil, errNobody
	}
	v.mu.Lock()
	v.now.Began, v.now.Ended, v.now.Followers, v.now.Progress = time.Now(), time.Time{}, names, verify.Progress{}
	v.mu.Unlock()
	return verify.Run(ctx, o)
}

func (v *verifier) progress(p verify.Progress) {
	v.mu.Lock()
	v.now.Progress = p
	v.mu.Unlock()
}

// end tells what was found.
func (v *verifier) end(res *verify.Result, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now.Ended, v.now.Err = time.Now(), ""
	if err != nil {
		v.now.Err = mysqlconn.Describe(err)
		v.log.Warn("the followers could not be compared with the leader", "error", v.now.Err)
		return
	}
	v.now.Differences, v.now.Different = nil, len(res.Differences)
	per := map[string]int{}
	for _, d := range res.Differences {
		per[d.Follower]++
		if len(v.now.Differences) < maxTold {
			v.now.Differences = append(v.now.Differences, d.String())
			v.log.Error("a follower differs from the leader", "node", d.Follower, "what", d.String())
		}
	}
	for _, name := range v.now.Followers {
		v.engine.met.differences.WithLabelValues(name).Set(float64(per[name]))
	}
	v.engine.met.verified.SetToCurrentTime()
	v.log.Info("the followers have been compared with the leader", "followers", v.now.Followers, "tables", res.Tables, "rows", res.Rows,
		"differences", v.now.Different, "took", v.now.Ended.Sub(v.now.Began).Round(time.Millisecond).String())
}

// Verification returns the latest comparison of the followers with the leader; false where the
// configuration wants none, or another proxy does it.
func (e *Engine) Verification() (Verification, bool) {
	e.mu.Lock()
	v := e.verifier
	e.mu.Unlock()
	if v == nil {
		return Verification{}, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now, true
}

// startVerifier compares where the configuration says so and nothing does.
func (e *Engine) startVerifier(ctx context.Context, cfg *Config, leader NodeConfig) {
	if e.verifier != nil || cfg.Verify.Interval <= 0 || cfg.watch {
		return
	}
	ctx, t := newTask(ctx, cfg)
	e.verifier = &verifier{task: t, engine: e, leader: leader, log: e.log}
	e.verifier.start(ctx, e.verifier.loop)
}
