package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

const (
	asideMark   = ".damaged-"
	layout1Mark = ".layout1"
)

// makeAgain makes the files again, from memory, that are not what was written there:
// before a change, so that none is stored where nobody will look for it. A
// directory that somebody has put in the state directory's place is left alone.
func (s *Store) makeAgain() error {
	switch s.dir.presence() {
	case replaced:
		return errors.New(s.replacedText())
	case gone:
		if err := s.remake(); err != nil {
			return err
		}
	}
	for _, place := range []copyName{mainFile, secondFile} {
		j := s.files[place]
		err := j.intact()
		if err == nil {
			continue
		}
		if _, missing := os.Lstat(j.path); !errors.Is(missing, fs.ErrNotExist) {
			c := readFile(j.path, whatConfiguration, readLayout1)
			if c.condition != whole || !c.sameAs(contents{head: head{id: s.id}, revision: s.revision, objects: s.objects}) {
				aside, err := moveAside(j.path)
				if err != nil {
					return err
				}
				s.note("%s was changed by somebody else: that was moved to %s, and the file made again", j.path, aside)
			}
		} else {
			s.note("%s was removed while hostnat ran: it was made again", j.path)
		}
		if err := s.rewrite(place); err != nil {
			return err
		}
	}
	return nil
}

// remake makes the state directory again after somebody has removed it.
func (s *Store) remake() error {
	if err := os.MkdirAll(s.options.Dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory again: %w", err)
	}
	dir, err := lockDirectory(s.options.Dir)
	if err != nil {
		return err
	}
	s.dir.file.Close()
	s.dir = dir
	s.note("the state directory %s was removed while hostnat ran: it was made again with everything that is configured", s.options.Dir)
	for _, place := range []copyName{mainFile, secondFile} {
		if err := s.rewrite(place); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) replacedText() string {
	return fmt.Sprintf("another directory is in the place of the state directory %s: put the old one back, or restart hostnat to go by this one", s.options.Dir)
}

// Problems says what is wrong with the stored state, one line each: what Open
// found and changes met, and how the files are now.
func (s *Store) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	if s.undecided != nil {
		list = append(list, s.undecided.Why+"; what runs goes on, and nothing can be changed until 'hostnat restore' has said which configuration to use")
	}
	list = append(list, s.notes...)
	list = append(list, leftAside(s.options, list)...)
	list = append(list, s.leases.problems()...)
	if s.undecided != nil {
		return list
	}
	switch s.dir.presence() {
	case replaced:
		return append(list, s.replacedText()+"; until then nothing can be changed")
	case gone:
		return append(list, fmt.Sprintf("the state directory %s was removed: the next change makes it again, with everything that is configured", s.options.Dir))
	}
	for _, j := range s.files[mainFile : secondFile+1] {
		if err := j.intact(); err != nil && s.stuck == "" {
			list = append(list, fmt.Sprintf("%v: the next change makes the file again", err))
		}
	}
	if s.stuck != "" {
		list = append(list, "the configuration cannot be stored, so that nothing can be changed: "+s.stuck)
	}
	return list
}

// moveAside renames what is damaged and returns its new name.
func moveAside(path string) (string, error) {
	stem := path + asideMark + time.Now().UTC().Format("20060102T150405Z")
	aside := stem
	for i := 2; ; i++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s-%d", stem, i)
	}
	if err := replace(path, aside, true); err != nil {
		return "", fmt.Errorf("move the damaged file aside: %w", err)
	}
	return aside, nil
}

// leftAside reports damaged files of which nothing is said yet: as long as they
// lie there, nobody has dealt with them.
func leftAside(o Options, said []string) (list []string) {
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(o.Dir, e.Name())
		if isAside(e.Name()) && !mentioned(said, path) {
			list = append(list, fmt.Sprintf("a damaged configuration lies in %s: delete it when it is no longer needed", path))
		}
	}
	return list
}

// Leave is what somebody does who takes everything out of the kernel: there is
// nothing any more that the copy of what runs would be of.
func Leave(runDir string) error {
	path := filepath.Join(runDir, RunningName)
	if err := os.RemoveAll(path); err != nil {
		return model.Errorf(model.Internal, "remove %s: %v", path, err)
	}
	return nil
}
