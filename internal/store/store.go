// Package store keeps the desired state in one bbolt file, STATE/hostnat.db,
// so that it is there again after a crash or reboot.
//
// A change is one transaction: after Save returns it is on the disk, before
// that the old state is. A file that is damaged is never repaired by guessing
// nor quietly replaced: it is moved aside, and Problems says so until a person
// has dealt with it.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/config"
)

// FileName is the database's name inside the state directory.
const FileName = "hostnat.db"

// Store is an open state file. It is safe for concurrent use.
type Store struct {
	db       *bbolt.DB
	leases   *bbolt.DB
	lock     *os.File
	problems []string

	mu    sync.Mutex
	saved *config.Config // what the file has, in this layout; nil: not known
}

// Open opens the state file in dir, making both if they are not there.
//
// It returns a *model.Error with code Conflict if another daemon uses dir, and
// with code Unavailable, the file untouched, if it was written by a newer
// hostnat. A damaged file is no error: it is moved aside to
// "hostnat.db.damaged-TIME", an empty one is started, and Problems tells.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock}
	if err := s.open(filepath.Join(dir, FileName)); err != nil {
		lock.Close()
		return nil, err
	}
	if err := s.openLeases(filepath.Join(dir, LeasesFileName)); err != nil {
		s.db.Close()
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the file and the directory.
func (s *Store) Close() error {
	err := errors.Join(s.leases.Sync(), s.leases.Close(), s.db.Close())
	if lockErr := s.lock.Close(); err == nil {
		err = lockErr
	}
	return err
}

// Problems says what Open found wrong with the stored state, one line each.
func (s *Store) Problems() []string { return s.problems }

// Load returns the stored state.
func (s *Store) Load() (config.Config, error) {
	c, _, err := read(s.db)
	if err != nil {
		return config.Config{}, fmt.Errorf("load the configuration: %w", err)
	}
	return c, nil
}

// Save replaces the stored state; what has not changed is not written. On error
// the old one is still there.
func (s *Store) Save(c config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.save(c); err != nil {
		s.saved = nil
		return fmt.Errorf("save the configuration: %w", err)
	}
	c = c.Clone()
	s.saved = &c
	return nil
}

func (s *Store) save(c config.Config) error {
	if s.saved == nil {
		return write(s.db, c)
	}
	objects := changedObjects(*s.saved, c)
	if len(objects) == 0 {
		return nil
	}
	return change(s.db, objects)
}

// open opens the file at path, whatever state it is in.
func (s *Store) open(path string) error {
	s.problems = leftAside(path)
	note, err := s.openExisting(path)
	if damage, ok := asDamage(err); ok {
		aside, err := moveAside(path)
		if err != nil {
			return err
		}
		s.problems = append([]string{fmt.Sprintf(
			"the configuration %s was damaged (%v): it was moved to %s, and hostnat started with an empty one", path, damage, aside)}, s.problems...)
		return s.create(path)
	}
	if os.IsNotExist(err) {
		return s.create(path)
	}
	if note != "" {
		s.problems = append(s.problems, note)
	}
	return err
}

func (s *Store) openExisting(path string) (note string, err error) {
	note, err = checkFile(path)
	if err != nil {
		return "", err
	}
	db, err := openBolt(path)
	if err != nil {
		return "", err
	}
	c, isOld, err := read(db)
	if err != nil {
		db.Close()
		return "", err
	}
	s.db = db
	if !isOld {
		s.saved = &c
	}
	return note, nil
}

// create makes the file under another name first: a file called hostnat.db
// always has a configuration in it, so that one without is known as damaged.
func (s *Store) create(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("make the configuration: %w", err)
	}
	db, err := openBolt(fresh)
	if err != nil {
		return err
	}
	c := config.NewConfig()
	if err := write(db, c); err != nil {
		db.Close()
		return fmt.Errorf("make the configuration: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("make the configuration: %w", err)
	}
	if err := rename(fresh, path); err != nil {
		return fmt.Errorf("make the configuration: %w", err)
	}
	s.db, err = openBolt(path)
	s.saved = &c
	return err
}
