package drivers

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

const goSQLSchema = "gotest"

// goSQLRun names an environment variable that narrows the suite, as -run does.
const goSQLRun = "BELLWETHER_GOSQL_RUN"

// TestGoSQLDriverSuite runs go-sql-driver's own tests directly and through the
// proxy: the same tests must pass, fail and be skipped.
//
// The tests read at once what they wrote, over other connections too, so the
// rule sends their schema to the leader: what they prove is the protocol.
//
// TestConcurrent is left out, as it is by default: it opens as many sessions as
// the server allows, and the followers and the monitor have some of them.
func TestGoSQLDriverSuite(t *testing.T) {
	binary, dir := buildGoSQLDriverTests(t)
	atLeast := 100 // tests that pass
	if os.Getenv(goSQLRun) != "" {
		atLeast = 1
	}
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o, "routing: {rules: [{name: go-sql-driver's tests, schemas: ["+goSQLSchema+"], target: leader}]}")
		var results []map[string]string
		for _, tg := range f.targets {
			f.Exec(t, "DROP DATABASE IF EXISTS "+goSQLSchema, "CREATE DATABASE "+goSQLSchema)
			f.WaitReplicated(t)
			r, out := runGoSQLDriverTests(t, binary, dir, tg)
			if len(r) < atLeast {
				t.Fatalf("%s: only %d results:\n%s", tg.name, len(r), out)
			}
			count := map[string]int{}
			for _, name := range slices.Sorted(maps.Keys(r)) {
				count[r[name]]++
				if r[name] != "PASS" {
					t.Logf("%s: %s %s", tg.name, r[name], name)
				}
			}
			t.Logf("%s: %v", tg.name, count)
			if count["PASS"] < atLeast || count["FAIL"] > 0 {
				t.Errorf("%s: %v\n%s", tg.name, count, failures(out))
			}
			results = append(results, r)
		}
		direct, proxied := results[0], results[1]
		for _, name := range slices.Sorted(maps.Keys(direct)) {
			if killedWithClient[name] && proxied[name] == "SKIP" {
				continue
			}
			if direct[name] != proxied[name] {
				t.Errorf("%s: %s directly, %q through the proxy", name, direct[name], proxied[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(proxied)) {
			if direct[name] == "" {
				t.Errorf("%s: only through the proxy", name)
			}
		}
	})
}

// killedWithClient are the tests that cancel an INSERT by closing the connection
// and skip themselves when it did not take effect after all ("TODO: need to kill
// the query, and v should be 0"). A server goes on with the statement; Bellwether
// kills it, because its client is gone.
var killedWithClient = map[string]bool{
	"TestContextCancelExec/default":      true,
	"TestContextCancelQuery/default":     true,
	"TestContextCancelStmtExec/default":  true,
	"TestContextCancelStmtQuery/default": true,
}

// buildGoSQLDriverTests compiles the driver's tests from a copy of the module,
// because the module cache is read-only and its tests are not ours to build.
func buildGoSQLDriverTests(t *testing.T) (binary, dir string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-sql-driver/mysql").Output()
	if err != nil {
		t.Fatalf("find go-sql-driver in the module cache: %v", err)
	}
	source := strings.TrimSpace(string(out))
	dir = filepath.Join(t.TempDir(), "mysql")
	if err := copyTree(dir, source); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "driver.test")
	cmd := exec.Command("go", "test", "-c", "-o", binary, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build go-sql-driver's tests: %v\n%s", err, out)
	}
	return binary, dir
}

// copyTree copies regular files, and makes the copies writable.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dst, text, 0o644)
	})
}

var resultLine = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)

func runGoSQLDriverTests(t *testing.T, binary, dir string, tg target) (results map[string]string, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// TestConnectorReturnsTimeout dials an address of the internet, no database.
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.run="+os.Getenv(goSQLRun), "-test.skip=^TestConnectorReturnsTimeout$", "-test.timeout=3m")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"MYSQL_TEST_USER="+account.User, "MYSQL_TEST_PASS="+account.Password, "MYSQL_TEST_PROT=tcp",
		"MYSQL_TEST_ADDR="+tg.addr(), "MYSQL_TEST_DBNAME="+goSQLSchema)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	results = make(map[string]string)
	for _, m := range resultLine.FindAllStringSubmatch(out.String(), -1) {
		results[m[2]] = m[1]
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", tg.name, err, failures(out.String()))
	}
	return results, out.String()
}

// failures is the part of a -test.v output that tells of failures: what a test
// printed stands before its own FAIL line.
func failures(out string) string {
	const before = 8
	lines := strings.Split(out, "\n")
	var b strings.Builder
	shown := 0
	for i, l := range lines {
		if i >= shown && (strings.Contains(l, "--- FAIL") || strings.HasPrefix(l, "panic:")) {
			end := min(i+before, len(lines))
			fmt.Fprintln(&b, strings.Join(lines[max(shown, i-before):end], "\n"))
			shown = end
		}
	}
	return b.String()
}
