package configs

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// dirSet watches the folders in which something must happen for a file to
// change: its own, and those of every symbolic link on the way to it. A folder
// outlives the files in it, so a rename over a file, a file removed and made
// again, and a swapped link are all events in a watched folder.
type dirSet struct {
	fs    *fsnotify.Watcher // nil: no events on this system
	log   *slog.Logger
	dirs  map[string]os.FileInfo // watched, and which folder that was
	names map[string]bool        // paths whose events matter
}

// concerns reports whether an event for that path matters.
func (s *dirSet) concerns(name string) bool {
	return s.names[filepath.Clean(name)] || s.dirs[name] != nil
}

// follow watches what is needed for files, and no more. It returns whether a
// folder is watched now that was not before.
func (s *dirSet) follow(files map[string]fileState) (added bool) {
	if s.fs == nil {
		return false
	}
	want := make(map[string]bool)
	s.names = make(map[string]bool)
	for path := range files {
		walkLinks(path, want, s.names)
	}
	if s.dirs == nil {
		s.dirs = make(map[string]os.FileInfo)
	}
	for dir, was := range s.dirs {
		now, err := os.Stat(dir)
		if want[dir] && err == nil && os.SameFile(was, now) {
			continue
		}
		_ = s.fs.Remove(dir) // gone already when the folder is
		delete(s.dirs, dir)
	}
	for dir := range want {
		if s.dirs[dir] != nil {
			continue
		}
		st, err := os.Stat(dir)
		if err == nil {
			err = s.fs.Add(dir)
		}
		if err != nil {
			s.log.Warn("cannot watch a folder: it is polled", slog.String("folder", dir), slog.Any("error", err))
			continue
		}
		s.dirs[dir], added = st, true
	}
	return added
}

// walkLinks goes from the root to path, through symbolic links, and adds the
// folders to watch and the names in them that matter.
func walkLinks(path string, dirs, names map[string]bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	const maxLinks = 40 // as the kernel's own bound
	for range maxLinks {
		link, target := walkOnce(path, dirs, names)
		if !link {
			return
		}
		path = target
	}
}

// walkOnce walks until the first symbolic link, and returns the path behind it.
func walkOnce(path string, dirs, names map[string]bool) (link bool, target string) {
	cur, rest := "/", strings.TrimPrefix(path, "/")
	for {
		name, after, more := strings.Cut(rest, "/")
		next := filepath.Join(cur, name)
		st, err := os.Lstat(next)
		isLink := err == nil && st.Mode()&os.ModeSymlink != 0
		if err != nil || isLink || !more {
			dirs[cur], names[next] = true, true
		}
		if isLink {
			to, err := os.Readlink(next)
			if err != nil {
				return false, ""
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(cur, to)
			}
			return true, filepath.Join(to, after)
		}
		if err != nil || !more {
			return false, ""
		}
		cur, rest = next, after
	}
}
