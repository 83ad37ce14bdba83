package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "replbench:", err)
		os.Exit(1)
	}
}

// options say what is measured.
type options struct {
	flavors      []string
	rounds       int
	transactions int
	lagSamples   int
	copyRows     int
	only         *regexp.Regexp
}

func readOptions(getenv func(string) string) (options, error) {
	o := options{flavors: []string{"mariadb-10.11", "mysql-9.7"}, rounds: 7, transactions: 6000, lagSamples: 1000, copyRows: 1000000}
	if getenv("BENCH_SHORT") != "" {
		o.flavors, o.rounds, o.transactions, o.lagSamples, o.copyRows = o.flavors[:1], 1, 500, 50, 50000
	}
	if v := getenv("BENCH_FLAVORS"); v != "" {
		o.flavors = strings.Split(v, ",")
	}
	for name, to := range map[string]*int{"BENCH_ROUNDS": &o.rounds, "BENCH_TRANSACTIONS": &o.transactions, "BENCH_LAG_SAMPLES": &o.lagSamples, "BENCH_COPY_ROWS": &o.copyRows} {
		v := getenv(name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return o, fmt.Errorf("%s=%q is no positive number", name, v)
		}
		*to = n
	}
	var err error
	o.only, err = regexp.Compile(getenv("BENCH_ONLY"))
	return o, err
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	o, err := readOptions(getenv)
	if err != nil {
		return err
	}
	for _, flavor := range o.flavors {
		if err := runFlavor(ctx, &o, flavor, out); err != nil {
			return fmt.Errorf("%s: %w", flavor, err)
		}
	}
	return nil
}

func runFlavor(ctx context.Context, o *options, flavor string, out io.Writer) (err error) {
	s, err := sandbox.Find(ctx, flavor)
	if err != nil {
		return err
	}
	if o.only.MatchString("acks") {
		if err := runAcks(ctx, o, s, out); err != nil {
			return fmt.Errorf("acks: %w", err)
		}
	}
	if o.only.MatchString("copy") {
		if err := runCopies(ctx, o, s, out); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	if !slices.ContainsFunc(workloads, func(l workload) bool { return o.only.MatchString(l.name) }) && !o.only.MatchString("lag") {
		return nil
	}
	w, err := startWorld(ctx, s, false, nil, candidates(s.Flavor)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	fmt.Fprintf(out, "%s: a leader, and a durable follower for each of: %s\n", w.server, strings.Join(w.names(), ", "))
	for _, l := range workloads {
		if !o.only.MatchString(l.name) {
			continue
		}
		r, err := w.catchUps(ctx, o, &l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r.print(out)
	}
	if o.only.MatchString("lag") {
		r, err := w.lags(ctx, o)
		if err != nil {
			return fmt.Errorf("lag: %w", err)
		}
		r.print(out)
	}
	return w.compare(ctx, out)
}
