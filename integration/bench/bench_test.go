package main

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		err  string
		ok   func(o options) bool
	}{
		{"defaults", nil, "", func(o options) bool { return o.rounds == 3 && o.slice == 5*time.Second && !o.short }},
		{"short", map[string]string{"BENCH_SHORT": "1"}, "", func(o options) bool { return o.short && o.slice == time.Second }},
		{"short, but longer", map[string]string{"BENCH_SHORT": "1", "BENCH_SECONDS": "2", "BENCH_ROUNDS": "7"}, "", func(o options) bool {
			return o.slice == 2*time.Second && o.rounds == 7
		}},
		{"outputs", map[string]string{"BENCH_OUT": "a.json,b.md"}, "", func(o options) bool { return len(o.outputs) == 2 }},
		{"an output of no known form", map[string]string{"BENCH_OUT": "a.txt"}, "BENCH_OUT", nil},
		{"no number", map[string]string{"BENCH_ROUNDS": "few"}, "BENCH_ROUNDS", nil},
		{"no rounds", map[string]string{"BENCH_ROUNDS": "0"}, "BENCH_ROUNDS", nil},
		{"a bad pattern", map[string]string{"BENCH_ONLY": "("}, "BENCH_ONLY", nil},
		{"short, perhaps", map[string]string{"BENCH_SHORT": "maybe"}, "BENCH_SHORT", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := readOptions(func(k string) string { return tt.env[k] })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want an error that names %s", err, tt.err)
				}
				return
			}
			if err != nil || !tt.ok(o) {
				t.Fatalf("got %+v, %v", o, err)
			}
		})
	}
}

func TestWorkloads(t *testing.T) {
	names := func(env map[string]string) string {
		o, err := readOptions(func(k string) string { return env[k] })
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, w := range workloads(o) {
			if (w.clients == nil) == (w.idle == nil) {
				t.Errorf("%s runs nothing, or two things", w.name)
			}
			out = append(out, w.name)
		}
		return strings.Join(out, " ")
	}
	if got := names(map[string]string{"BENCH_ONLY": "^idle"}); got != "idle-1000 idle-1000-follower idle-5000 idle-5000-follower" {
		t.Errorf("only idle: %s", got)
	}
	if got := names(map[string]string{"BENCH_SHORT": "1"}); strings.Contains(got, "5000") || !strings.Contains(got, "connect") {
		t.Errorf("short: %s", got)
	}
}

func TestParseResident(t *testing.T) {
	if got, err := parseResident("Name:\thaproxy\nVmHWM:\t  9 kB\nVmRSS:\t   15360 kB\n"); err != nil || got != 15<<20 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseResident("Name:\tx\n"); err == nil {
		t.Error("a status without VmRSS was taken")
	}
}

const sysbenchReport = `SQL statistics:
    queries performed:
        read:                            9000
        write:                           0
        other:                           1000
        total:                           10000
    transactions:                        500    (100.00 per sec.)
    queries:                             10000  (2000.00 per sec.)

General statistics:
    total time:                          5.0050s
    total number of events:              500

Latency (ms):
         min:                                    0.20
         95th percentile:                       12.50
         sum:                                 1000.00
`

func TestParseSysbench(t *testing.T) {
	got, err := parseSysbench(sysbenchReport)
	want := load{units: 10000, elapsed: 5005 * time.Millisecond, p95: 12500 * time.Microsecond}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"no report":    "FATAL: unable to connect",
		"no query ran": strings.Replace(sysbenchReport, "   10000\n", "   0\n", 1),
	} {
		if _, err := parseSysbench(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWatchedOutput(t *testing.T) {
	calls := 0
	o := &watchedOutput{line: []byte("\nThreads started!\n"), seen: func() { calls++ }}
	for i, part := range []string{"Initializing\nThreads st", "arted!", "\n\nSQL", " statistics:\nThreads started!\n"} {
		if n, err := o.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if want := min(max(i-1, 0), 1); calls != want {
			t.Errorf("%d calls after part %d, want %d", calls, i, want)
		}
	}
}

// measured is a report of one workload, with CPU per query by target.
func measured(cpu map[string]float64) *report {
	b := &bench{}
	for _, name := range []string{direct, haproxy1, haproxyAll, bellwetherOne, bellwether} {
		if _, ok := cpu[name]; ok {
			b.targets = append(b.targets, &target{name: name})
		}
	}
	res := newResult(workload{name: "point-text-16", title: "point select", unit: "query", goal: 1.15}, b)
	for _, t := range b.targets {
		f := noFigures()
		f.Rate, f.CPU = 1000, cpu[t.name]
		res.add(t, f)
	}
	return &report{Workloads: []*result{res}}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		cpu  map[string]float64
		want string // CPU's verdict, throughput's
	}{
		{"below the goal", map[string]float64{haproxy1: 30, bellwetherOne: 33, bellwether: 40}, "1.10 met, 1.00 met"},
		{"above the goal", map[string]float64{haproxy1: 30, bellwetherOne: 36, bellwether: 30}, "1.20 missed, 1.00 met"},
		{"nothing measured", map[string]float64{haproxy1: 30, bellwetherOne: math.NaN(), bellwether: 30}, " not measured, 1.00 met"},
		{"one follower only", map[string]float64{haproxy1: 30, bellwetherOne: 30}, "1.00 met"},
		{"no proxy of ours", map[string]float64{direct: math.NaN(), haproxy1: 30}, ""},
		{"no HAProxy", map[string]float64{bellwetherOne: 30, bellwether: 30}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := measured(tt.cpu)
			r.judge()
			var got []string
			for _, v := range r.Goals {
				got = append(got, v.Reached+" "+v.Met)
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestReportForms(t *testing.T) {
	r := measured(map[string]float64{direct: math.NaN(), haproxy1: 30, bellwetherOne: 33, bellwether: 34})
	r.Workloads[0].fail(&target{name: bellwether}, errTest)
	r.judge()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"CPU":null`) || !strings.Contains(string(text), `"Ratio":1.1`) {
		t.Errorf("JSON: %s", text)
	}
	var b strings.Builder
	r.markdown(&b)
	for _, want := range []string{
		"| bellwether-1 |    1000 |        |        |        |         33.0 |               |         1.10 |        |              |\n",
		"bellwether failed: no luck\n",
		"| met |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Markdown lacks %q:\n%s", want, b.String())
		}
	}
	if err := r.failures(); err == nil || !strings.Contains(err.Error(), "point-text-16, bellwether: no luck") {
		t.Errorf("failures: %v", err)
	}
}

func TestHAProxyConfig(t *testing.T) {
	if got := haproxyConfig("127.0.0.1:1", "127.0.0.1:2", 0, 100); strings.Contains(got, "nbthread") {
		t.Errorf("the default number of threads was set:\n%s", got)
	}
	if got := haproxyConfig("127.0.0.1:1", "127.0.0.1:2", 1, 100); !strings.Contains(got, "nbthread 1\n") {
		t.Errorf("no single thread:\n%s", got)
	}
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("no luck")
