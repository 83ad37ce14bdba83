package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// templateVersion is part of the templates' names: raise it when what
// initialise does changes.
const templateVersion = 1

// template returns a freshly initialised data directory of the server, to copy
// from. It is made once per server version and user; others wait meanwhile.
func (s *Server) template(ctx context.Context) (string, error) {
	base := filepath.Join(userCacheDir(), "templates")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for templates: %w", err)
	}
	dir := filepath.Join(base, fmt.Sprintf("%s-%d", s, templateVersion))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp := dir + ".tmp" // ours alone while the lock is held
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := s.initialise(ctx, tmp); err != nil {
		return "", fmt.Errorf("initialise a data directory for %s: %w", s, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// lockFile waits for an exclusive lock on a file, which the kernel takes back
// when the process dies.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// initialise makes a data directory with the system tables, a root@localhost
// without a password, and nothing in the binlog.
func (s *Server) initialise(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.Flavor == gtid.MySQL {
		err := s.runOnce(ctx, nil, "--initialize-insecure", "--datadir="+dir, "--disable-log-bin", "--log-error-verbosity=1", "--secure-file-priv=")
		if err != nil {
			return err
		}
		// Each server must make a server_uuid of its own.
		return os.Remove(filepath.Join(dir, "auto.cnf"))
	}
	if err := os.Mkdir(filepath.Join(dir, "mysql"), 0o700); err != nil {
		return err
	}
	script, err := s.bootstrapScript()
	if err != nil {
		return err
	}
	err = s.runOnce(ctx, script, "--bootstrap", "--datadir="+dir, "--log-warnings=0",
		"--enforce-storage-engine=", "--max-allowed-packet=8M", "--net-buffer-length=16K",
		"--innodb-log-file-size="+redoLogSize)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "mysql_upgrade_info"), []byte(s.Version+"-MariaDB"), 0o600)
}

// bootstrapScript is the SQL by which mariadb-install-db fills a new data
// directory. Run by hand it also works for a server in a tree.
func (s *Server) bootstrapScript() (io.Reader, error) {
	parts := []io.Reader{strings.NewReader("create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n")}
	for _, name := range []string{
		"mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql",
		"fill_help_tables.sql", "maria_add_gis_sp_bootstrap.sql", "mysql_sys_schema.sql",
	} {
		text, err := os.ReadFile(filepath.Join(s.shareDir, name))
		if os.IsNotExist(err) { // from 11 on some are named after MariaDB
			text, err = os.ReadFile(filepath.Join(s.shareDir, strings.Replace(name, "mysql_", "mariadb_", 1)))
		}
		if err != nil {
			return nil, err
		}
		// Accounts for the name of this host would differ between machines.
		for line := range bytes.Lines(text) {
			if !bytes.Contains(line, []byte("@current_hostname")) {
				parts = append(parts, bytes.NewReader(line))
			}
		}
	}
	return io.MultiReader(parts...), nil
}

// runOnce runs the server for a job that ends by itself.
func (s *Server) runOnce(ctx context.Context, stdin io.Reader, args ...string) error {
	args = append(append([]string{"--no-defaults"}, s.installArgs()...), args...)
	cmd := exec.CommandContext(ctx, s.argv[0], append(s.argv[1:len(s.argv):len(s.argv)], args...)...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	p, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%w: %s", err, lastLines(out.String(), 20))
	}
	return nil
}

// installArgs are the arguments that say where the server's own files are.
func (s *Server) installArgs() []string {
	args := []string{
		"--basedir=" + s.basedir,
		"--lc-messages-dir=" + s.shareDir,
		"--character-sets-dir=" + filepath.Join(s.shareDir, "charsets"),
	}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	if dir := s.pluginDir(); dir != "" {
		args = append(args, "--plugin-dir="+dir)
	}
	return args
}

// pluginDir is where the server's plugins are. Debian's package of the bare
// MariaDB server has none; scripts/setup-plugins.sh unpacks them beside it.
func (s *Server) pluginDir() string {
	found := ""
	for _, dir := range []string{"lib/mysql/plugin", "lib/plugin", "lib64/mysql/plugin"} {
		if p := filepath.Join(s.basedir, dir); isDir(p) {
			found = p
			break
		}
	}
	if s.Tree != "" || s.Flavor != gtid.MariaDB || found != "" && exists(filepath.Join(found, "auth_ed25519.so")) {
		return found
	}
	for _, cache := range cacheDirs() {
		dir := filepath.Join(cache, "plugins-mariadb")
		version, err := os.ReadFile(filepath.Join(dir, "version"))
		if err == nil && strings.Contains(string(version), ":"+s.Version) {
			return filepath.Join(dir, "plugin")
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// copyTree copies a template, sharing its blocks where the file system can.
func copyTree(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", from+"/.", to)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s to %s: %w: %s", from, to, err, bytes.TrimSpace(out))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
