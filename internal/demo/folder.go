package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// folderName is the name of a run's folder. It names the process that the
// folder belongs to from the moment that it exists; a file in it could not.
var folderName = regexp.MustCompile(`^bellwether-demo-(\d+)-(\d+)$`)

// newFolder makes the folder of this process in parent, which is made too where
// it is missing. The second result undoes both.
func newFolder(parent string) (string, func() error, error) {
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", nil, err
	}
	made := false
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", nil, fmt.Errorf("make the folder of the demo: %w", err)
		}
		made = true
	}
	path := filepath.Join(parent, fmt.Sprintf("bellwether-demo-%d-%d", os.Getpid(), start))
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the folder of the demo: %w", err)
	}
	return path, func() error {
		err := os.RemoveAll(path)
		if made {
			_ = os.Remove(parent) // not when somebody else uses it by now
		}
		return err
	}, nil
}

// sweep ends and removes what runs that were killed left behind in parent. It
// returns the folders that it removed.
func sweep(parent string) ([]string, error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for leftovers: %w", err)
	}
	var removed []string
	var errs []error
	for _, e := range entries {
		if !isLeftover(e) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		if err := endServers(path); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, path)
	}
	return removed, errors.Join(errs...)
}

// isLeftover reports whether an entry is this user's demo folder whose process
// is gone.
func isLeftover(e fs.DirEntry) bool {
	m := folderName.FindStringSubmatch(e.Name())
	if m == nil || !e.IsDir() {
		return false
	}
	info, err := e.Info()
	if err != nil {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
		return false
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return false
	}
	start, err := startTime(pid)
	return errors.Is(err, os.ErrProcessDone) || err == nil && strconv.FormatUint(start, 10) != m[2]
}

// endServers kills (SIGKILL) the servers whose data is below the folder, and
// waits until they are gone.
func endServers(folder string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		pids, err := processesWith("--datadir=" + folder + string(filepath.Separator))
		if err != nil {
			return fmt.Errorf("look for servers of %s: %w", folder, err)
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("servers %v of %s cannot be ended", pids, folder)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end the server %d of %s: %w", pid, folder, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
