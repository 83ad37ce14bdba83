package drivers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// cli runs MariaDB's command-line programs against one target.
type cli struct {
	t *testing.T
	f *fixture
	target
}

func (c cli) args(extra ...string) []string {
	args := []string{"--no-defaults", "-h" + c.host, "-P" + c.port, "-u" + account.User, "-p" + account.Password}
	return append(args, extra...)
}

// try runs a program; input is its standard input.
func (c cli) try(input, program string, extra ...string) (stdout, stderr string, err error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, c.args(extra...)...)
	cmd.Dir = "testdata/cli"
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// run is try, and fails the test where the program fails.
func (c cli) run(input, program string, extra ...string) string {
	c.t.Helper()
	stdout, stderr, err := c.try(input, program, extra...)
	if err != nil {
		c.t.Fatalf("%s: %s %v: %v\n%s", c.name, program, extra, err, stderr)
	}
	return stdout
}

// sql runs statements with the mariadb program in batch mode.
func (c cli) sql(statements string, options ...string) string {
	c.t.Helper()
	return c.run(statements, "mariadb", append(options, "--batch", "--no-auto-rehash", sandbox.AppSchema)...)
}

// both runs f for the leader and for the proxy, each on a schema made anew with
// the table cli_data, and demands the same text, with want in it.
func (f *fixture) both(t *testing.T, want string, run func(c cli) string) {
	t.Helper()
	var texts []string
	for _, tg := range f.targets {
		f.reset(t)
		f.Exec(t,
			"CREATE TABLE "+sandbox.AppSchema+".cli_data (id INT PRIMARY KEY, word VARCHAR(60) CHARACTER SET utf8mb4) ENGINE=InnoDB",
			"INSERT INTO "+sandbox.AppSchema+".cli_data VALUES "+numbered(2000, "(%d, 'word 🐑 %[1]d')"))
		f.WaitReplicated(t)
		text := run(cli{t, f, tg})
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is not in the output:\n%s", tg.name, want, text)
		}
		texts = append(texts, text)
	}
	if diff := cmp.Diff(texts[0], texts[1]); diff != "" {
		t.Errorf("not the same through the proxy (-direct +proxy):\n%s", diff)
	}
}

// numbered is format for 1 to n, with commas between.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestCommandLine runs MariaDB's command-line programs directly and through the proxy.
func TestCommandLine(t *testing.T) {
	for _, program := range []string{"mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-check", "mariadb-slap"} {
		needProgram(t, program)
	}
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		f := start(t, o)
		for _, test := range []struct {
			name string
			run  func(*testing.T, *fixture)
		}{
			{"batch", testBatch},
			{"formats", testFormats},
			{"delimiter", testDelimiter},
			{"status", testStatus},
			{"tls", testTLS},
			{"load data local", testLoadLocal},
			{"import", testImport},
			{"dump and reload", testDump},
			{"admin", testAdmin},
			{"check", testCheck},
			{"slap", testSlap},
			{"ctrl-c", testInterrupt},
			{"client dies", testClientDies},
		} {
			t.Run(test.name, func(t *testing.T) { test.run(t, f) })
		}
	})
}

func testBatch(t *testing.T, f *fixture) {
	script, err := os.ReadFile("testdata/cli/batch.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]string{nil, {"--compress"}, {"--ssl"}, {"--default-character-set=latin1"}, {"--quick", "--compress", "--ssl"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			f.both(t, "after errors", func(c cli) string {
				stdout, stderr, err := c.try(string(script), "mariadb",
					append(options, "--batch", "--force", "--no-auto-rehash", "--show-warnings", "--column-type-info", sandbox.AppSchema)...)
				if err != nil && !strings.Contains(stderr, "ERROR 1146") {
					t.Errorf("%s: %v: %s", c.name, err, stderr)
				}
				return stdout + "\n" + stderr
			})
		})
	}
}

func testFormats(t *testing.T, f *fixture) {
	for _, options := range [][]string{{"--table"}, {"--vertical"}, {"--html"}, {"--xml"}, {"-vv", "--table"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			f.both(t, "word 🐑 20", func(c cli) string {
				return c.sql("SELECT * FROM cli_data WHERE id BETWEEN 18 AND 22 ORDER BY id;\nSELECT NULL, 1 WHERE 0;\n",
					append(options, "--default-character-set=utf8mb4")...)
			})
		})
	}
}

func testDelimiter(t *testing.T, f *fixture) {
	f.both(t, "WORD; 4", func(c cli) string { return c.sql("source delimiter.sql\n", "--table") })
}

// varies are the lines of \s that differ between sessions or addresses.
var varies = regexp.MustCompile(`(?m)^(Connection id|Uptime|Connection|TCP port|Threads|SSL):.*$`)

func testStatus(t *testing.T, f *fixture) {
	for _, options := range [][]string{{"--skip-ssl"}, {"--compress", "--skip-ssl"}, {"--ssl", "--compress"}} {
		want := "Current database:\t" + sandbox.AppSchema
		if strings.Contains(strings.Join(options, " "), "--compress") {
			want = "Protocol:\t\tCompressed"
		}
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			f.both(t, want, func(c cli) string {
				out := c.sql("\\s\n", options...)
				if !regexp.MustCompile(`Threads: \d+ +Questions: \d+`).MatchString(out) {
					t.Errorf("%s: no statistics:\n%s", c.name, out)
				}
				return regexp.MustCompile(`Threads: .*`).ReplaceAllString(varies.ReplaceAllString(out, "$1"), "")
			})
		})
	}
}

func testTLS(t *testing.T, f *fixture) {
	query := "SHOW STATUS LIKE 'Ssl_server_not_after';\nSELECT COUNT(*) FROM cli_data;\n"
	f.both(t, "2000", func(c cli) string {
		return c.sql(query, "--ssl-verify-server-cert", "--ssl-ca="+f.Certs.CA)
	})
	wrong := filepath.Join(f.scratch, "other-ca")
	other, err := sandbox.NewCerts(wrong, "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	for _, tg := range f.targets {
		c := cli{t, f, tg}
		if out, _, err := c.try("SELECT 1", "mariadb", "--ssl-verify-server-cert", "--ssl-ca="+other.CA); err == nil {
			t.Errorf("%s: a certificate of another authority was accepted: %s", tg.name, out)
		}
		if out := c.run("\\s\n", "mariadb", "--ssl", "--ssl-ca="+f.Certs.CA); !strings.Contains(out, "Cipher in use is") {
			t.Errorf("%s: not encrypted:\n%s", tg.name, out)
		}
	}
}

// dataFile writes n lines of two columns.
func (f *fixture) dataFile(t *testing.T, name string, n int) string {
	t.Helper()
	path := filepath.Join(f.scratch, name)
	text := strings.ReplaceAll(numbered(n, "%d\tline ü %[1]d"), ",", "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func testLoadLocal(t *testing.T, f *fixture) {
	path := f.dataFile(t, "load.tsv", 200_000) // several MiB, many packets
	for _, options := range [][]string{nil, {"--compress"}, {"--ssl"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			f.both(t, "200000\tline ü 99999", func(c cli) string {
				return c.sql("CREATE TABLE cli_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4;\n"+
					"LOAD DATA LOCAL INFILE '"+path+"' INTO TABLE cli_load CHARACTER SET utf8mb4;\n"+
					"BEGIN; SELECT COUNT(*), MAX(v) FROM cli_load; COMMIT;\n", append(options, "--local-infile=1", "--default-character-set=utf8mb4")...)
			})
		})
	}
	f.both(t, "ERROR 2", func(c cli) string {
		_, stderr, err := c.try("LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE cli_data;\n", "mariadb", "--local-infile=1", sandbox.AppSchema)
		if err == nil {
			t.Errorf("%s: a file that does not exist was loaded", c.name)
		}
		return stderr
	})
}

func testImport(t *testing.T, f *fixture) {
	path := f.dataFile(t, "cli_import.tsv", 5000)
	f.both(t, "5000", func(c cli) string {
		c.sql("CREATE TABLE cli_import (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4")
		out := c.run("", "mariadb-import", "--local", "--default-character-set=utf8mb4", sandbox.AppSchema, path)
		f.WaitReplicated(t)
		return out + c.sql("SELECT COUNT(*), MAX(v) FROM cli_import")
	})
}

// testDump dumps with what delimiter.sql makes, loads it again and compares the rows.
func testDump(t *testing.T, f *fixture) {
	const again = "shop_again"
	f.both(t, "CREATE DEFINER", func(c cli) string {
		c.sql("source delimiter.sql\n")
		c.sql("CREATE TABLE cli_blob (id INT PRIMARY KEY, v LONGBLOB);\nINSERT INTO cli_blob VALUES (1, REPEAT(0x00ff275c, 1048576)), (2, NULL);\n")
		f.WaitReplicated(t)
		dump := c.run("", "mariadb-dump", "--single-transaction", "--routines", "--triggers", "--events", "--hex-blob",
			"--default-character-set=utf8mb4", "--skip-dump-date", "--max-allowed-packet=64M", "--skip-add-locks", sandbox.AppSchema)
		c.run("", "mariadb", "-e", "DROP DATABASE IF EXISTS "+again+"; CREATE DATABASE "+again)
		c.run(dump, "mariadb", "--max-allowed-packet=64M", "--default-character-set=utf8mb4", again)
		f.WaitReplicated(t)
		for _, table := range []string{"cli_data", "cli_log", "cli_blob", "cli_view"} {
			was, is := f.rowsDigest(t, sandbox.AppSchema+"."+table), f.rowsDigest(t, again+"."+table)
			if was != is {
				t.Errorf("%s: %s: %s after the reload, was %s", c.name, table, is, was)
			}
		}
		redump := c.run("", "mariadb-dump", "--single-transaction", "--routines", "--triggers", "--events", "--hex-blob",
			"--default-character-set=utf8mb4", "--skip-dump-date", "--max-allowed-packet=64M", "--skip-add-locks", again)
		if strip(redump) != strip(dump) {
			t.Errorf("%s: the dump of the reloaded schema is another one:\n%s", c.name, cmp.Diff(strip(dump), strip(redump)))
		}
		c.run("", "mariadb", "-e", "DROP DATABASE "+again)
		return strip(dump)
	})
}

// strip removes the lines of a dump that name the host and the schema.
func strip(dump string) string {
	return regexp.MustCompile("(?m)^-- Host: .*$|`?shop(_again)?`?").ReplaceAllString(dump, "")
}

// rowsDigest is a digest of a table's rows on the leader.
func (f *fixture) rowsDigest(t *testing.T, table string) string {
	t.Helper()
	column := "word"
	if strings.HasSuffix(table, "blob") {
		column = "SHA2(v, 256)"
	}
	return f.Leader().Text(t, "SELECT SHA2(GROUP_CONCAT(CONCAT_WS(':', id, "+column+") ORDER BY id), 256) FROM "+table)
}

func testAdmin(t *testing.T, f *fixture) {
	f.both(t, "mysqld is alive", func(c cli) string { return c.run("", "mariadb-admin", "ping") })
	f.both(t, "Uptime: ", func(c cli) string {
		return regexp.MustCompile(`\d+(\.\d+)?`).ReplaceAllString(c.run("", "mariadb-admin", "status"), "0")
	})
	f.both(t, "processlist", func(c cli) string {
		if out := c.run("", "mariadb-admin", "processlist"); !strings.Contains(out, account.User) {
			t.Errorf("%s: no session of %s in\n%s", c.name, account.User, out)
		}
		return "processlist"
	})
	f.both(t, "refused", func(c cli) string {
		_, stderr, err := c.try("", "mariadb-admin", "kill", "4000000000")
		if err == nil {
			t.Errorf("%s: an unknown session was killed", c.name)
		}
		return "refused " + stderr
	})
	f.both(t, "created", func(c cli) string {
		c.run("", "mariadb-admin", "create", "cli_created")
		c.run("", "mariadb-admin", "--force", "drop", "cli_created")
		return "created"
	})
	f.both(t, "version_comment", func(c cli) string {
		out := c.run("", "mariadb-admin", "variables")
		m := regexp.MustCompile(`(?m)^\| version_comment.*$`).FindString(out)
		return m
	})
	f.both(t, "killed", func(c cli) string { // mariadb-admin kill, of a session that sleeps
		s := startSession(t, f, c.target)
		defer s.end()
		id := s.ask("SELECT CONCAT('id=', CONNECTION_ID(), '.');", regexp.MustCompile(`id=(\d+)\.`))
		c.run("", "mariadb-admin", "kill", id)
		s.send("SELECT 'x';\n")
		s.expect(regexp.MustCompile(`(?i)ERROR 20(06|13|26)|ERROR 1927`))
		return "killed"
	})
}

func testCheck(t *testing.T, f *fixture) {
	for _, options := range [][]string{{"--check"}, {"--analyze"}, {"--optimize"}} {
		t.Run(options[0], func(t *testing.T) {
			f.both(t, "shop.cli_data", func(c cli) string { return c.run("", "mariadb-check", append(options, sandbox.AppSchema)...) })
		})
	}
}

func testSlap(t *testing.T, f *fixture) {
	f.both(t, "fine", func(c cli) string {
		out := c.run("", "mariadb-slap", "--create-schema="+sandbox.AppSchema, "--no-drop", "--concurrency=8", "--iterations=2",
			"--number-of-queries=800", "--delimiter=;",
			"--query=SELECT COUNT(*) FROM cli_data WHERE id < 50; SELECT word FROM cli_data WHERE id = 7; UPDATE cli_data SET word = 'x' WHERE id = 9")
		if !strings.Contains(out, "Number of clients running queries: 8") {
			t.Errorf("%s: no summary:\n%s", c.name, out)
		}
		if f.Flavor == gtid.MariaDB { // it makes and fills a table of its own, and writes it only
			c.run("", "mariadb-slap", "--auto-generate-sql", "--auto-generate-sql-load-type=write", "--concurrency=4", "--number-of-queries=200")
		}
		return "fine"
	})
}
