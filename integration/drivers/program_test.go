package drivers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bellwetherdb/bellwether/integration/cluster"
)

// program is a suite under testdata.
type program struct {
	name   string
	probe  []string // succeeds where the driver is installed
	run    []string // the command; the last argument but for args is the suite's file
	args   []string
	checks int // lines that it prints at least
	reads  int // reads at least that must come to followers
}

// Debian's modules are seen by Debian's interpreter, not by another one that
// stands first in PATH.
const python = "/usr/bin/python3"

const connectorJ = "/usr/share/java/mariadb-java-client.jar"

var programs = []program{
	{
		name: "pymysql", probe: []string{python, "-c", "import pymysql"},
		run: []string{python, "-u", "pymysql/suite.py"}, checks: 65, reads: 5,
	},
	{
		name: "mysqlclient", probe: []string{python, "-c", "import MySQLdb"},
		run: []string{python, "-u", "mysqlclient/suite.py"}, checks: 60, reads: 5,
	},
	{
		name: "php-mysqli", probe: []string{"php", "-r", "exit(extension_loaded('mysqli') ? 0 : 1);"},
		run:    []string{"php", "-d", "mysqli.allow_local_infile=1", "-d", "memory_limit=1G", "php-mysqli/suite.php"},
		checks: 70, reads: 5,
	},
	{
		name: "php-pdo", probe: []string{"php", "-r", "exit(extension_loaded('pdo_mysql') ? 0 : 1);"},
		run: []string{"php", "-d", "memory_limit=1G", "php-pdo/suite.php"}, checks: 55, reads: 5,
	},
	{
		name: "ruby-mysql2", probe: []string{"ruby", "-e", "require 'mysql2'"},
		run: []string{"ruby", "ruby-mysql2/suite.rb"}, checks: 55, reads: 5,
	},
	{
		name: "perl-dbd-mysql", probe: []string{"perl", "-MDBD::mysql", "-e", "1"},
		run: []string{"perl", "perl-dbd/suite.pl"}, args: []string{"mysql"}, checks: 55, reads: 5,
	},
	{
		name: "perl-dbd-mariadb", probe: []string{"perl", "-MDBD::MariaDB", "-e", "1"},
		run: []string{"perl", "perl-dbd/suite.pl"}, args: []string{"MariaDB"}, checks: 55, reads: 5,
	},
	{
		name: "connectorj", probe: []string{"test", "-r", connectorJ},
		run:    []string{"java", "-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-cp", connectorJ, "connectorj/Suite.java"},
		checks: 140, reads: 5,
	},
}

// TestDriverPrograms runs every program under testdata directly and through the proxy.
func TestDriverPrograms(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		for _, p := range programs {
			t.Run(p.name, func(t *testing.T) { f.compare(t, p) })
		}
	})
}

func (f *fixture) compare(t *testing.T, p program) {
	needProgram(t, p.run[0])
	if out, err := exec.Command(p.probe[0], p.probe[1:]...).CombinedOutput(); err != nil {
		need(t, fmt.Errorf("the driver is not installed: %w: %s", err, out))
	}
	direct := f.runProgram(t, p, f.targets[0])
	before := f.readsOnFollowers(t)
	proxied := f.runProgram(t, p, f.targets[1])
	if diff := cmp.Diff(direct, proxied); diff != "" {
		t.Errorf("not the same through the proxy (-direct +proxy):\n%s", diff)
	}
	if reads := f.readsOnFollowers(t) - before; reads < p.reads {
		t.Errorf("%d reads came to followers, want at least %d", reads, p.reads)
	} else {
		t.Logf("%d checks, %d reads on followers", len(proxied), reads)
	}
}

// runProgram returns the lines that the program printed. It fails the test where
// the program failed or printed less than it should.
func (f *fixture) runProgram(t *testing.T, p program, tg target) []string {
	t.Helper()
	f.reset(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.run[0], append(p.run[1:len(p.run):len(p.run)], p.args...)...)
	cmd.Dir = "testdata"
	cmd.Env = f.env(t, tg)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	err := cmd.Run()
	lines := strings.Split(strings.TrimRight(stdout.String(), "\n"), "\n")
	ok := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "ok ") {
			ok++
		} else {
			t.Errorf("%s: %s", tg.name, l)
		}
	}
	if err != nil {
		t.Errorf("%s: %v after %d checks, the last: %s\n%s", tg.name, err, ok, lines[len(lines)-1], stderr.String())
	}
	if ok < p.checks {
		t.Errorf("%s: %d checks, want at least %d", tg.name, ok, p.checks)
	}
	t.Logf("%s: %d checks in %.1f s", tg.name, ok, time.Since(begun).Seconds())
	return lines
}

// TestProgramsAreComplete sees to it that no suite is forgotten.
func TestProgramsAreComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/*/[sS]uite.*")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for _, p := range programs {
		used[filepath.Join("testdata", p.run[len(p.run)-1])] = true
	}
	for _, name := range files {
		if !used[name] {
			t.Errorf("%s is run by no test", name)
		}
	}
	for name := range used {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}
