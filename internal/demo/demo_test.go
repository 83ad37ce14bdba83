package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DEMO_TEST_DIR"); dir != "" {
		runAsChild(dir)
	}
	goleak.VerifyTestMain(m)
}

// runAsChild is this test binary as a process that shows the demo until it is ended.
func runAsChild(dir string) {
	if err := Run(context.Background(), Options{Dir: dir, Out: os.Stdout, Server: testServer()}); err != nil {
		fmt.Println("demo:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func testServer() string {
	if s := os.Getenv("DEMO_TEST_SERVER"); s != "" {
		return s
	}
	return "mariadb"
}

func needServer(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers")
	}
	if _, err := sandbox.Find(t.Context(), testServer()); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a folder whose path leaves room for the name of a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

var (
	nodeRow  = regexp.MustCompile(`(?m)^(db\d)\s+(leader|follower)\s+([\d,]+)\s+([\d,]+)$`)
	routeRow = regexp.MustCompile(`(?m)^(leader|follower)\s+([a-z_]+)\s+([\d,]+)$`)
)

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDemo(t *testing.T) {
	needServer(t)
	dir := filepath.Join(shortDir(t), "new")
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Duration: 7 * time.Second, Dir: dir, Out: &out, Server: testServer()}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	if testing.Verbose() {
		t.Log("\n" + text)
	}
	nodes := nodeRow.FindAllStringSubmatch(text, -1)
	if len(nodes) != 3 {
		t.Fatalf("%d nodes in the summary:\n%s", len(nodes), text)
	}
	for _, n := range nodes {
		reads, writes := number(t, n[3]), number(t, n[4])
		switch {
		case n[2] == "leader" && writes == 0:
			t.Errorf("%s is the leader, and had no writes", n[1])
		case n[2] == "follower" && (reads == 0 || writes != 0):
			t.Errorf("%s is a follower, and had %d reads, %d writes", n[1], reads, writes)
		}
	}
	routes := make(map[string]int)
	for _, r := range routeRow.FindAllStringSubmatch(text, -1) {
		routes[r[1]+" "+r[2]] = number(t, r[3])
	}
	for _, want := range []string{"follower read", "leader write", "leader in_transaction", "leader hint", "leader user_variable"} {
		if routes[want] == 0 {
			t.Errorf("nothing went to: %s; %v", want, routes)
		}
	}
	if !strings.Contains(text, ", no errors") {
		t.Error("there were errors")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if t.Failed() {
		t.Log(text)
	}
}

// lines hands on each line that is written to it.
type lines struct {
	rest []byte
	to   func(line string)
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.to(string(line))
		l.rest = rest
	}
}

// TestLeader kills the leader, starts it again before its time, and makes another
// one the leader, as one who looks at the demo would.
func TestLeader(t *testing.T) {
	needServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	signals := make(chan os.Signal, 1)
	script := []struct {
		until string // a line that holds it
		then  func()
	}{
		{"db1, the leader, is killed (SIGKILL)", func() {}},
		{"followers stop receiving from the old leader", func() {}},
		{"held writes go on", func() {}},
		{", 0 failed", func() { signals <- syscall.SIGUSR1 }},
		{"db1 is started again", func() {}},
		{"db1 gets reads", func() { time.AfterFunc(time.Second, func() { signals <- syscall.SIGUSR2 }) }},
		{"leads; writes were held for", func() {}},
		{"first write acknowledged", cancel},
	}
	var out strings.Builder
	watch := &lines{to: func(line string) {
		out.WriteString(line + "\n")
		if len(script) > 0 && strings.Contains(line, script[0].until) {
			script[0].then()
			script = script[1:]
		}
	}}
	err := Run(ctx, Options{Dir: shortDir(t), Out: watch, Server: testServer(), KillLeaderAfter: time.Second, Signals: signals})
	if err != nil || len(script) > 0 {
		t.Errorf("%v; %d lines did not come:\n%s", err, len(script), out.String())
	}
	if testing.Verbose() {
		t.Log("\n" + out.String())
	}
}

// TestKilledAndStartedAgain kills a demo (SIGKILL) and looks that the next one
// removes all that is left.
func TestKilledAndStartedAgain(t *testing.T) {
	needServer(t)
	dir := shortDir(t)
	folder := killDemo(t, dir)
	if _, err := os.Stat(folder); err != nil {
		t.Fatalf("a killed demo cannot have cleaned up: %v", err)
	}
	server := orphan(t, folder)
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Duration: 3 * time.Second, Dir: dir, Out: &out, Server: testServer()}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "removed what a killed demo left: "+folder) {
		t.Errorf("nothing said of the leftovers:\n%s", out.String())
	}
	<-server // else the test ends by its deadline
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// killDemo starts a demo in a process of its own, kills it when it serves, and
// returns the folder that it worked in.
func killDemo(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DEMO_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := sandbox.StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	var folder string
	var seen []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seen = append(seen, lines.Text())
		if _, after, ok := strings.Cut(lines.Text(), " in "); ok && folder == "" {
			folder = after
		}
		if strings.HasPrefix(lines.Text(), "connect ") {
			return folder
		}
	}
	t.Fatalf("the demo did not start:\n%s", strings.Join(seen, "\n"))
	return ""
}

// orphan starts a process that looks like a server of the folder which outlived
// its demo, as one may where the kernel does not end it. The channel is closed
// when it has ended.
func orphan(t *testing.T, folder string) <-chan struct{} {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read forever", "sh", "--datadir="+folder+"/db1/data")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p, err := sandbox.StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p.Done()
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	mine, remove, err := newFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	gone, other := cmd.Process.Pid, syscall.Getppid()
	folder := func(format string, args ...any) string {
		path := filepath.Join(dir, fmt.Sprintf(format, args...))
		if err := os.MkdirAll(filepath.Join(path, "db1"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	start, err := startTime(other)
	if err != nil {
		t.Fatal(err)
	}
	keep := []string{
		mine,
		folder("bellwether-demo-%d-%d", other, start), // runs
		folder("bellwether-demo"),
		folder("bellwether-demo-1-2-backup"),
	}
	remain := []string{
		folder("bellwether-demo-%d-1", gone),
		folder("bellwether-demo-%d-%d", other, start+1), // the id belongs to another process now
	}
	file := filepath.Join(dir, fmt.Sprintf("bellwether-demo-%d-5", gone))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, fmt.Sprintf("bellwether-demo-%d-6", gone))
	if err := os.Symlink(keep[2], link); err != nil {
		t.Fatal(err)
	}
	removed, err := sweep(dir)
	if err != nil || len(removed) != len(remain) {
		t.Errorf("removed %v, %v; want %v", removed, err, remain)
	}
	for _, path := range append(keep, file, link, filepath.Join(keep[2], "db1")) {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is not there any more: %v", path, err)
		}
	}
	for _, path := range remain {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if removed, err := sweep(filepath.Join(dir, "missing")); err != nil || removed != nil {
		t.Errorf("a folder that does not exist: %v, %v", removed, err)
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		o    Options
	}{
		{"too many followers", Options{Followers: 9}},
		{"negative followers", Options{Followers: -1}},
		{"port", Options{Port: 70000}},
		{"duration", Options{Duration: -time.Second}},
		{"time of the kill", Options{KillLeaderAfter: -time.Second}},
		{"server", Options{Server: "oracle"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Dir, tt.o.Out = t.TempDir(), &bytes.Buffer{}
			if err := Run(t.Context(), tt.o); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestPickPort(t *testing.T) {
	taken, err := tryPort(0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pickPort(0, taken); got != taken || err != nil {
		t.Errorf("a free usual port %d: %d, %v", taken, got, err)
	}
	l := listenOn(t, taken)
	defer func() { _ = l.Close() }()
	if got, err := pickPort(0, taken); got == taken || err != nil {
		t.Errorf("a taken usual port %d: %d, %v", taken, got, err)
	}
	if _, err := pickPort(taken, 0); err == nil {
		t.Error("a taken port that was asked for: no error")
	}
}
