package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// ErrNoServer says that no server of the wanted kind is on this machine.
var ErrNoServer = errors.New("no such database server on this machine")

// Environment variables that name folders with an unpacked server.
const (
	EnvMySQLTree   = "BELLWETHER_MYSQL_TREE"
	EnvMariaDBTree = "BELLWETHER_MARIADB_TREE"
)

// Server is a server program that can be run.
type Server struct {
	Flavor  gtid.Flavor
	Version string // "10.11.19"
	Path    string // of the program
	Tree    string // the folder it was unpacked in; empty for an installed one

	argv     []string // how it is started: the program, behind its loader where it is in a tree
	basedir  string
	shareDir string
}

// String is the server's name for people and for cache keys, as "mariadb-10.11.19".
func (s *Server) String() string { return s.Flavor.String() + "-" + s.Version }

// AtLeast reports whether the server's version is major.minor or later.
func (s *Server) AtLeast(major, minor int) bool { return VersionAtLeast(s.Version, major, minor) }

// VersionAtLeast reports whether a version such as "11.8.6" is major.minor or later.
func VersionAtLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	ma, err1 := strconv.Atoi(parts[0])
	mi, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return ma > major || ma == major && mi >= minor
}

// Find returns the first server on this machine that is want: "mariadb" or
// "mysql" for any version, or with the version's beginning, as "mariadb-11.8" or
// "mysql-9.7". It looks in the folders that the environment names, among the
// installed programs, and in the cache folders that the set-up scripts fill.
func Find(ctx context.Context, want string) (*Server, error) {
	name, version, _ := strings.Cut(want, "-")
	flavor := flavorNamed(name)
	if flavor == gtid.FlavorUnknown {
		return nil, fmt.Errorf("unknown database flavor %q: want mariadb or mysql, with or without a version", want)
	}
	for _, c := range candidates(flavor) {
		s, err := c.probe(ctx)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return nil, err
		}
		if s.Flavor == flavor && versionMatches(s.Version, version) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: %s (run `make %s`)", ErrNoServer, want, setupTarget(flavor, version))
}

func flavorNamed(name string) gtid.Flavor {
	switch name {
	case "mariadb":
		return gtid.MariaDB
	case "mysql":
		return gtid.MySQL
	default:
		return gtid.FlavorUnknown
	}
}

func setupTarget(f gtid.Flavor, version string) string {
	switch {
	case f == gtid.MySQL:
		return "setup-mysql"
	case version == "" || strings.HasPrefix(version, "10.11"):
		return "setup"
	default:
		return "setup-mariadb-11.8"
	}
}

// versionMatches reports whether have begins with the whole numbers of want.
func versionMatches(have, want string) bool {
	return want == "" || have == want || strings.HasPrefix(have, want+".")
}

// candidate is a place where a server may be.
type candidate struct {
	path string
	tree string
}

func candidates(f gtid.Flavor) []candidate {
	env, program := EnvMariaDBTree, "mariadbd"
	if f == gtid.MySQL {
		env, program = EnvMySQLTree, "mysqld"
	}
	var out []candidate
	inTree := func(tree string) {
		for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin", "libexec"} {
			out = append(out, candidate{path: filepath.Join(tree, dir, program), tree: tree})
		}
	}
	if tree := os.Getenv(env); tree != "" {
		inTree(tree)
	}
	if p, err := exec.LookPath(program); err == nil {
		out = append(out, candidate{path: p})
	}
	for _, dir := range []string{"/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin", "/usr/local/mysql/bin"} {
		out = append(out, candidate{path: filepath.Join(dir, program)})
	}
	for _, cache := range cacheDirs() {
		trees, _ := filepath.Glob(filepath.Join(cache, f.String()+"-*"))
		for _, tree := range trees {
			if !strings.Contains(filepath.Base(tree), ".tmp.") {
				inTree(tree)
			}
		}
	}
	return out
}

// cacheDirs returns the folders that hold unpacked servers: .cache of the
// repository that the working directory is in, and the user's cache.
func cacheDirs() []string {
	var out []string
	if dir, err := os.Getwd(); err == nil {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				out = append(out, filepath.Join(dir, ".cache"))
				break
			}
		}
	}
	return append(out, userCacheDir())
}

// userCacheDir is where this user's templates and servers are kept.
func userCacheDir() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "bellwether")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("bellwether-cache-%d", os.Getuid()))
}

var versionRE = regexp.MustCompile(`Ver (\d+\.\d+\.\d+)`)

// probe asks the program for its version.
func (c candidate) probe(ctx context.Context) (*Server, error) {
	if _, err := os.Stat(c.path); err != nil {
		return nil, err
	}
	s := &Server{Path: c.path, Tree: c.tree, argv: []string{c.path}}
	if c.tree != "" {
		tree, err := filepath.Abs(c.tree)
		if err != nil {
			return nil, err
		}
		path, err := filepath.Abs(c.path)
		if err != nil {
			return nil, err
		}
		s.Tree, s.Path, s.argv = tree, path, treeCommand(tree, path)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.argv[0], append(s.argv[1:], "--no-defaults", "--version")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w: %s", c.path, err, strings.TrimSpace(string(out)))
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("ask %s for its version: unexpected answer %q", c.path, out)
	}
	s.Version = string(m[1])
	s.Flavor = gtid.MySQL
	if strings.Contains(string(out), "MariaDB") {
		s.Flavor = gtid.MariaDB
	}
	return s, s.locate()
}

// treeCommand is how a program of a tree is started: through the tree's own
// dynamic loader and libraries, which need not be those of this machine.
func treeCommand(tree, path string) []string {
	loader := firstGlob(
		filepath.Join(tree, "lib64", "ld-linux-*.so.*"),
		filepath.Join(tree, "lib", "ld-linux-*.so.*"),
		filepath.Join(tree, "usr", "lib64", "ld-linux-*.so.*"),
		filepath.Join(tree, "usr", "lib", "ld-linux-*.so.*"),
		filepath.Join(tree, "usr", "lib", "*-linux-gnu*", "ld-linux-*.so.*"))
	if loader == "" {
		return []string{path}
	}
	var libs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib", "usr/lib/mysql/private"} {
		dirs, _ := filepath.Glob(filepath.Join(tree, pattern))
		libs = append(libs, dirs...)
	}
	return []string{loader, "--library-path", strings.Join(libs, ":"), path}
}

func firstGlob(patterns ...string) string {
	for _, p := range patterns {
		if m, _ := filepath.Glob(p); len(m) > 0 {
			return m[0]
		}
	}
	return ""
}

// locate finds the folders that belong to the program.
func (s *Server) locate() error {
	path, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return err
	}
	s.basedir = filepath.Dir(filepath.Dir(path))
	for _, dir := range []string{"share/mysql", "share/mariadb", "share", "share/mysql-" + s.Version} {
		share := filepath.Join(s.basedir, dir)
		if _, err := os.Stat(filepath.Join(share, "english", "errmsg.sys")); err == nil {
			s.shareDir = share
			return nil
		}
	}
	return fmt.Errorf("%s: no folder with error messages (english/errmsg.sys) under %s/share", s.Path, s.basedir)
}
