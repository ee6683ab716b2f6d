package dns

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long a file that changes is left alone.
	settleTime = 50 * time.Millisecond
	// readAgain is how often files are read that nobody announces: in folders
	// that were not there, or mounted over.
	readAgain = 10 * time.Second
)

// follow calls changed when one of the files may have changed, until ctx ends.
// Where the kernel cannot tell (each user may have so many watches), they are
// looked at now and then.
func (f Files) follow(ctx context.Context, changed func()) error {
	var events chan fsnotify.Event
	var failures chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
		f.watch(watcher)
	}
	again := time.NewTicker(readAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-events:
			if !f.concerns(e.Name) {
				continue
			}
			time.Sleep(settleTime)
		case <-failures: // an overflow: read all the same
		case <-again.C:
		}
		if watcher != nil {
			f.watch(watcher)
		}
		changed()
	}
}

// watch watches the folders of the files and of what they are links to: a file
// is mostly replaced, not written. What is watched already stays so.
func (f Files) watch(w *fsnotify.Watcher) {
	for _, path := range f.paths() {
		_ = w.Add(filepath.Dir(path)) // one that is not there is found later
	}
}

func (f Files) paths() []string {
	paths := []string{f.ResolvConf, f.Resolved}
	for _, path := range paths[:2] {
		if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
			paths = append(paths, target)
		}
	}
	return paths
}

func (f Files) concerns(path string) bool {
	for _, p := range f.paths() {
		if filepath.Clean(path) == filepath.Clean(p) {
			return true
		}
	}
	return false
}
