package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/bellwetherdb/bellwether/internal/disk"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Local keeps the record in a file, for a proxy that is alone.
type Local struct {
	state
	path string
	lock *os.File

	swap sync.Mutex // one at a time writes the file
}

var _ Coordinator = (*Local)(nil)

// localRecord is the file's content.
type localRecord struct {
	Revision int64           `json:"revision"`
	Record   topology.Record `json:"record"`
}

// OpenLocal reads the record of the file, which need not exist, and keeps other
// processes away from it until Close. A second one gets ErrTaken.
func OpenLocal(path string) (*Local, error) {
	lock, err := disk.Lock(path + ".lock")
	if err != nil {
		if errors.Is(err, disk.ErrHeld) {
			err = ErrTaken
		}
		return nil, fmt.Errorf("lock the topology record %s: %w", path, err)
	}
	l := &Local{path: path, lock: lock}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		_ = lock.Close()
		return nil, fmt.Errorf("read the topology record: %w", err)
	default:
		var r localRecord
		if err := json.Unmarshal(b, &r); err != nil || r.Revision < 1 {
			_ = lock.Close()
			return nil, fmt.Errorf("the topology record %s is damaged (%w): move it away, and the cluster is looked at anew", path, err)
		}
		l.status.Record = r.Record
		l.status.Record.Revision = r.Revision
	}
	l.status.Held = true
	return l, nil
}

// Close lets another process have the file.
func (l *Local) Close() error { return l.lock.Close() }

// Run waits: nobody else changes the record.
func (l *Local) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Swap writes the record beside the file, with fsync, renames it over the file,
// and syncs the folder: a crash leaves the old or the new one, whole.
func (l *Local) Swap(_ context.Context, next topology.Record) (topology.Record, error) {
	l.swap.Lock()
	defer l.swap.Unlock()
	present := l.Status().Record
	if next.Revision != present.Revision {
		return present, ErrConflict
	}
	if err := present.Follows(&next); err != nil {
		return present, refuse(err)
	}
	revision := next.Revision + 1
	b, err := json.MarshalIndent(localRecord{Revision: revision, Record: next}, "", "  ")
	if err != nil {
		return present, fmt.Errorf("write the topology record: %w", err)
	}
	if err := replaceFile(l.path, append(b, '\n')); err != nil {
		return present, fmt.Errorf("write the topology record: %w", err)
	}
	next = next.Clone()
	next.Revision = revision
	l.update(func(st *Status) bool { st.Record = next; return true })
	return next.Clone(), nil
}

// replaceFile puts a file in the place of another, durably.
func replaceFile(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// Share does nothing: there is nobody to tell.
func (l *Local) Share(context.Context, json.RawMessage) error { return nil }

// Shared is empty.
func (l *Local) Shared() []Report { return nil }
