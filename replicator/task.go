package replicator

import "context"

// task is what runs beside the followers' loops, for a configuration.
type task struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{}
}

// newTask returns a task that does nothing before start, and the context that it lasts for.
func newTask(ctx context.Context, cfg *Config) (context.Context, task) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, task{cfg: *cfg, cancel: cancel, done: make(chan struct{})}
}

func (t *task) start(ctx context.Context, run func(context.Context)) {
	go func() {
		defer close(t.done)
		run(ctx)
	}()
}

// end ends the task, and waits for it.
func (t *task) end() {
	t.cancel()
	<-t.done
}

// stopTasks ends the tasks that cfg has no use for: what reads the leader's binlog first, and
// what acknowledges last.
func (e *Engine) stopTasks(cfg Config) {
	var ended []*task
	e.mu.Lock()
	if v := e.verifier; v != nil && (!same(&cfg, &v.cfg) || cfg.Verify != v.cfg.Verify) {
		e.verifier, ended = nil, append(ended, &v.task)
	}
	if f := e.feed; f != nil && !same(&cfg, &f.cfg) {
		e.feed, ended = nil, append(ended, &f.task)
	}
	if a := e.acker; a != nil && !same(&cfg, &a.cfg) {
		e.acker, ended = nil, append(ended, &a.task)
	}
	e.mu.Unlock()
	for _, t := range ended {
		t.end()
	}
}
