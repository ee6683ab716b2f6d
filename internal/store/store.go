// Package store keeps the desired state on the disk, so that it is there again
// after a crash or reboot.
//
// The configuration is in two files of the state directory, and a third in the
// run directory says what the kernel was given last. Each is checked by
// checksums; a change is done when both files have it. Whatever is damaged, what
// runs goes on running: where it is not certain which configuration is the last
// one, none is used until a person has decided (Undecided, Restore). What is
// damaged is kept beside, never repaired by guessing.
package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/model"
)

// Names of the files in the state directory, and of the one in the run directory.
const (
	FileName    = "hostnat.db"
	CopyName    = "hostnat-copy.db"
	RunningName = "hostnat-running.db"
)

const whatConfiguration = "configuration"

// Options say where the state is kept.
type Options struct {
	Dir     string
	RunDir  string      // for the copy of what runs; empty: there is none
	Running func() bool // whether the kernel has anything of hostnat; nil: no
}

// Store is the open state. It is safe for concurrent use.
type Store struct {
	options Options
	leases  *leaseFile

	mu        sync.Mutex
	dir       *directory
	files     [places]*journal // runFile: nil without a run directory
	undecided *Undecided       // nil: the rest is valid
	notes     []string         // what was found or done, one line each
	stuck     string           // why the last change could not be stored; empty: it could

	id       string
	revision Revision
	objects  objects
	config   config.Config // that the objects are of
}

// Open opens the state in a directory, and makes it if there is none.
//
// It returns a *model.Error with code Conflict if another daemon uses the
// directory, and with code Unavailable, everything untouched, if a newer hostnat
// wrote it, or if what is in the file's place is no file of hostnat at all.
// Damage is no error: see Undecided and Problems.
func Open(o Options) (*Store, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	dir, err := lockDirectory(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{options: o, dir: dir}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open() error {
	for place, path := range s.options.paths() {
		if path != "" {
			s.files[place] = &journal{path: path, durable: copyName(place) != runFile}
		}
	}
	f := survey(s.options)
	if err := f.refusal(s.options); err != nil {
		return err
	}
	d := decide(f, s.options.running())
	if d.undecided != "" {
		s.undecided = &Undecided{Why: d.undecided, Choices: choices(s.options, f)}
	} else if err := s.use(f, d); err != nil {
		return err
	}
	s.leases = openLeases(filepath.Join(s.options.Dir, LeasesFileName))
	return nil
}

// use starts with what was decided on.
func (s *Store) use(f found, d decision) error {
	used := f[d.use]
	if d.fresh {
		all, err := allObjects(config.NewConfig())
		if err != nil {
			return err
		}
		used = contents{head: head{id: newID()}, revision: 1, objects: all}
	}
	if used.layout1 {
		used.head.id = newID()
	}
	config, err := configOf(used.objects)
	if err != nil {
		return model.Errorf(model.Unavailable, "%s holds what this hostnat does not know (%v)", s.files[d.use].path, err).
			WithHint("use the version that wrote it, or another --state-dir")
	}
	s.notes = append(s.notes, d.notes...)
	s.id, s.revision, s.objects, s.config = used.head.id, used.revision, used.objects, config
	err = s.unify(f, used)
	if d.fresh {
		return err
	}
	if err != nil {
		s.stuck = err.Error()
	}
	return nil
}

// unify makes all files what is used. The second goes first: a file of layout 1
// stays until there is one of today's.
func (s *Store) unify(f found, used contents) error {
	for _, place := range []copyName{secondFile, mainFile, runFile} {
		j, was := s.files[place], f[place]
		if j == nil {
			continue
		}
		if was.condition == whole && was.sameAs(used) {
			if err := j.open(was); err != nil {
				return err
			}
			continue
		}
		if place != runFile && was.condition != absent && !was.isInterrupted(used) {
			if err := s.putAside(place, was); err != nil {
				return err
			}
		}
		if place != runFile && was.condition == absent && f[1-place].condition != absent && !used.layout1 {
			s.note("%s was not there: it was made again", j.path)
		}
		if err := s.rewrite(place); err != nil && place != runFile {
			return err
		}
	}
	return nil
}

// putAside moves a file away that is not what it should be.
func (s *Store) putAside(place copyName, was contents) error {
	path := s.files[place].path
	if was.layout1 && was.condition == whole {
		return replace(path, path+layout1Mark, true)
	}
	aside, err := moveAside(path)
	if err == nil {
		s.note("%s %s: it was moved to %s", path, was.describe(), aside)
	}
	return err
}

func (s *Store) rewrite(place copyName) error {
	j := s.files[place]
	j.head = head{whatConfiguration, version, s.id}
	if place == runFile {
		if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
			return fmt.Errorf("make the run directory: %w", err)
		}
	}
	return j.rewrite(s.revision, s.objects)
}

func (s *Store) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// Close lets the files and the directory go.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.files {
		if j != nil {
			j.close()
		}
	}
	if s.leases != nil {
		s.leases.close()
	}
	return s.dir.file.Close()
}

// Load returns the stored configuration and its revision; a *model.Error with code
// Unavailable while nobody has decided which one it is.
func (s *Store) Load() (config.Config, Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undecided != nil {
		return config.Config{}, 0, s.undecided.refusal()
	}
	return s.config.Clone(), s.revision, nil
}

// Save stores a configuration that was made from the one with revision at, and
// returns its revision; what has not changed is not written. On error, which is a
// *model.Error if the disk is at fault, the old one is still there: Conflict if
// another has been saved since at.
func (s *Store) Save(c config.Config, at Revision) (Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undecided != nil {
		return at, s.undecided.refusal()
	}
	if at != s.revision {
		return at, model.Errorf(model.Conflict, "the configuration has changed meanwhile (revision %d, not %d)", s.revision, at).WithHint("try again")
	}
	d := diff.Of(&s.config, &c)
	changed, err := changedObjects(&d, &c)
	if err != nil {
		return at, fmt.Errorf("save the configuration: %w", err)
	}
	if len(changed) == 0 {
		return at, nil
	}
	if err = s.makeAgain(); err == nil {
		err = s.write(changed)
	}
	if err != nil {
		s.stuck = err.Error()
		return at, model.Errorf(model.Unavailable, "the configuration cannot be stored, and nothing was changed: %v", err).
			WithHint("'hostnat doctor' says more")
	}
	s.stuck, s.config = "", c.Clone()
	return s.revision, nil
}

// write appends a change to all files. If one of the two does not take it, the
// other does not keep it.
func (s *Store) write(changed objects) error {
	next := s.revision + 1
	durable := s.files[mainFile : secondFile+1]
	for i, j := range durable {
		if err := j.append(next, changed); err != nil {
			takeBack(durable[:i])
			return err
		}
	}
	if err := syncAll(durable); err != nil {
		takeBack(durable)
		return err
	}
	for key, object := range changed {
		if object == nil {
			delete(s.objects, key)
		} else {
			s.objects[key] = object
		}
	}
	s.revision = next
	s.writeRunning(changed)
	for place, j := range s.files {
		if j != nil && j.file != nil && j.isLong() {
			if err := s.rewrite(copyName(place)); err != nil {
				s.note("%s could not be made shorter: %v", j.path, err)
			}
		}
	}
	return nil
}

// writeRunning has the third copy follow. It is not needed for the change.
func (s *Store) writeRunning(changed objects) {
	j := s.files[runFile]
	if j == nil {
		return
	}
	if j.intact() != nil || j.append(s.revision, changed) != nil {
		_ = s.rewrite(runFile) // if that fails, it is tried again with the next change
	}
}

func takeBack(files []*journal) {
	for _, j := range files {
		if j.file != nil {
			j.takeBack()
		}
	}
}

// syncAll waits for the disk with all files at once, which takes as long as with one.
func syncAll(files []*journal) error {
	errs := make([]error, len(files))
	var all sync.WaitGroup
	for i, j := range files {
		all.Go(func() { errs[i] = j.sync() })
	}
	all.Wait()
	return errors.Join(errs...)
}

func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
