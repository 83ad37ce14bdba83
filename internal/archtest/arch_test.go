package archtest

import (
	"bytes"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed says which of our packages a package may import, outside its tests.
// Packages that are not listed may import anything: they are the wiring.
var allowed = map[string][]string{
	"internal/wire":       {},
	"internal/gtid":       {},
	"internal/binlog":     {"internal/gtid"},
	"internal/accounts":   {"internal/gtid"},
	"internal/archtest":   {},
	"configs":             {},
	"internal/topology":   {"internal/gtid"},
	"internal/mark":       {"internal/mysqlconn", "internal/gtid", "internal/topology"},
	"internal/mysqlconn":  {"internal/gtid", "internal/topology"},
	"router":              {"internal/topology", "internal/gtid", "internal/accounts"},
	"failover":            {"internal/topology", "internal/gtid"},
	"internal/token":      {"internal/gtid"},
	"proxy":               {"router", "internal/wire", "internal/topology", "internal/gtid", "internal/accounts", "internal/mysqlconn", "internal/token"},
	"internal/visible":    {"internal/gtid"},
	"lagmonitor":          {"router", "internal/mysqlconn", "internal/topology", "internal/gtid", "internal/accounts", "internal/visible"},
	"replicator/node":     {"internal/gtid", "internal/mysqlconn", "internal/visible"},
	"replicator":          {"internal/binlog", "internal/gtid", "internal/mark", "internal/mysqlconn", "replicator/ack", "replicator/apply", "replicator/handover", "replicator/initial", "replicator/lineage", "replicator/node", "replicator/quorum", "replicator/relay", "replicator/stream", "replicator/tabledef", "replicator/verify"},
	"replicator/link":     {"internal/gtid", "internal/mysqlconn", "internal/topology", "internal/wire"},
	"replicator/apply":    {"internal/binlog", "internal/gtid", "internal/mark", "internal/mysqlconn", "internal/wire", "replicator/link"},
	"replicator/stream":   {"internal/binlog", "internal/gtid", "internal/mysqlconn", "internal/wire", "replicator/link"},
	"replicator/relay":    {"internal/binlog", "internal/disk", "internal/gtid"},
	"replicator/lineage":  {"internal/binlog", "internal/gtid", "internal/mysqlconn", "replicator/node", "replicator/stream"},
	"replicator/rewind":   {"internal/binlog", "internal/gtid", "internal/mysqlconn", "replicator/node", "replicator/tabledef"},
	"replicator/quorum":   {"internal/gtid"},
	"replicator/ack":      {"internal/binlog", "internal/gtid", "internal/mysqlconn", "replicator/node", "replicator/quorum", "replicator/stream"},
	"replicator/tabledef": {"internal/gtid", "internal/mark", "internal/mysqlconn", "replicator/node"},
	"replicator/initial":  {"internal/gtid", "internal/mysqlconn", "replicator/node", "replicator/tabledef"},
	"replicator/verify":   {"internal/gtid", "internal/mysqlconn", "replicator/node", "replicator/tabledef"},
	"replicator/handover": {"internal/gtid", "replicator/node"},
	"failover/executor":   {"failover", "router", "internal/disk", "internal/mark", "internal/mysqlconn", "internal/topology", "internal/gtid", "internal/coord", "replicator/lineage", "replicator/node", "replicator/rewind", "replicator/stream"},
	"internal/disk":       {},
	"internal/coord":      {"internal/disk", "internal/topology", "internal/gtid"},
	"internal/catalog":    {"router", "internal/mysqlconn", "internal/topology", "internal/gtid", "internal/accounts"},
	"internal/admin":      {"internal/topology", "internal/gtid"},
	"internal/maintenance": {
		"configs", "internal/mysqlconn", "internal/gtid",
		"replicator", "replicator/ack", "replicator/handover", "replicator/initial", "replicator/node", "replicator/verify",
	},
	"internal/sandbox": {"internal/gtid", "internal/mysqlconn"},
}

// pure packages decide and know, and do nothing: values in, values out.
var pure = []string{"router", "failover", "internal/topology", "internal/gtid", "internal/accounts", "internal/binlog", "internal/token", "replicator/quorum"}

// pureLibraries compute, and do nothing else.
var pureLibraries = []string{"github.com/klauspost/compress/zstd"}

// impureImports are what a pure package cannot do its work with; a trailing
// slash means everything below.
var impureImports = []string{
	"net", "net/http", "net/http/", "os", "os/", "log", "log/", "syscall", "io/ioutil", "database/sql", "database/sql/",
	"math/rand", "math/rand/v2", "crypto/rand", "runtime/debug", "plugin", "embed", "testing",
}

// clockFuncs read or wait on the clock.
var clockFuncs = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

func TestImportDirections(t *testing.T) {
	for _, p := range all(t) {
		may, listed := allowed[p.rel()]
		if !listed {
			continue
		}
		for _, imp := range p.Imports {
			ours, found := strings.CutPrefix(imp, module+"/")
			if found && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s; it may import of ours: %v", p.rel(), ours, may)
			}
		}
	}
}

// Only programs and tests may import what wires the parts together.
func TestNobodyImportsThePrograms(t *testing.T) {
	for _, p := range all(t) {
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, module+"/cmd/") || strings.HasPrefix(imp, module+"/integration") && !strings.HasPrefix(p.rel(), "integration") {
				t.Errorf("%s imports %s", p.rel(), imp)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, p := range all(t) {
		if !slices.Contains(pure, p.rel()) {
			continue
		}
		for path, f := range p.parse(t) {
			for _, problem := range impurities(f) {
				t.Errorf("%s: %s", filepath.Base(p.Dir)+"/"+filepath.Base(path), problem)
			}
		}
	}
}

// impurities lists what f does beyond deciding.
func impurities(f *ast.File) []string {
	var found []string
	timeName := ""
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !strings.HasPrefix(path, module) && !slices.Contains(pureLibraries, path) {
			found = append(found, "imports "+path+", which is not of the standard library")
		}
		for _, bad := range impureImports {
			if path == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(path, bad) {
				found = append(found, "imports "+path)
			}
		}
		if path == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "starts a goroutine in line "+strconv.Itoa(fset.Position(n.Pos()).Line))
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && timeName != "" && x.Name == timeName && slices.Contains(clockFuncs, n.Sel.Name) {
				found = append(found, "uses time."+n.Sel.Name+" in line "+strconv.Itoa(fset.Position(n.Pos()).Line))
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				found = append(found, "prints in line "+strconv.Itoa(fset.Position(n.Pos()).Line))
			}
		}
		return true
	})
	return found
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range all(t) {
		if len(p.GoFiles)+len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		if !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s has no doc.go", p.rel())
			continue
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		for path, f := range p.parse(t) {
			isDoc := filepath.Base(path) == "doc.go"
			if isDoc && !strings.HasPrefix(f.Doc.Text(), want) {
				t.Errorf("%s: doc.go begins with %q, not with %q", p.rel(), firstLine(f.Doc.Text()), want)
			}
			if !isDoc && strings.HasPrefix(f.Doc.Text(), "Package ") {
				t.Errorf("%s: %s has a package comment too: it belongs in doc.go", p.rel(), filepath.Base(path))
			}
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func TestPackageNames(t *testing.T) {
	for _, p := range all(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "types", "base", "net"}, p.Name) {
			t.Errorf("%s is not named for what it provides", p.rel())
		}
	}
}

// Files that are longer than a reader's patience.
const (
	warnLines = 600
	mostLines = 750
	testLines = 900
)

func TestFileSizes(t *testing.T) {
	dir, files := sources(t)
	for _, name := range files {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata"+string(filepath.Separator)) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b[:min(len(b), 2000)], []byte("// Code generated ")) {
			continue
		}
		lines, most := bytes.Count(b, []byte("\n")), mostLines
		if strings.HasSuffix(name, "_test.go") {
			most = testLines
		}
		switch {
		case lines > most:
			t.Errorf("%s has %d lines; %d are the most, %d the aim", name, lines, most, warnLines)
		case lines > warnLines:
			t.Logf("%s has %d lines; the aim is %d", name, lines, warnLines)
		}
	}
}

// local matches what only the author's machine or network has. The patterns are
// put together so that they do not match themselves.
var local = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"the host of a package mirror", regexp.MustCompile(`https?:/` + `/(deb|security|archive|ports|snapshot|mirrors?|nexus|artifactory|registry|goproxy|packages?-proxy)[.-]`)},
	{"a private address in a URL", regexp.MustCompile(`https?:/` + `/(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.)\d`)},
	{"a folder of one machine", regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(work|root|home/[a-z]+|Users/[A-Za-z]+)` + `/[a-zA-Z.]`)},
	{"a scratch folder", regexp.MustCompile(`/tmp` + `/bw`)},
	{"a proxy setting of one network", regexp.MustCompile(`(?m)\bGOPROXY=["']?https?:`)},
}

func TestNothingLocalIsNamed(t *testing.T) {
	dir, files := sources(t)
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 4<<20 || bytes.IndexByte(b, 0) >= 0 {
			continue // not text
		}
		for _, l := range local {
			if at := l.pattern.FindIndex(b); at != nil {
				t.Errorf("%s:%d names %s: %q", name, 1+bytes.Count(b[:at[0]], []byte("\n")), l.what, b[at[0]:at[1]])
			}
		}
	}
}
