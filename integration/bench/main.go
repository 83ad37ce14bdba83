package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures all that the options ask for. Workloads that could not be run are
// errors; figures that miss their goals are not.
func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	o, err := readOptions(getenv)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bellwether-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	fmt.Fprintln(out, "starting a leader and two followers ...")
	s, err := startServers(ctx, dir, o.tableSize)
	if err != nil {
		return err
	}
	defer func() { _ = s.cluster.Close() }()
	targets, err := startTargets(o, s, dir)
	if err != nil {
		return err
	}
	defer stopTargets(targets)

	r := newReport(ctx, o)
	for _, w := range workloads(o) {
		fmt.Fprintf(out, "%s: %s ...\n", w.name, w.title)
		res := w.measure(ctx, &bench{options: o, servers: s, targets: targets})
		r.Workloads = append(r.Workloads, res)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		res.print(out)
	}
	r.judge()
	r.print(out)
	if err := r.write(o.outputs); err != nil {
		return err
	}
	return r.failures()
}

// bench is what a workload runs against.
type bench struct {
	options options
	servers *servers
	targets []*target
}
