package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/configfile"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/regular"
)

// maxFragment is the longest configuration file that is read, in bytes.
const maxFragment = 16 << 20

// fragments are the configuration files in a directory. Each is applied by itself,
// in the order of their names: one that is damaged stops none of the others, and
// nothing that runs.
type fragments struct {
	dir   string // empty: there are none
	apply func(context.Context, wanted.Objects, control.ApplyOptions) (control.Applied, error)
	log   *slog.Logger
	again <-chan os.Signal

	had []string // paths of the last time

	mu       sync.Mutex
	problems []string // of the last time
}

// Problems are what was wrong with files when they were applied last.
func (f *fragments) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

// hangups gets a value when the process gets SIGHUP, which then does not end it.
func hangups() (again <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// Run applies the files whenever the process gets SIGHUP, until ctx ends.
func (f *fragments) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.again:
			f.log.Info("the configuration files are read again", "directory", f.dir)
			f.Apply(ctx)
		}
	}
}

// Apply applies the files.
func (f *fragments) Apply(ctx context.Context) {
	if f.dir == "" {
		return
	}
	var problems []string
	paths, err := configfile.Fragments(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, err.Error())
	}
	f.sayGone(paths)
	for _, path := range paths {
		if err := f.one(ctx, path); err != nil {
			problems = append(problems, fmt.Sprintf("configuration file not applied: %v", err))
		}
	}
	for _, p := range problems {
		f.log.Error(p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = problems
}

// sayGone says that what a file has made does not go with it: other files, or people, may
// have made it their own.
func (f *fragments) sayGone(paths []string) {
	for _, path := range f.had {
		if !slices.Contains(paths, path) {
			f.log.Warn("configuration file is gone, and what it has made stays: 'hostnat diff --prune -f DIRECTORY' shows what is in no file", "file", path)
		}
	}
	f.had = paths
}

func (f *fragments) one(ctx context.Context, path string) error {
	text, err := readFragment(path)
	if err != nil {
		return err
	}
	wanted, err := configfile.Parse(configfile.File{Name: path, Text: text})
	if err != nil {
		return err
	}
	done, err := f.apply(ctx, wanted, control.ApplyOptions{})
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		f.log.Warn(w, "file", path)
	}
	if len(done.Changes) > 0 {
		f.log.Info("configuration file applied", "file", path, "changes", len(done.Changes))
	}
	return nil
}

// readFragment reads a regular file. It does not wait, as it would for a FIFO.
func readFragment(path string) (string, error) {
	text, err := regular.ReadAnyones(path, maxFragment)
	return string(text), err
}
