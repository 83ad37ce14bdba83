package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// options are read from the environment, so that `make bench` can be told.
type options struct {
	short     bool           // BENCH_SHORT: the form for CI, below two minutes
	only      *regexp.Regexp // BENCH_ONLY: names of workloads
	targets   *regexp.Regexp // BENCH_TARGETS: names of targets
	rounds    int            // BENCH_ROUNDS
	slice     time.Duration  // BENCH_SECONDS: of one target in one round
	tableSize int            // BENCH_ROWS: of sysbench's table
	outputs   []string       // BENCH_OUT: files to write, *.json or *.md, separated by commas
	binary    string         // BENCH_BIN: the proxy's program
}

func readOptions(getenv func(string) string) (options, error) {
	o := options{rounds: 3, slice: 5 * time.Second, tableSize: 100_000, binary: "bin/bellwether"}
	switch v := getenv("BENCH_SHORT"); v {
	case "", "0":
	case "1":
		o.short = true
		o.rounds, o.slice, o.tableSize = 2, time.Second, 20_000
	default:
		return o, fmt.Errorf("BENCH_SHORT is %q, not 0 or 1", v)
	}
	seconds := int(o.slice / time.Second)
	for name, to := range map[string]*int{"BENCH_ROUNDS": &o.rounds, "BENCH_SECONDS": &seconds, "BENCH_ROWS": &o.tableSize} {
		v := getenv(name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return o, fmt.Errorf("%s is %q, not a positive number", name, v)
		}
		*to = n
	}
	o.slice = time.Duration(seconds) * time.Second
	for name, to := range map[string]**regexp.Regexp{"BENCH_ONLY": &o.only, "BENCH_TARGETS": &o.targets} {
		re, err := regexp.Compile(getenv(name))
		if err != nil {
			return o, fmt.Errorf("%s: %w", name, err)
		}
		*to = re
	}
	if v := getenv("BENCH_BIN"); v != "" {
		o.binary = v
	}
	if v := getenv("BENCH_OUT"); v != "" {
		o.outputs = strings.Split(v, ",")
	}
	for _, path := range o.outputs {
		if !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".md") {
			return o, fmt.Errorf("BENCH_OUT: %q ends neither in .json nor in .md", path)
		}
	}
	return o, nil
}
