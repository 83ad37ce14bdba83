package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// load is what a client has seen of a slice of time.
type load struct {
	units   float64 // queries, MB or connections
	elapsed time.Duration
	took    []time.Duration // by each query, result, or connection with its query
	p95     time.Duration   // of what each took, where only that is known
}

// sysbenchRun is one of sysbench's own tests.
type sysbenchRun struct {
	test    string
	threads int
	args    []string
}

func (s sysbenchRun) run(ctx context.Context, b *bench, addr string, slice time.Duration, connected func()) (load, error) {
	args := append([]string{
		fmt.Sprint("--threads=", s.threads), fmt.Sprint("--time=", int(slice.Seconds())),
		"--percentile=95", "--rand-type=uniform",
	}, s.args...)
	out, err := runSysbench(ctx, addr, s.test, b.options.tableSize, connected, "run", args...)
	if err != nil {
		return load{}, err
	}
	return parseSysbench(out)
}

// runSysbench returns what sysbench prints. connected is called when all its
// threads have their connections and the clock starts.
func runSysbench(ctx context.Context, addr, test string, rows int, connected func(), command string, args ...string) (string, error) {
	program, err := find("sysbench")
	if err != nil {
		return "", fmt.Errorf("%w: run `make setup-bench`", err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	all := append([]string{
		test, "--mysql-host=" + host, "--mysql-port=" + port, "--mysql-db=" + sandbox.AppSchema,
		"--mysql-user=" + sandbox.AppAccount.User, "--mysql-password=" + sandbox.AppAccount.Password,
		"--tables=1", fmt.Sprint("--table-size=", rows),
	}, args...)
	cmd := exec.CommandContext(ctx, program, append(all, command)...)
	out := &watchedOutput{line: []byte("\nThreads started!\n"), seen: connected}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sysbench %s: %w\n%s", test, err, out.text)
	}
	return string(out.text), nil
}

// watchedOutput keeps what is written, and calls seen when line is in it.
type watchedOutput struct {
	text []byte
	line []byte
	seen func()
}

func (o *watchedOutput) Write(p []byte) (int, error) {
	o.text = append(o.text, p...)
	if o.seen != nil && bytes.Contains(o.text, o.line) {
		o.seen()
		o.seen = nil
	}
	return len(p), nil
}

var (
	sysbenchQueries = regexp.MustCompile(`(?m)^\s+total:\s+(\d+)$`)
	sysbenchTime    = regexp.MustCompile(`(?m)^\s+total time:\s+([\d.]+)s$`)
	sysbenchP95     = regexp.MustCompile(`(?m)^\s+95th percentile:\s+([\d.]+)$`)
)

// parseSysbench reads the report of sysbench 1.0.
func parseSysbench(out string) (load, error) {
	var v [3]float64
	for i, re := range []*regexp.Regexp{sysbenchQueries, sysbenchTime, sysbenchP95} {
		m := re.FindStringSubmatch(out)
		if m == nil {
			return load{}, fmt.Errorf("sysbench's report lacks %s:\n%s", re, out)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return load{}, err
		}
		v[i] = n
	}
	if v[0] == 0 {
		return load{}, errors.New("sysbench ran no query")
	}
	return load{
		units:   v[0],
		elapsed: time.Duration(v[1] * float64(time.Second)),
		p95:     time.Duration(v[2] * float64(time.Millisecond)),
	}, nil
}
